"""Sums and ratios of the means of several cells, with intervals, for statements."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

from research.contrast import Part, Stated, Term
from research.evaluate.metrics import METRICS
from research.report.contrasts import by_cell, runs_of, values_of
from research.report.intervals import Estimate, over_seeds, two_way
from research.report.records import RunResult
from research.types import InputError

Records = Mapping[str, Sequence[RunResult]]  # by the name that a term has for them
Key = tuple[str, str, frozenset[tuple[str, float]]]  # records, arm and swept values


def combined(stated: Stated, records: Records) -> Estimate:
    """The sum of a statement's parts, with its standard error.

    A ratio is linearised (delta method). Cells of the same records are paired by user
    and seed. Different records count as independent, with the degrees of freedom of
    Welch and Satterthwaite.

    Args:
      stated: the statement.
      records: the results of all records that its terms name.

    Raises:
      InputError: a cell or the metric is absent, cells of the same records differ in
        seeds or users, or a ratio is to 0; the message says which.
    """
    terms = [term for part in stated.parts for term in (*part.terms, *part.over)]
    values = {_key(term): _values(term, stated, records) for term in terms}
    estimate = two_way if METRICS[stated.metric].per_user else over_seeds
    means = {key: float(estimate(found).mean) for key, found in values.items()}
    _check_alike(terms, values, records)
    total, linear = 0.0, dict[str, ndarray]()
    for part in stated.parts:
        share, weights = _weighed(part, means)
        total += share
        for term, weight in weights:
            before = linear.get(term.records, 0.0)
            linear[term.records] = before + weight * values[_key(term)]
    found = [estimate(summed) for summed in linear.values()]
    variances = np.array([float(one.error) ** 2 for one in found])
    freedom = np.array([float(one.df) for one in found])
    variance = variances.sum()
    # Where nothing varies, the smallest degrees of freedom do as well as any.
    df = variance**2 / (variances**2 / freedom).sum() if variance else freedom.min()
    return Estimate(total, float(np.sqrt(variance)), float(df))


def _key(term: Term) -> Key:
    swept = frozenset((field, float(value)) for field, value in term.at.items())
    return term.records, term.arm, swept


def _values(term: Term, stated: Stated, records: Records) -> ndarray:
    """The metric of a term's cell, by user and seed, or by seed alone."""
    return values_of(_runs(term, records), stated.metric, stated.k)


def _runs(term: Term, records: Records) -> list[RunResult]:
    return runs_of(by_cell(records.get(term.records, ())), term.arm, term.at)


def _check_alike(
    terms: Sequence[Term], values: Mapping[Key, ndarray], records: Records
) -> None:
    """Refuses cells of the same records that can't be paired.

    Raises:
      InputError: their seeds or users differ.
    """
    first: dict[str, tuple[list[int], bytes]] = {}
    for term in terms:
        seeds = [run.seed for run in _runs(term, records)]
        mine = seeds, np.isnan(values[_key(term)]).tobytes()
        if first.setdefault(term.records, mine) != mine:
            where = term.records or "these records"
            raise InputError(f"{where}: {term.arm} has other seeds or users")


def _weighed(
    part: Part, means: Mapping[Key, float]
) -> tuple[float, list[tuple[Term, float]]]:
    """A part's value, and the weight of each term in it, linearised at the means."""
    above, below = (
        sum(term.factor * means[_key(term)] for term in terms)
        for terms in (part.terms, part.over)
    )
    if not part.over:
        return part.factor * above, [(t, part.factor * t.factor) for t in part.terms]
    if not below:
        raise InputError(f"{part.over[0].arm}: the ratio is to 0")
    slope = part.factor / below
    weights = [(term, slope * term.factor) for term in part.terms]
    weights += [(term, -slope * term.factor * above / below) for term in part.over]
    return slope * above, weights
