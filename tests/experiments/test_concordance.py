"""Agreement with other libraries: verdicts on made values, and the committed table."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.concordance import __main__ as command
from experiments.concordance.__main__ import (
    DIFFERS,
    EQUAL,
    NO_RULE,
    UNEXPLAINED,
    Verdict,
    compare,
    compare_ties,
)
from experiments.concordance.formulas import (
    ALL_TIED,
    HIGHER,
    ITEMS,
    OWN,
    Ranked,
    make,
    our_lists,
    ranked,
    tied,
    values,
)

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def known():
    """Each metric by each formula, without ties."""
    made = make()
    return values(ranked(made, our_lists(made, ITEMS)))


def said(*values, library="made"):
    return {library: {"version": "1", "values": [list(value) for value in values]}}


def test_formulas_by_hand():
    """Held out: 2 items at ranks 1 and 4; 30 items, of which rank 2 alone is in 20."""
    found = np.zeros((2, ITEMS), bool)
    found[0, [0, 3]] = True
    found[1, [1, *range(30, 59)]] = True
    n = np.array([2, 30])
    by = {m: list(v.values()) for m, v in values(Ranked(found, n, 3)).items()}
    first, second = 1 + 2 / 4, 1 / 2
    log = 1 / np.log2(np.arange(2, 22))
    weight = np.concatenate([[1, 1], log[1:-1]])
    expected = {
        "hit": [1, 2 / 3],
        "recall": [(1 + 1 / 30) / 2, (1 + 1 / 20) / 2, 3 / 32],
        "precision": [(2 + 1) / 40, 3 / 22],
        "mrr": [(1 + 1 / 2) / 2],
        "map": [
            (first / 2 + second / 20) / 2,
            (first / 2 + second / 30) / 2,
            (first + second) / 40,
        ],
        "ndcg": [
            ((log[0] + log[3]) / log[:2].sum() + log[1] / log.sum()) / 2,
            (log[0] + log[3] + log[1]) / log.sum() / 2,
            ((1 + weight[3]) / weight[:2].sum() + 1 / weight.sum()) / 2,
        ],
    }
    for metric, numbers in expected.items():
        assert by[metric][: len(numbers)] == pytest.approx(numbers)


def test_every_formula_is_told_from_the_others(known):
    pairs = [(m, because) for m, each in known.items() for because in each]
    seen = compare(said(*((m, "call", known[m][b]) for m, b in pairs)), known)
    assert [(v.metric, v.because) for v in seen] == pairs
    assert all(v.verdict == (DIFFERS if v.because else EQUAL) for v in seen)


@pytest.mark.parametrize(
    ("library", "off", "verdict"),
    [
        ("made", 5e-10, EQUAL),
        ("made", 5e-9, UNEXPLAINED),
        ("TFRS", 5e-7, EQUAL),
        ("TFRS", 5e-6, UNEXPLAINED),
    ],
)
def test_what_is_called_equal(known, library, off, verdict):
    value = known["ndcg"][OWN] + off
    (seen,) = compare(said(("ndcg", "call", value), library=library), known)
    assert seen.verdict == verdict
    assert seen.library == f"{library} 1"


def test_ties_are_told_apart_by_their_rule(known):
    with_ties = make(ties=True)
    rules, least, most = tied(with_ties)["recall"]
    assert least < rules[OWN] < rules[HIGHER] < most
    calls = {
        **rules,
        NO_RULE: (least + rules[OWN]) / 2,
        "below": least - 0.01,
    }
    own = known["recall"][OWN]
    equal = compare(said(*(("recall", call, own) for call in calls)), known)
    answers = said(*(("recall", call, value) for call, value in calls.items()))
    verdicts = compare_ties(answers, with_ties, equal)
    assert [v.because for v in verdicts] == [OWN, HIGHER, ALL_TIED, NO_RULE, ""]
    assert [v.verdict for v in verdicts] == [EQUAL, *[DIFFERS] * 3, UNEXPLAINED]
    assert compare_ties(answers, with_ties, equal[1:])[0].because == HIGHER


# Not pandas' own reading, which may be off in the last digit.
EXACT = dict.fromkeys(("value", "ours", "tolerance"), float)


@pytest.fixture(scope="module")
def committed():
    """The verdicts of the committed table, without ties and with them."""
    path = RESULTS / "concordance.csv"
    frame = pd.read_csv(path, keep_default_na=False, converters=EXACT)
    tables = (frame[frame.ties == name].drop(columns="ties") for name in ("no", "yes"))
    return [[Verdict(*row) for row in table.to_numpy()] for table in tables]


def test_the_committed_page_is_that_of_the_committed_table(committed):
    page = (RESULTS / "concordance.md").read_text()
    assert page == command.page_of(*committed)


def test_in_the_committed_table_three_libraries_are_equal_by_each_metric(committed):
    for metric in {v.metric for v in committed[0]}:
        rows = [v for v in committed[0] if v.metric == metric]
        assert len({v.library for v in rows if v.verdict == EQUAL}) >= 3
    libraries = {v.library.split()[0] for v in committed[0]}
    assert len(libraries) == 7


def test_the_numbers_of_the_documentation_are_those_of_the_table(committed):
    page = (RESULTS.parent / "docs" / "metrics.md").read_text()
    section = page.split("## Agreement with other libraries")[1].split("\n## ")[0]
    numbers = re.findall(r"0\.\d{4}\b", section)
    rows = [v for table in committed for v in table]
    known = {f"{x:.4f}" for v in rows for x in (v.value, v.ours)}
    assert len(numbers) > 10
    assert set(numbers) <= known


def test_the_committed_verdicts_are_those_of_today(committed, known):
    """Today's formulas, on the values that the libraries gave."""

    def again(verdicts):
        answers = {}
        for v in verdicts:
            library, _, version = v.library.partition(" ")
            answer = answers.setdefault(library, {"version": version, "values": []})
            answer["values"].append([v.metric, v.call, v.value])
        return answers

    without, ties = committed
    seen = compare(again(without), known)
    seen_ties = compare_ties(again(ties), make(ties=True), seen)
    for old, new in ((without, seen), (ties, seen_ties)):
        assert UNEXPLAINED not in {v.verdict for v in new}
        plain = [[v._replace(ours=0.0) for v in table] for table in (old, new)]
        assert sorted(plain[0]) == sorted(plain[1])
        ours = [{(v.library, v.call): v.ours for v in table} for table in (old, new)]
        assert ours[0] == pytest.approx(ours[1], abs=1e-12)


def test_without_the_libraries_it_says_how_to_install_them(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(command, "PEERS", tmp_path / "absent")
    assert command.main([str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "make concordance" in error


@pytest.mark.parametrize("words", [["--help"], ["out", "more"]])
def test_words_that_are_no_folder_are_refused(words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected python -m experiments.concordance [OUT]" in error
    assert not list(tmp_path.iterdir())
