"""Predictions and their outcomes: a table of statements, and verdicts by rule."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd

from research.contrast import Contrast, Expected
from research.report.contrasts import measured
from research.report.intervals import Interval
from research.report.pages import interval_text, markdown_table

STATEMENT = ("statement", "measured", "verdict")
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
SIGNIFICANT = ("better", "worse", "higher", "lower")
_NOT = "not significantly "


def statement(
    text: str,
    ends: Interval,
    low: float = -math.inf,
    high: float = math.inf,
    form: str = "+.3f",
) -> list[str]:
    """A row of a table of statements: a number lies between two others.

    >>> statement("it rises", Interval(0.2, 0.1, 0.3), low=0.05)
    ['it rises', '+0.200 [+0.100, +0.300]', 'holds']
    """
    return [text, interval_text(*ends, form), ends.within(low, high)]


def decided(text: str, found: str, holds: bool) -> list[str]:
    """A row of a table of statements whose verdict needs no interval.

    >>> decided("it is less than 0.3", "0.2", holds=True)
    ['it is less than 0.3', '0.2', 'holds']
    """
    return [text, found, HOLDS if holds else FAILS]


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


def statement_verdicts(page: str) -> list[str]:
    """The verdicts in a page's table of statements; [] without one.

    >>> statement_verdicts(statement_table([["it rises", "+0.1", "holds"]]))
    ['holds']
    """
    return [row[-1] for row in statements(page)]


def outcome(expected: str, found: str) -> str:
    """Whether a contrast with this verdict is as expected, or leaves that undecided.

    "not X" holds by a verdict other than X and undecided. "not significantly X" holds
    by undecided, too: it fails if the verdict is X, or with "different" any significant
    one.

    >>> outcome("better", "equivalent"), outcome("not better", "equivalent")
    ('fails', 'holds')
    >>> outcome("better", "undecided"), outcome("not better", "undecided")
    ('undecided', 'undecided')
    >>> outcome("not significantly different", "undecided")
    'holds'
    """
    if expected.startswith(_NOT):
        bad = expected.removeprefix(_NOT)
        seen = SIGNIFICANT if bad == "different" else (bad,)
        return FAILS if found in seen else HOLDS
    if found == UNDECIDED:
        return UNDECIDED
    same = found == expected.removeprefix("not ")
    return HOLDS if same != expected.startswith("not ") else FAILS


def prediction_table(
    contrasts: Sequence[Contrast], frame: pd.DataFrame, dataset: str
) -> str:
    """The contrasts of a prediction and the verdicts on it, in Markdown.

    Args:
      contrasts: of a grid, with what is expected of them.
      frame: their numbers (research/report/contrasts.py), in the same order.
      dataset: whose records they are from.

    Returns:
      a table; "" where nothing is expected of what was measured.
    """
    rows = []
    for contrast, row in zip(contrasts, frame.to_dict("records"), strict=True):
        expected = contrast.expected
        if expected is None or expected.on not in ("", dataset) or not row["verdict"]:
            continue
        ends = Interval(row["difference"], row["low"], row["high"])
        name = measured(row["metric"], row["k"], row["over"])
        rows.append(
            [
                f"{name}, `{row['arm']}` against `{row['against']}`: {expected.text}",
                f"{interval_text(*ends, '+.4f')}, {row['verdict']}",
                _judged(expected, ends, row["verdict"]),
            ]
        )
    return statement_table(rows) if rows else ""


def _judged(expected: Expected, ends: Interval, found: str) -> str:
    if expected.verdict:
        return outcome(expected.verdict, found)
    return ends.within(expected.low, expected.high)
