"""How far one curve of recall lies further along the total strength than another."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.report.intervals import Interval, over_seeds

COMPARED = (0.25, 1.0)  # totals between which the lambdas' curves are compared
STEP, LEAST_SHIFT = 0.02, -0.25


class Shift(NamedTuple):
    """The curve of lambda 1 against that of lambda 0, of recall@20 by the total.

    Attributes:
      by: how much further along the total it lies; mean over seeds, ends of the 95 %
        interval.
      before: how far the two means lie apart at most at the compared totals.
      after: the same where the curve is shifted by the mean.
    """

    by: Interval
    before: float
    after: float


def _apart(
    totals: Float[ndarray, " t"],
    none: Float[ndarray, " t"],
    full: Float[ndarray, " t"],
    by: float,
) -> float:
    """The most that two curves differ at the compared totals, one of them shifted."""
    compared = np.arange(COMPARED[0], COMPARED[1] + 1e-9, STEP)
    curve = np.interp(compared + by, totals, full)
    return float(np.abs(curve - np.interp(compared, totals, none)).max())


def shifts_of(
    totals: Float[ndarray, " t"],
    none: Float[ndarray, "s t"],
    full: Float[ndarray, "s t"],
) -> Float[ndarray, " s"]:
    """Of each seed, the shift at which two curves are least apart.

    They are read linearly between the totals served. A shift is at most what the
    largest of these allows.

    >>> totals = np.arange(0.0, 2.51, 0.25)
    >>> none, full = (-np.abs(totals - best)[None] for best in (1.0, 1.5))
    >>> shifts_of(totals, none, full).round(1).tolist()
    [0.5]
    """
    tried = np.arange(LEAST_SHIFT, most_shift(totals) + 1e-9, STEP)
    best = [
        tried[np.argmin([_apart(totals, *curves, by) for by in tried])]
        for curves in zip(none, full, strict=True)
    ]
    return np.array(best)


def shift_of(
    totals: Float[ndarray, " t"],
    none: Float[ndarray, "s t"],
    full: Float[ndarray, "s t"],
) -> Shift:
    """The mean of ``shifts_of``, and how far the mean curves lie apart with it."""
    by = over_seeds(shifts_of(totals, none, full)).interval()
    means = none.mean(axis=0), full.mean(axis=0)
    return Shift(by, _apart(totals, *means, 0.0), _apart(totals, *means, by.mean))


def most_shift(totals: Float[ndarray, " t"]) -> float:
    """The largest shift that the totals served can show."""
    return float(totals[-1]) - COMPARED[1]
