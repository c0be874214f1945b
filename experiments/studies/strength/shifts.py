"""How far one curve of recall lies further along the total strength than another."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.report.intervals import Interval, over_seeds

AXIS = "shift, in strength of log q [95 %]"
COMPARED = (0.25, 1.0)  # totals between which the lambdas' curves are compared
STEP, LEAST_SHIFT = 0.02, -0.25
COLUMNS = (  # of a page: heading, name and format
    ("shift [95 %]", "shift", "+.2f"),
    ("highest recall@20 without log q in the loss [95 %]", "best_0", ".4f"),
    ("with it [95 %]", "best_1", ".4f"),
)


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

    Args:
      totals: at which the curves are known, ascending.
      none: the curve that stays, of lambda 0.
      full: the curve that is shifted, of lambda 1.

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


def shifts_by(
    totals: Float[ndarray, " t"], recall: Float[ndarray, "a b s 2 t"]
) -> dict[str, Float[ndarray, "a b s"]]:
    """Of each cell of two axes, by the curves of lambda 0 and 1: what COLUMNS show."""
    shifts = np.empty(recall.shape[:3])
    for place in np.ndindex(*shifts.shape[:2]):
        shifts[place] = shifts_of(totals, *recall[place].transpose(1, 0, 2))
    best = recall.max(axis=-1)
    return {"shift": shifts, "best_0": best[..., 0], "best_1": best[..., 1]}


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


def shift_text(totals: Float[ndarray, " t"]) -> str:
    """What a page says of the column of shifts."""
    return (
        "how far the curve of recall@20 with log q in the loss must be moved back "
        "along the total to lie nearest to the curve without, at totals from 0.25 to "
        f"1; at most {most_shift(totals):g}, in steps of {STEP:g}"
    )
