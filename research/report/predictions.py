"""Statements of predictions: intervals, and verdicts by rule."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from research.contrast import Contrast, Expected
from research.report.contrasts import (
    UNTESTED,
    measured,
    verdict_text,
    within_margin,
)
from research.report.intervals import Interval
from research.report.pages import interval_text, markdown_table

STATEMENT = ("statement", "measured", "verdict")
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
SIGNIFICANT = ("better", "worse", "higher", "lower")
AS_THEY_ARE = (
    "Statements without an interval go by the numbers as they are: what chance adds to "
    "these is not considered."
)


def statement(
    text: str,
    ends: Interval,
    low: float = -math.inf,
    high: float = math.inf,
    form: str = "+.3f",
    tested: bool = True,
) -> list[str]:
    """A row of a table of statements: a number lies between two others.

    >>> statement("it rises", Interval(0.2, 0.1, 0.3), low=0.05)
    ['it rises', '+0.200 [+0.100, +0.300]', 'holds']
    """
    verdict = ends.within(low, high) if tested else UNDECIDED
    return [text, interval_text(*ends, form), verdict]


def decided(text: str, found: str, holds: bool) -> list[str]:
    """A row of a table of statements whose verdict goes by the numbers as they are.

    >>> decided("it is less than 0.3", "0.2", holds=True)
    ['it is less than 0.3', '0.2', 'holds']
    """
    return [text, found, HOLDS if holds else FAILS]


def prediction_blocks(
    prediction: str,
    made_for: str,
    rows: Sequence[Sequence[str]] | None,
    notes: Sequence[str] = (),
) -> list[str]:
    """The paragraphs of a page on a prediction and what came of it, in Markdown.

    >>> prediction_blocks("It rises.", "ml-100k and ml-1m", None)
    ['A prediction was made for ml-100k and ml-1m; it is judged there alone.']
    """
    if not prediction:
        return []
    if rows is None:
        return [f"A prediction was made for {made_for}; it is judged there alone."]
    table = statement_table(rows) if rows else ""
    bare = any("[" not in found and said != UNDECIDED for _, found, said in rows)
    blocks = [f"Prediction: {prediction}", table, AS_THEY_ARE if bare else ""]
    return [*filter(None, blocks), *notes]


def not_judged(parts: Sequence[str]) -> list[str]:
    """The paragraph on what the records cannot judge, if there is such.

    >>> not_judged(["the rate (not recorded)"]), not_judged([])
    (['Not judged: the rate (not recorded).'], [])
    """
    return [f"Not judged: {'; '.join(parts)}."] if parts else []


def statement_table(rows: Sequence[Sequence[str]]) -> str:
    """What a prediction says, what was measured and the verdict, in Markdown."""
    return markdown_table(STATEMENT, rows)


def statements(page: str) -> list[list[str]]:
    """The rows of a page's table of statements; [] without one.

    >>> statements(statement_table([["it rises", "+0.1", "holds"]]))
    [['it rises', '+0.1', 'holds']]
    """
    lines = iter(page.splitlines())
    head = f"| {' | '.join(STATEMENT)} |"
    for line in lines:
        if line == head:
            table = itertools.takewhile(lambda row: row.startswith("|"), lines)
            return [row[2:-2].split(" | ") for row in table][1:]
    return []


def outcome(expected: str, found: str, within: bool = False) -> str:
    """Whether a contrast with this verdict is as expected, or leaves that undecided.

    "not X" and "not significantly X" hold by a verdict other than X, "different" being
    any significant one. What is undecided or not tested leaves all of them undecided:
    that nothing was found is no finding. A difference can be significant and within the
    margin of equivalence: then its verdict is better or worse, and "equivalent" holds,
    too.

    >>> outcome("equivalent", "better"), outcome("equivalent", "better", within=True)
    ('fails', 'holds')
    >>> outcome("better", "equivalent"), outcome("not better", "equivalent")
    ('fails', 'holds')
    >>> outcome("better", "undecided"), outcome("not significantly better", "undecided")
    ('undecided', 'undecided')
    >>> outcome("not significantly different", "equivalent")
    'holds'
    """
    if found in (UNTESTED, UNDECIDED):
        return UNDECIDED
    verdict = expected.removeprefix("not ").removeprefix("significantly ")
    seen = SIGNIFICANT if verdict == "different" else (verdict,)
    same = found in seen or (within and verdict == "equivalent")
    return HOLDS if same != expected.startswith("not ") else FAILS


def contrast_rows(
    contrasts: Sequence[Contrast], frame: pd.DataFrame, dataset: str
) -> tuple[list[list[str]], list[str]]:
    """What is expected of contrasts, and the verdicts on it.

    Returns:
      rows of a table of statements; the statements that have no numbers here.
    """
    rows, absent = [], []
    for contrast, row in zip(contrasts, frame.to_dict("records"), strict=True):
        name = measured(row["metric"], row["k"], row["over"])
        ends = Interval(row["difference"], row["low"], row["high"])
        for expected in contrast.expectations:
            text = f"{name}, `{row['arm']}` against `{row['against']}`: {expected.text}"
            if expected.on not in ("", dataset):
                continue
            if not row["verdict"]:
                absent.append(f"{text} ({row['note']})")
                continue
            found = f"{interval_text(*ends, '+.4f')}, {verdict_text(row)}"
            rows.append([text, found, _judged(expected, ends, row)])
    return rows, absent


def _judged(expected: Expected, ends: Interval, row: Mapping[Any, Any]) -> str:
    if row["verdict"] == UNTESTED:
        return UNDECIDED
    if expected.verdict:
        return outcome(expected.verdict, row["verdict"], within_margin(row))
    return ends.within(expected.low, expected.high)
