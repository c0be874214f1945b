"""Filters of tables: what matches, and what is refused; figures of any two metrics."""

import pytest

from experiments.__main__ import main
from experiments.pages.picture import parse_filter
from research.report.pages import QUICK_MARK, csv_text
from research.report.pictures import words_in
from research.report.records import save_records
from research.report.tables import table
from research.types import InputError
from tests.report.made import made_rows

ROW = {"arm": "mixed", "temperature": 0.2, "k": 20, "note": None}
NO_FILTERS = (
    *("", "arm", "arm === 3", "temperature <", "arm.upper() == 'A'"),
    *("temperature + 1 > 2", '__import__("os").system("true")', "(lambda: 1)() == 1"),
    *("[x for x in arm] == 3", "(" * 300 + "k" + ")" * 300),
)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("temperature < 0.3", True),
        ("temperature < .2", False),
        ("0.1 < temperature <= 0.2", True),
        ('arm == "mixed" or k > 100', True),
        ('arm not in ("mixed", "ease")', False),
        ('not arm in ["ease"] and k == 20', True),
        ("arm < 3", False),  # a text beside a number doesn't match, nor does its
        ("arm >= 3", False),  # opposite
        ("note != 3", False),  # no value, no match
    ],
)
def test_rows_that_match(text, matches):
    assert parse_filter(text, list(ROW))(ROW) is matches


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "expected comparisons") for text in NO_FILTERS),
        ("heat > 1", "no column heat; columns are arm, temperature"),
    ],
)
def test_nothing_but_comparisons_of_columns_is_read(text, reason):
    with pytest.raises(InputError, match=reason):
        parse_filter(text, list(ROW))


@pytest.fixture
def out(tmp_path):
    frame = table(made_rows(), "in-batch", [])
    folder = tmp_path / "tables" / "ml-100k"
    folder.mkdir(parents=True)
    (folder / "ssb.csv").write_text(csv_text(frame))
    return tmp_path


def test_a_figure_of_two_metrics_shows_the_rows_that_match(out):
    words = ["report", "ssb", "--out", str(out), "--x", "coverage", "--y", "recall"]
    assert main([*words, "--where", 'arm != "in-batch"']) == 0
    lines = (out / "figures/ml-100k/picture-coverage-recall.csv").read_text()
    assert "in-batch," not in lines
    assert lines.count("\n") > 1
    assert (out / "figures/ml-100k/picture-coverage-recall.png").is_file()


@pytest.mark.parametrize("quick", [False, True])
def test_a_figure_of_a_quick_run_says_so(out, quick):
    header = {"grid": "ssb", "quick": quick}
    save_records(out / "records" / "ml-100k" / "ssb.npz", made_rows(), header)
    words = ["report", "--out", str(out), "--x", "coverage", "--y", "recall"]
    assert main(words) == 0
    picture = out / "figures/ml-100k/picture-coverage-recall.png"
    assert (QUICK_MARK in words_in(picture)) == quick


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--x", "coverage"], "needs a metric on each axis"),
        (["--x", "coverage", "--y", "heat"], "unknown metric 'heat'"),
        (["--x", "coverage", "--y", "recall", "--where", "k > 900"], "leaves no row"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(out, capsys, words, message):
    assert main(["report", "ssb", "--out", str(out), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (out / "figures").exists()


def test_a_text_in_parentheses_is_a_list_of_one():
    """Python would look for a part of the text."""
    names = ["mixed+logq", "mixed", "logq"]
    keep = parse_filter('arm in ("mixed+logq")', ["arm"])
    assert [keep({"arm": name}) for name in names] == [True, False, False]
    keep = parse_filter('arm not in ("mixed+logq")', ["arm"])
    assert [keep({"arm": name}) for name in names] == [False, True, True]
    keep = parse_filter('"logq" in arm', ["arm"])  # a part of what a column holds
    assert [keep({"arm": name}) for name in names] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("not t < 0.3", [False, True, False]),
        ("not (t < 0.3 and k == 20)", [False, True, False]),
        ("not (t < 0.3 or k == 10)", [False, True, False]),
        ("not k == 10 or t > 0.3", [True, True, True]),
        ("not t in (0.1, 0.2)", [False, True, False]),
    ],
)
def test_a_row_without_a_value_matches_no_comparison_nor_its_opposite(text, kept):
    rows = [{"t": t, "k": 20} for t in (0.1, 0.5, float("nan"))]
    assert [parse_filter(text, ["t", "k"])(row) for row in rows] == kept
