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
from research.report.predictions import outcome, prediction_table

FOUND = ("better", "worse", "equivalent", "undecided")


@pytest.mark.parametrize(
    ("expected", "outcomes"),
    [
        ("better", ("holds", "fails", "fails", "undecided")),
        ("equivalent", ("fails", "fails", "holds", "undecided")),
        ("not better", ("fails", "holds", "holds", "undecided")),
        ("not significantly better", ("fails", "holds", "holds", "holds")),
        ("not significantly different", ("fails", "fails", "holds", "holds")),
    ],
)
def test_the_outcome_of_each_verdict(expected, outcomes):
    assert tuple(outcome(expected, found) for found in FOUND) == outcomes


def row(verdict, difference=0.01, low=0.005, high=0.015):
    return {
        **{"arm": "mixed", "against": "in-batch", "metric": "recall", "k": 20},
        **{"over": 0, "difference": difference, "low": low, "high": high},
        "verdict": verdict,
    }


def judged(expected, line, dataset="ml-100k"):
    contrast = Contrast("mixed", "in-batch", expected=expected)
    table = prediction_table([contrast], pd.DataFrame([line]), dataset)
    return table.splitlines()[2].split(" | ")[-1].rstrip(" |") if table else ""


def test_a_verdict_or_a_bound_is_expected():
    assert judged(WORSE, row("better")) == "fails"
    assert judged(EQUIVALENT, row("undecided")) == "undecided"
    assert judged(NOT_SIGNIFICANTLY_WORSE, row("undecided")) == "holds"
    assert judged(NOT_WORSE, row("undecided")) == "undecided"
    assert judged(NOT_WORSE, row("equivalent")) == "holds"
    assert judged(Expected(high=0.02), row("better")) == "holds"
    assert judged(Expected(high=0.004), row("better")) == "fails"
    assert judged(Expected(low=0.01), row("better")) == "undecided"
    assert judged(Expected("", 0.0, 0.02), row("better")) == "holds"
    assert Expected(low=0.1, high=0.2).text == "at least 0.1 and at most 0.2"


def test_nothing_is_said_where_nothing_was_expected_or_measured():
    assert judged(None, row("better")) == ""
    assert judged(WORSE._replace(on="ml-1m"), row("worse")) == ""
    assert judged(WORSE._replace(on="ml-1m"), row("worse"), "ml-1m") == "holds"
    assert judged(NOT_DIFFERENT, row("", np.nan, np.nan, np.nan)) == ""


def test_a_grid_with_a_prediction_says_what_it_expects_and_no_other_does():
    for name, grid in GRIDS.items():
        expects = any(contrast.expected for contrast in grid.contrasts)
        assert expects == bool(grid.prediction), name
