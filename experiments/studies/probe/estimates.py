"""From repeated draws of a gradient to its bias and variance, each with its error.

The squared norm of a mean of noisy vectors is too large by the noise. The mean inner
product of two different draws is not: what is kept of m draws e_1 .. e_m of the error
g - g_full is their inner products, a few numbers whatever the size of the gradient.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

__all__ = ["Estimate", "Products", "estimate", "exact", "products"]


class Products(NamedTuple):
    """Inner products of m independent draws of an error e, and of a reference f.

    own is |e_m|^2, all is <e_m, sum of all e>, along is <e_m, f>, norm is |f|^2;
    repeats is how many independent gradients were averaged in each e_m.
    """

    own: Float[ndarray, " m"]
    all: Float[ndarray, " m"]
    along: Float[ndarray, " m"]
    norm: float
    repeats: int


class Estimate(NamedTuple):
    """How far an expected gradient is from the exact one, and how noisy a draw is.

    bias is |E[g] - g_full| / |f|, error one standard error of it, cosine that of E[g]
    and g_full (NaN where f isn't g_full), variance the trace of the covariance of one
    gradient over |f|^2.
    """

    bias: float
    error: float
    cosine: float
    variance: float


def products(
    errors: Float[ndarray, "m p"], reference: Float[ndarray, " p"], repeats: int = 1
) -> Products:
    """Returns what is kept of m draws of the error."""
    e, f = errors.astype(np.float64), reference.astype(np.float64)
    return Products(
        own=np.einsum("mp,mp->m", e, e),
        all=e @ e.sum(axis=0),
        along=e @ f,
        norm=float(f @ f),
        repeats=repeats,
    )


def estimate(kept: Products, against_full: bool = True) -> Estimate:
    """Returns bias and variance, freed of the noise in the norm.

    bias^2 = sum_{a != b} <e_a, e_b> / (m (m - 1)) / |f|^2, a U-statistic, whose
    standard error is its jackknife [arvesen1969]; below zero it counts as zero. The
    error of the bias itself is how far it moves with bias^2 one such error up or down,
    whichever is more: it stays finite where the bias is zero.

    Raises:
      ValueError: fewer than 3 draws.
    """
    m = len(kept.own)
    if m < 3:
        raise ValueError(f"{m} draws: an error needs at least 3")
    others = kept.all - kept.own
    square = others.sum() / (m * (m - 1))
    left_out = (others.sum() - 2 * others) / ((m - 1) * (m - 2))
    spread = _root((m - 1) / m * np.sum((left_out - left_out.mean()) ** 2))
    variance = max(float(kept.own.mean() - square), 0.0) * kept.repeats
    bias = _root(square)
    up, down = _root(bias**2 + spread) - bias, bias - _root(bias**2 - spread)
    cosine = _cosine(kept.norm, float(kept.along.mean()), square)
    scale = _root(kept.norm)
    return Estimate(
        bias=bias / scale,
        error=max(up, down) / scale,
        cosine=cosine if against_full else float("nan"),
        variance=variance / kept.norm,
    )


def exact(
    error: Float[ndarray, " p"],
    second: float,
    reference: Float[ndarray, " p"],
    against_full: bool = True,
) -> Estimate:
    """Returns the same from an enumeration: E[e], E|e|^2 and f; there is no error."""
    e, f = error.astype(np.float64), reference.astype(np.float64)
    norm = float(f @ f)
    return Estimate(
        bias=float(np.sqrt(e @ e / norm)),
        error=0.0,
        cosine=_cosine(norm, float(e @ f), float(e @ e))
        if against_full
        else float("nan"),
        variance=max(second - float(e @ e), 0.0) / norm,
    )


def _root(value: float) -> float:
    return float(np.sqrt(max(value, 0.0)))


def _cosine(norm: float, along: float, square: float) -> float:
    """The cosine of f + e and f, from |f|^2, <e, f> and |e|^2; noise can't lift it."""
    length = max(norm + 2 * along + square, 1e-30)
    return float(np.clip((norm + along) / np.sqrt(norm * length), -1.0, 1.0))
