"""A page has its prediction and the verdicts where it was made for, and there alone."""

import dataclasses

import pytest

from experiments.collect import report
from experiments.grid import Grid, Prediction
from experiments.lookup import find_by_file
from experiments.studies import STUDIES
from experiments.study import Study, report_study
from research.contrast import BETTER, NOT_DIFFERENT, Contrast
from research.report.predictions import statements
from research.report.records import (
    load_stored,
    read_header,
    save_records,
    save_stored,
)
from tests.report.made import made_rows
from tests.test_repository import ROOT

RECORDS = ROOT / "results" / "records"
HEADER = {"dataset": "ml-100k", "split": "ratio", "quick": False, "data_digest": "0"}
GRID = Grid(
    name="few",
    question="Which?",
    arms=("in-batch", "in-batch+logq", "full-softmax", "popularity"),
    reference="in-batch",
    minutes="1",
    figures={},
    contrasts=(Contrast("in-batch+logq", "in-batch", expected=BETTER),),
    prediction=Prediction(
        text="Log q is better.",
        on=("ml-100k", "ml-1m"),
        contrasts=(Contrast("full-softmax", "in-batch", expected=BETTER),),
        not_judged=("the reason (not measured)",),
    ),
)


def but(**changes):
    """The grid with a changed prediction."""
    return GRID.but(prediction=dataclasses.replace(GRID.prediction, **changes))


def page_of(tmp_path, grid=GRID, rows=None, **changes):
    header = {"grid": grid.name, **HEADER, **changes}
    records = tmp_path / "records" / header["dataset"] / "few.npz"
    save_records(records, rows or made_rows(), header)
    return report(grid, records, tmp_path)[1][1].read_text()


def test_contrasts_and_added_comparisons_have_a_row_each(tmp_path):
    page = page_of(tmp_path)
    rows = statements(page)
    assert [row[0].rpartition(": ")[2] for row in rows] == [
        "better",
        "better",
    ]
    assert [row[2] for row in rows] == ["holds"] * 2
    assert "Prediction: Log q is better.\n" in page
    assert "The last row was added after the runs" in page
    assert "a family of their own (1 with data), over which their p values" in page
    assert "\nNot judged: the reason (not measured).\n" in page


def test_the_family_of_added_comparisons_is_those_with_a_test(tmp_path):
    pair = "full-softmax", "in-batch"
    whole = Contrast(*pair, "coverage", expected=NOT_DIFFERENT)
    grid = but(contrasts=(*GRID.prediction.contrasts, whole))
    page = page_of(tmp_path / "two", grid, made_rows(2, users=300))
    assert "a family of their own (1 with a test), over which" in page
    assert [row[2] for row in statements(page)][1:] == ["holds", "undecided"]
    page = page_of(tmp_path / "one", grid, made_rows(1))
    assert "a family of their own" not in page
    assert {row[2] for row in statements(page)} == {"undecided"}


def test_added_comparisons_change_no_p_value_of_the_grids(tmp_path):
    contrasts = "tables/ml-100k/few-contrasts.csv"
    page_of(tmp_path / "with")
    page_of(tmp_path / "without", but(contrasts=()))
    texts = [(tmp_path / n / contrasts).read_text() for n in ("with", "without")]
    assert texts[0] == texts[1]
    added = but(contrasts=()).but(contrasts=GRID.contrasts + GRID.prediction.contrasts)
    page_of(tmp_path / "among", added)
    assert (tmp_path / "among" / contrasts).read_text() != texts[0]


def test_what_the_records_lack_is_named(tmp_path):
    rows = [row for row in made_rows() if row.arm != "full-softmax"]
    page = page_of(tmp_path, rows=rows)
    assert len(statements(page)) == 1
    (line,) = (line for line in page.splitlines() if line.startswith("Not judged: "))
    assert "`full-softmax` against `in-batch`: better (not in these records" in line
    assert "added after the runs" not in page


@pytest.mark.parametrize("changes", [{"dataset": "mine"}, {"split": "last"}])
def test_other_data_get_one_line_and_no_verdict(tmp_path, changes):
    page = page_of(tmp_path, **changes)
    assert "A prediction was made for ml-100k and ml-1m, split ratio; it is" in page
    assert "Log q is better" not in page
    assert "Not judged" not in page
    assert statements(page) == []


def test_a_studys_page_on_other_data_has_neither_text_nor_verdicts(tmp_path):
    stored = load_stored(RECORDS / "ml-100k" / "trade-off.npz")
    pages = {}
    for name in ("ml-100k", "mine"):
        records = tmp_path / f"{name}.npz"
        header = {**stored.header, "dataset": name}
        save_stored(records, header, stored.arrays, **stored.content)
        written = report_study(STUDIES["trade-off"], records, tmp_path)
        pages[name] = written[1].read_text()
    assert "\nPrediction: " in pages["ml-100k"]
    assert len(statements(pages["ml-100k"])) > 10
    line = "\nA prediction was made for ml-100k and ml-1m and electronic; it is judged "
    assert line in pages["mine"]
    assert line not in pages["ml-100k"]
    assert "rediction:" not in pages["mine"]
    assert statements(pages["mine"]) == []


# not of what their predictions were made for
BESIDE = {
    "history-last",
}


def test_committed_records_are_of_the_data_sets_that_predictions_name():
    for path in sorted(RECORDS.glob("*/*.npz")):
        entry, dataset = find_by_file(path), path.parent.name
        if not entry.prediction.text:
            continue
        if isinstance(entry, Study):
            assert entry.predicts(dataset), path
        else:
            predicts = entry.predicts(dataset, read_header(path)["split"])
            beside = {path.stem, f"{dataset}/{path.stem}"} & BESIDE
            assert predicts is not bool(beside), path
