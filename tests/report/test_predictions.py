"""Verdicts of predictions: what is expected of contrasts, and what follows by rule."""

import numpy as np
import pandas as pd
import pytest

from experiments.grids import GRIDS
from research.contrast import (
    EQUIVALENT,
    NOT_DIFFERENT,
    NOT_SIGNIFICANTLY_WORSE,
    NOT_WORSE,
    WORSE,
    Contrast,
    Expected,
)
from research.report.contrasts import contrast_frame
from research.report.intervals import Interval
from research.report.predictions import (
    AS_THEY_ARE,
    contrast_rows,
    decided,
    outcome,
    prediction_blocks,
    statement,
)
from tests.report.made import made_rows

FOUND = ("better", "worse", "equivalent", "undecided", "not tested")


@pytest.mark.parametrize(
    ("expected", "outcomes"),
    [
        ("better", ("holds", "fails", "fails", "undecided", "undecided")),
        ("equivalent", ("fails", "fails", "holds", "undecided", "undecided")),
        ("not better", ("fails", "holds", "holds", "undecided", "undecided")),
        (
            "not significantly better",
            ("fails", "holds", "holds", "undecided", "undecided"),
        ),
        (
            "not significantly different",
            ("fails", "fails", "holds", "undecided", "undecided"),
        ),
    ],
)
def test_the_outcome_of_each_verdict(expected, outcomes):
    assert tuple(outcome(expected, found) for found in FOUND) == outcomes


def row(verdict, difference=0.01, low=0.005, high=0.015, within=False):
    p_equivalence = 0.01 if within or verdict == "equivalent" else 0.9
    return {
        **{"arm": "mixed", "against": "in-batch", "metric": "recall", "k": 20},
        **{"over": 0, "difference": difference, "low": low, "high": high},
        **{"verdict": verdict, "p_equivalence_holm": p_equivalence},
        "note": "" if verdict else "not in these records: mixed",
    }


def judged(expected, line, dataset="ml-100k"):
    contrast = Contrast("mixed", "in-batch", expected=expected)
    rows, _ = contrast_rows([contrast], pd.DataFrame([line]), dataset)
    return ", ".join(row[-1] for row in rows)


def test_a_verdict_or_a_bound_is_expected():
    assert judged(WORSE, row("better")) == "fails"
    assert judged(EQUIVALENT, row("undecided")) == "undecided"
    assert judged(NOT_SIGNIFICANTLY_WORSE, row("undecided")) == "undecided"
    assert judged(NOT_WORSE, row("undecided")) == "undecided"
    assert judged(NOT_WORSE, row("equivalent")) == "holds"
    assert judged(Expected(high=0.02), row("better")) == "holds"
    assert judged(Expected(high=0.004), row("better")) == "fails"
    assert judged(Expected(low=0.01), row("better")) == "undecided"
    assert judged(Expected("", 0.0, 0.02), row("better")) == "holds"
    assert Expected(low=0.1, high=0.2).text == "at least 0.1 and at most 0.2"


@pytest.mark.parametrize("found", ["better", "worse"])
def test_a_significant_difference_may_be_within_the_margin(found):
    line = row(found, within=True)
    contrast = Contrast("mixed", "in-batch", expected=(EQUIVALENT, NOT_DIFFERENT))
    (alike, same), _ = contrast_rows([contrast], pd.DataFrame([line]), "ml-100k")
    assert alike[1:] == [f"+0.0100 [+0.0050, +0.0150], {found}, within 2 %", "holds"]
    assert same[1:] == [alike[1], "fails"]
    assert judged(EQUIVALENT, row(found)) == "fails"
    assert outcome("not equivalent", found, within=True) == "fails"
    other = {"better": "worse", "worse": "better"}[found]
    for expected in (found, f"not {other}", other, f"not {found}"):
        assert judged(Expected(expected), line) == outcome(expected, found)


def test_nothing_is_said_where_nothing_was_expected_or_measured():
    assert judged(None, row("better")) == ""
    assert judged(WORSE._replace(on="ml-1m"), row("worse")) == ""
    assert judged(WORSE._replace(on="ml-1m"), row("worse"), "ml-1m") == "holds"
    assert judged(NOT_DIFFERENT, row("", np.nan, np.nan, np.nan)) == ""


def test_a_contrast_may_have_two_expectations_each_with_its_verdict():
    both = NOT_SIGNIFICANTLY_WORSE, EQUIVALENT
    assert judged(both, row("undecided")) == "undecided, undecided"
    assert judged(both, row("worse")) == "fails, fails"


def test_what_has_no_numbers_is_named_with_the_reason():
    line = row("", np.nan, np.nan, np.nan)
    for expected, count in ((WORSE, 1), (WORSE._replace(on="ml-1m"), 0), (None, 0)):
        contrast = Contrast("mixed", "in-batch", expected=expected)
        rows, absent = contrast_rows([contrast], pd.DataFrame([line]), "ml-100k")
        assert rows == []
        said = "recall@20, `mixed` against `in-batch`: worse"
        assert absent == [f"{said} (not in these records: mixed)"] * count


def test_statements_on_one_seed_are_undecided():
    one = [row for row in made_rows(users=300) if row.seed == 0]
    frame = contrast_frame(one, [Contrast("full-softmax", "in-batch")])
    for expected in (NOT_DIFFERENT, Expected("better"), Expected(low=0.0)):
        contrast = Contrast("full-softmax", "in-batch", expected=expected)
        (row,), none = contrast_rows([contrast], frame, "ml-100k")
        assert (row[2], none) == ("undecided", [])
        assert row[1].endswith("], not tested: one seed")


def test_a_grid_with_a_prediction_says_what_it_expects_and_no_other_does():
    for name, grid in GRIDS.items():
        expects = any(contrast.expected for contrast in grid.contrasts)
        assert expects == bool(grid.prediction.text), name


def test_a_page_says_where_verdicts_have_no_interval():
    """Such a verdict may be chance; one that is undecided claims nothing."""
    tested = statement("it rises", Interval(0.2, 0.1, 0.3), low=0.0)
    too_few = statement("it rises", Interval(0.2, np.nan, np.nan), low=0.0)
    bare = decided("it peaks at 1", "1", holds=True)
    for rows, said in (([tested, too_few], False), ([tested, bare], True)):
        blocks = prediction_blocks("It rises.", "ml-100k", rows, ["A note."])
        assert (AS_THEY_ARE in blocks) == said
        assert blocks[-1] == "A note."
