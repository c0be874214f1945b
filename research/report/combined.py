"""Sums and ratios of the means of several cells, with intervals, for statements."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy import ndarray

from research.contrast import Part, Stated, Term
from research.evaluate.metrics import METRICS
from research.report.cells import judged_alike, positives_of
from research.report.contrasts import by_cell, of_one_run, runs_of, values_of
from research.report.intervals import Estimate, over_seeds, two_way
from research.report.pages import interval_text
from research.report.records import RunResult
from research.types import InputError

Records = Mapping[str, Sequence[RunResult]]  # by the name that a term has for them
Key = tuple[str, str, frozenset[tuple[str, float]]]  # records, arm and swept values
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
    terms = [term for part in stated.parts for term in (*part.terms, *part.over)]
    values = {_key(term): _values(term, stated, records) for term in terms}
    _check_alike(terms, values, records)
    estimate = two_way if METRICS[stated.metric].per_user else over_seeds

    def summed(weights: Sequence[Weight]) -> Estimate:
        return _summed(weights, values, estimate)

    parts = [_weighed(part, summed) for part in stated.parts]
    total = sum(value for value, _ in parts)
    error = summed([weight for _, weights in parts for weight in weights])
    return error._replace(mean=total)


def covers_seeds(stated: Stated, records: Records) -> bool:
    """Whether a statement's interval covers what other seeds would give.

    That of one seed doesn't. In a metric of all lists together that of arms without
    random draws doesn't, either: nothing of it varies.
    """
    terms = [term for part in stated.parts for term in (*part.terms, *part.over)]
    cells = [_runs(term, records) for term in terms]
    some = METRICS[stated.metric].per_user or not all(map(of_one_run, cells))
    return some and min(map(len, cells)) > 1


def _summed(
    weights: Sequence[Weight],
    values: Mapping[Key, ndarray],
    estimate: Callable[[ndarray], Estimate],
) -> Estimate:
    """The sum of terms, each times its weight."""
    linear = dict[str, ndarray]()  # by records, of which the terms are paired
    for term, weight in weights:
        before = linear.get(term.records, 0.0)
        linear[term.records] = before + weight * values[_key(term)]
    found = [estimate(of_records) for of_records in linear.values()]
    variances = np.array([float(one.error) ** 2 for one in found])
    freedom = np.array([float(one.df) for one in found])
    variance = variances.sum()
    # Where nothing varies, the smallest degrees of freedom do as well as any.
    df = variance**2 / (variances**2 / freedom).sum() if variance else freedom.min()
    mean = sum(float(one.mean) for one in found)
    return Estimate(mean, float(np.sqrt(variance)), float(df))


def _key(term: Term) -> Key:
    swept = frozenset((field, float(value)) for field, value in term.at.items())
    return term.records, term.arm, swept


def _values(term: Term, stated: Stated, records: Records) -> ndarray:
    """The metric of a term's cell, by user and seed, or by seed alone."""
    return values_of(_runs(term, records), stated.metric, stated.k)


def _runs(term: Term, records: Records) -> list[RunResult]:
    if term.records not in records:
        raise InputError(f"no records {term.records}")
    return runs_of(by_cell(records[term.records]), term.arm, term.at)


def _check_alike(
    terms: Sequence[Term], values: Mapping[Key, ndarray], records: Records
) -> None:
    """Refuses cells of the same records that can't be paired.

    Raises:
      InputError: their seeds, users or positives differ.
    """
    first: dict[str, tuple[list[int], bytes]] = {}
    positives: dict[str, tuple[str, str]] = {}
    for term in terms:
        runs, where = _runs(term, records), term.records or "these records"
        mine = [run.seed for run in runs], np.isnan(values[_key(term)]).tobytes()
        if first.setdefault(term.records, mine) != mine:
            raise InputError(f"{where}: {term.arm} has other seeds or users")
        record = runs[0].record
        assert record is not None  # a failed run has no values above
        judged_by = positives_of(record)
        if not judged_alike(positives.setdefault(term.records, judged_by), judged_by):
            raise InputError(f"{where}: {term.arm} is judged by other positives")


def _weighed(
    part: Part, summed: Callable[[Sequence[Weight]], Estimate]
) -> tuple[float, list[Weight]]:
    """A part's value, and the weight of each term in it, linearised at the means.

    Raises:
      InputError: the 95 % interval of its denominator contains 0.
    """
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
