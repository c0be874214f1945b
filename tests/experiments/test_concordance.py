"""Agreement with other libraries: verdicts on made values, and the committed table."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.concordance import __main__ as command
from experiments.concordance.compare import (
    DIFFERS,
    EQUAL,
    UNEXPLAINED,
    Verdict,
    compare,
    compare_ties,
)
from experiments.concordance.made import (
    ALL_TIED,
    FORMULAS,
    HIGHER,
    ITEMS,
    NO_RULE,
    OWN,
    Ranked,
    make,
    our_lists,
    ranked,
    tied,
    values_of,
)

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def of():
    made = make()
    return ranked(made, our_lists(made, ITEMS))


def said(*values, library="made"):
    return {library: {"version": "1", "values": [list(value) for value in values]}}


def test_formulas_by_hand():
    """Held out: 2 items at ranks 1 and 4; 30 items, of which rank 2 alone is in 20."""
    found = np.zeros((2, ITEMS), bool)
    found[0, [0, 3]] = True
    found[1, [1, *range(30, 59)]] = True
    of = Ranked(found, np.array([2, 30]), 3)
    assert list(values_of("hit", of).values()) == pytest.approx([1, 2 / 3])
    assert list(values_of("recall", of).values()) == pytest.approx(
        [(1 + 1 / 30) / 2, (1 + 1 / 20) / 2, 3 / 32]
    )
    assert list(values_of("precision", of).values()) == pytest.approx(
        [(2 + 1) / 40, 3 / 22]
    )
    assert values_of("mrr", of)[OWN] == pytest.approx((1 + 1 / 2) / 2)
    first, second = 1 + 2 / 4, 1 / 2
    assert list(values_of("map", of).values())[:3] == pytest.approx(
        [
            (first / 2 + second / 20) / 2,
            (first / 2 + second / 30) / 2,
            (first + second) / 40,
        ]
    )
    log = 1 / np.log2(np.arange(2, 22))
    gains = log[0] + log[3], log[1]
    own, of_20, clipped = values_of("ndcg", of).values()
    assert own == pytest.approx((gains[0] / log[:2].sum() + gains[1] / log.sum()) / 2)
    assert of_20 == pytest.approx(sum(gains) / log.sum() / 2)
    weight = 1 / np.concatenate([[1, 1], np.log2(np.arange(3, 21))])
    ideal = weight[:2].sum(), weight.sum()
    assert clipped == pytest.approx(((1 + weight[3]) / ideal[0] + 1 / ideal[1]) / 2)


@pytest.mark.parametrize("metric", FORMULAS)
def test_every_formula_is_told_from_the_others(of, metric):
    for because, value in values_of(metric, of).items():
        (verdict,) = compare(said((metric, "call", value)), of)
        assert verdict.because == because
        assert verdict.verdict == (DIFFERS if because else EQUAL)


@pytest.mark.parametrize(
    ("library", "off", "verdict"),
    [
        ("made", 5e-10, EQUAL),
        ("made", 5e-9, UNEXPLAINED),
        ("TFRS", 5e-7, EQUAL),
        ("TFRS", 5e-6, UNEXPLAINED),
    ],
)
def test_what_is_called_equal(of, library, off, verdict):
    value = values_of("ndcg", of)[OWN] + off
    (seen,) = compare(said(("ndcg", "call", value), library=library), of)
    assert seen.verdict == verdict
    assert seen.library == f"{library} 1"


def test_ties_are_told_apart_by_their_rule(of):
    with_ties = make(ties=True)
    rules = tied("recall", with_ties)
    least, most = rules.least, rules.most
    assert least < rules.values[OWN] < rules.values[HIGHER] < most
    calls = {
        OWN: rules.values[OWN],
        HIGHER: rules.values[HIGHER],
        ALL_TIED: rules.values[ALL_TIED],
        NO_RULE: (least + rules.values[OWN]) / 2,
        "below": least - 0.01,
    }
    own = values_of("recall", of)[OWN]
    equal = compare(said(*(("recall", call, own) for call in calls)), of)
    answers = said(*(("recall", call, value) for call, value in calls.items()))
    verdicts = compare_ties(answers, with_ties, equal)
    assert [v.because for v in verdicts] == [OWN, HIGHER, ALL_TIED, NO_RULE, ""]
    assert [v.verdict for v in verdicts] == [EQUAL, *[DIFFERS] * 3, UNEXPLAINED]
    assert compare_ties(answers, with_ties, equal[1:])[0].because == HIGHER


def test_the_order_of_equal_scores_is_that_of_the_rankings():
    made = make(ties=True)
    lists = our_lists(made, ITEMS)
    for user in (0, 7):
        unseen = np.flatnonzero(~made.seen[user])
        order = unseen[np.argsort(-made.scores[user, unseen], kind="stable")]
        np.testing.assert_array_equal(lists[user, : len(order)], order)
        assert (lists[user, len(order) :] == ITEMS).all()


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
    for metric in FORMULAS:
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


def test_the_committed_verdicts_are_those_of_today(committed, of):
    """Today's formulas, on the values that the libraries gave."""

    def again(verdicts):
        answers = {}
        for v in verdicts:
            library, _, version = v.library.partition(" ")
            answer = answers.setdefault(library, {"version": version, "values": []})
            answer["values"].append([v.metric, v.call, v.value])
        return answers

    without, ties = committed
    seen = compare(again(without), of)
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


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["out", "more"], ["out", "-x"]])
def test_words_that_are_no_folder_are_refused(words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected python -m experiments.concordance [OUT]" in error
    assert not list(tmp_path.iterdir())
