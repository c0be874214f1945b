"""95 % intervals: a crossed bootstrap for per-user metrics, t for whole-set ones.

Conventions: ``u`` users, ``s`` seeds, ``m`` metrics, ``r`` resamples. NaN marks a user
whom a metric doesn't count.

Per-user metrics: users and seeds are resampled independently of each other, because
both are samples of something larger: users alone would call an arm better for a lucky
initialisation. The resamples depend on nothing but the two numbers, so all arms of a
table share them and the difference of two arms' resampled means is a paired one.
Whole-set metrics (coverage, Gini, entropy) have no mean over users to resample: a
bootstrap over users shows fewer distinct items than there are and misses its own value.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy import stats

RESAMPLES = 2000  # moves an end of a 95 % interval by some 3 % of its half-width
TAIL = 2.5  # percent outside a 95 % interval, at each end
MIN_SEEDS = 3  # fewer have no spread worth a t interval (t at 1 degree is 12.7)
STREAM = 20240601  # any fixed number: it names the resamples all tables share
USERS, SEEDS = 0, 1  # streams of resamples
BLOCK = 250  # resamples made float64 at a time: 12 MB on 6,000 users


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float


@lru_cache(maxsize=8)
def resample_weights(n: int, stream: int) -> UInt8[ndarray, "r n"]:
    """How often each resample holds each of n users or seeds; each row sums to n.

    Read-only, since all callers share it.

    Args:
      n: number of users or seeds.
      stream: USERS or SEEDS, which are resampled independently of each other.

    >>> [int(total) for total in np.unique(resample_weights(5, USERS).sum(axis=1))]
    [5]
    """
    rng = np.random.default_rng([STREAM, stream, n])
    draws = (rng.integers(n, size=n) for _ in range(RESAMPLES))
    counts = [np.bincount(ids, minlength=n).astype(np.uint8) for ids in draws]
    weights = np.stack(counts)  # a count of 256 does not happen
    weights.flags.writeable = False
    return weights


def resample(values: Float[ndarray, "u s m"]) -> Float[ndarray, "r m"]:
    """The mean over users and seeds in each of the crossed resamples.

    With weights w_u and w_s of a resample:
    sum_us w_u w_s x_us / sum_us w_u w_s [x_us counts], NaN where no user counts.

    >>> resample(np.full((4, 3, 1), 0.5))[:2].ravel().tolist()
    [0.5, 0.5]
    """
    users, seeds, metrics = values.shape
    counted = ~np.isnan(values)
    some_missing = ~counted.all(axis=(0, 1))
    totals = np.where(counted, values, 0.0).reshape(users, seeds * metrics)
    counts = counted[:, :, some_missing].astype(np.float64).reshape(users, -1)
    by_seed = resample_weights(seeds, SEEDS).astype(np.float64)
    weights = resample_weights(users, USERS)
    out = np.empty((RESAMPLES, metrics))
    for start in range(0, RESAMPLES, BLOCK):
        block = slice(start, start + BLOCK)
        w_user, w_seed = weights[block].astype(np.float64), by_seed[block]
        summed = (w_user @ totals).reshape(-1, seeds, metrics)
        over = np.full((len(w_user), metrics), float(users * seeds))
        counts_by_seed = (w_user @ counts).reshape(len(w_user), seeds, -1)
        over[:, some_missing] = np.einsum("rs,rsm->rm", w_seed, counts_by_seed)
        total = np.einsum("rs,rsm->rm", w_seed, summed)
        out[block] = total / np.where(over > 0, over, np.nan)
    return out


def bounds(draws: Float[ndarray, " r"]) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of resampled means, NaN left out.

    >>> bounds(np.arange(0, 1001.0))
    (25.0, 975.0)
    """
    if np.isnan(draws).all():  # nanpercentile would warn
        return float("nan"), float("nan")
    low, high = np.nanpercentile(draws, [TAIL, 100 - TAIL])
    return float(low), float(high)


def over_seeds(values: Float[ndarray, " s"]) -> Interval:
    """The mean over seeds of a metric, or of a difference, with its t interval.

    mean +- t(.975, s - 1) * sd / sqrt(s), ends NaN below 3 seeds.

    >>> [round(end, 4) for end in over_seeds(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.4841, 4.4841]
    >>> over_seeds(np.array([1.0, 2.0]))
    Interval(mean=1.5, low=nan, high=nan)
    """
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < MIN_SEEDS:
        return Interval(mean, float("nan"), float("nan"))
    reach = stats.t.ppf(1 - TAIL / 100, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return Interval(mean, float(mean - reach), float(mean + reach))
