"""The outside ledger's prediction: cells that agree, rows that lie near, a prior."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies.outside.report import (
    AGREES,
    AT_K,
    NDCG,
    SERVED,
    SL,
    UNEXPLAINED,
    verdicts,
)
from research.report.records import Stored


def records(sl=0.05, at_k=0.057, sl_served=0.057, at_k_served=0.055):
    """NDCG@20 of four rows on Electronics, three seeds each; the fourth is not run."""
    rows = {SL: sl, AT_K: at_k, SERVED.format(SL): sl_served}
    rows[SERVED.format(AT_K)] = at_k_served
    seeds = 1e-5 * np.array([-1.0, 0.0, 1.0])
    mean = np.array([[*(value + seeds), np.nan] for value in rows.values()])
    # one row without noise, so that differences vary between seeds
    mean[0, :3] = sl
    header = {"runs": [*rows], "numbers": [NDCG], "data": ["electronic"] * 4}
    header["resplit"] = [False] * 4
    return Stored(header, {}, {"mean": mean[..., None], "error": mean[..., None] * 0})


def ledger(*cells):
    """A frame of cells: data set, row, whether it agrees, published less ours."""
    columns = ["dataset", "row", "verdict", "difference"]
    rows = [(d, r, AGREES if a else UNEXPLAINED, by) for d, r, a, by in cells]
    return pd.DataFrame(rows, columns=columns)


def found(frame, stored=None):
    stored = stored or Stored(
        {"runs": [], "numbers": [], "data": [], "resplit": []}, {}, {}
    )
    return {row[0]: row[1:] for row in verdicts(frame, stored)}


def test_one_cell_that_disagrees_fails_its_row_and_no_other():
    frame = ledger(
        ("electronic", "BPR", True, 0.0),
        ("electronic", "SL", True, 0.0),
        ("electronic", "SL", False, 0.1),
    )
    assert found(frame) == {
        "electronic, BPR: all cells agree": ["1 of 1", "holds"],
        "electronic, SL: all cells agree": ["1 of 2", "fails"],
    }


def test_what_is_said_of_a_table_depends_on_the_table():
    frame = ledger(
        ("ml-1m-ge3", "EASE, lambda 1", True, 0.0),
        ("ml-1m-ge3", "SLIMElastic", False, 0.1),
        ("ml-100k", "BPR, defaults (README)", True, 0.0),
        ("ml-100k", "BPR, defaults (quick start)", True, 0.0),
        ("ml-100k-cornac", "BPR, 10 factors", False, 0.1),  # with its own expectation
        ("electronic", "LLPAUC", False, 0.1),  # likewise
    )
    assert found(frame) == {
        "ml-1m-ge3: all cells agree": ["1 of 2", "fails"],
        "ml-100k, BPR: all cells agree": ["2 of 2", "holds"],
    }


@pytest.mark.parametrize(("by", "verdict"), [(-0.0099, "holds"), (0.0101, "fails")])
def test_the_farthest_cell_decides_whether_a_row_lies_near(by, verdict):
    frame = ledger(("gowalla", "SL@20", False, 0.001), ("gowalla", "SL@20", False, by))
    (row,) = found(frame).values()
    assert row == [f"at most {abs(by):.4f} away", verdict]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["holds"] * 3),
        ({"sl_served": 0.06}, ["fails", "fails", "holds"]),
        ({"at_k_served": 0.0601}, ["holds", "holds", "fails"]),
        ({"at_k": 0.055, "at_k_served": 0.055}, ["holds", "fails", "holds"]),
    ],
)
def test_what_a_prior_does_on_electronics(changes, expected):
    rows = found(ledger(), records(**changes))
    assert [row[1] for row in rows.values()] == expected


def test_without_these_rows_nothing_is_said_of_a_prior():
    stored = records()
    short = {name: values[:3] for name, values in stored.arrays.items()}
    header = {n: values[:3] for n, values in stored.header.items()}
    assert found(ledger(), Stored(header, {}, short)) == {}
