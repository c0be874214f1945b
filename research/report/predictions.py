"""Statements on means, sums and ratios of cells: intervals, and verdicts by rule."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from research.contrast import Contrast, Expected, Part, Stated, Term
from research.evaluate.metrics import METRICS
from research.report.contrasts import (
    UNTESTED,
    measured,
    of_one_run,
    runs_of,
    verdict_text,
    within_margin,
)
from research.report.intervals import Estimate, Interval
from research.report.pages import interval_text, markdown_table
from research.report.records import RunResult
from research.report.tables import (
    CellKey,
    by_cell,
    cell_key,
    estimate_of,
    judged_alike,
    positives_of,
    values_of,
)
from research.types import InputError

Records = Mapping[str, Sequence[RunResult]]  # by the name that a term has for them
Key = tuple[str, CellKey]  # of a term: its records, its cell
Weight = tuple[Term, float]


def combined(stated: Stated, records: Records) -> Estimate:
    """The sum of a statement's parts, with its standard error.

    A ratio is linearised (delta method). Cells of the same records are paired by user
    and seed. Different records count as independent, with the degrees of freedom of
    Welch and Satterthwaite.

    Raises:
      InputError: a cell or the metric is absent, cells of the same records differ in
        seeds, users or positives, or a denominator has a 95 % interval that contains
        0, so that the ratio can't be linearised; the message says which.
    """
    cells = _cells(stated, records)
    values = {
        key: values_of(runs, stated.metric, stated.k) for key, runs in cells.items()
    }
    _check_alike(cells, values)

    def summed(weights: Sequence[Weight]) -> Estimate:
        return _summed(weights, values, stated.metric)

    parts = [_weighed(part, summed) for part in stated.parts]
    total = sum(value for value, _ in parts)
    error = summed([weight for _, weights in parts for weight in weights])
    return error._replace(mean=total)


def covers_seeds(stated: Stated, records: Records) -> bool:
    """Whether a statement's interval covers what other seeds would give.

    That of one seed doesn't. In a metric of all lists together that of arms without
    random draws doesn't, either: nothing of it varies.
    """
    cells = _cells(stated, records).values()
    some = METRICS[stated.metric].per_user or not all(map(of_one_run, cells))
    return some and min(map(len, cells)) > 1


def _cells(stated: Stated, records: Records) -> dict[Key, list[RunResult]]:
    """The runs of each cell that a statement names."""
    known = {name: by_cell(results) for name, results in records.items()}
    found = {}
    for term in (t for part in stated.parts for t in (*part.terms, *part.over)):
        if term.records not in known:
            raise InputError(f"no records {term.records}")
        found[_key(term)] = runs_of(known[term.records], term.arm, term.at)
    return found


def _summed(
    weights: Sequence[Weight], values: Mapping[Key, ndarray], metric: str
) -> Estimate:
    """The sum of terms, each times its weight."""
    linear = dict[str, ndarray]()  # by records, of which the terms are paired
    for term, weight in weights:
        before = linear.get(term.records, 0.0)
        linear[term.records] = before + weight * values[_key(term)]
    found = [estimate_of(metric, of_records) for of_records in linear.values()]
    variances = np.array([float(one.error) ** 2 for one in found])
    freedom = np.array([float(one.df) for one in found])
    variance = variances.sum()
    # Where nothing varies, the smallest degrees of freedom do as well as any.
    df = variance**2 / (variances**2 / freedom).sum() if variance else freedom.min()
    mean = sum(float(one.mean) for one in found)
    return Estimate(mean, float(np.sqrt(variance)), float(df))


def _key(term: Term) -> Key:
    return term.records, cell_key(term.arm, term.at)


def _check_alike(
    cells: Mapping[Key, list[RunResult]], values: Mapping[Key, ndarray]
) -> None:
    """Refuses cells of the same records that can't be paired."""
    first: dict[str, tuple[list[int], bytes]] = {}
    positives: dict[str, tuple[str, str]] = {}
    for key, runs in cells.items():
        name, arm = key[0], key[1][0]
        where = name or "these records"
        mine = [run.seed for run in runs], np.isnan(values[key]).tobytes()
        if first.setdefault(name, mine) != mine:
            raise InputError(f"{where}: {arm} has other seeds or users")
        record = runs[0].record
        assert record is not None  # a failed run is refused above
        judged_by = positives_of(record)
        if not judged_alike(positives.setdefault(name, judged_by), judged_by):
            raise InputError(f"{where}: {arm} is judged by other positives")


def _weighed(
    part: Part, summed: Callable[[Sequence[Weight]], Estimate]
) -> tuple[float, list[Weight]]:
    """A part's value, and the weight of each term in it, linearised at the means."""
    above = summed([(term, term.factor) for term in part.terms]).mean
    if not part.over:
        return part.factor * above, [(t, part.factor * t.factor) for t in part.terms]
    denominator = summed([(term, term.factor) for term in part.over])
    below, low, high = denominator.interval()
    if low <= 0 <= high:
        raise InputError(
            f"the denominator may be 0: {interval_text(below, low, high, '.3g')}"
        )
    slope = part.factor / below
    weights = [(term, slope * term.factor) for term in part.terms]
    weights += [(term, -slope * term.factor * above / below) for term in part.over]
    return slope * above, weights


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


def stated_rows(
    stated: Sequence[Stated], records: Records
) -> tuple[list[list[str]], list[str]]:
    """Statements on sums and ratios, and the verdicts on them, as ``contrast_rows``."""
    rows, absent = [], []
    for one in stated:
        try:
            ends = combined(one, records).interval()
            tested = covers_seeds(one, records)
        except InputError as error:
            absent.append(f"{one.text} ({error})")
            continue
        rows.append(statement(one.text, ends, one.low, one.high, one.form, tested))
    return rows, absent


def _judged(expected: Expected, ends: Interval, row: Mapping[Any, Any]) -> str:
    if row["verdict"] == UNTESTED:
        return UNDECIDED
    if expected.verdict:
        return outcome(expected.verdict, row["verdict"], within_margin(row))
    return ends.within(expected.low, expected.high)
