"""95 % intervals and p values: two-way random effects, or t over seeds.

Conventions: ``u`` users, ``s`` seeds. NaN marks a user whom a metric doesn't count.

Per-user metrics: users and seeds are both samples of something larger, so that a value
is x_us = mean + user + seed + residual, and a difference of two arms, paired by user
and seed, likewise. With the mean squares MSU, MSS and MSE of the u x s table, the
variance of its mean is

    (MSU + MSS - MSE) / (U S),

at least MSS / (U S): the users' part is not below zero. Satterthwaite's degrees of
freedom, at least S - 1, give the interval by t. With few seeds MSS is often far below
its expectation, which is at least that of MSE, and Satterthwaite's formula then counts
too many: 2 seeds cover as little as 90 %. So in the degrees of freedom, not in the
variance, an MSS below MSE is replaced by (MSS MSE^2)^(1/3); by simulation, MSE alone
there would cover up to 99.7 % and the geometric mean 93 %. The study ``coverage``
simulates the interval, and p values as small as Holm asks for: from 2 or 3 seeds that
differ these are too small too often. With one seed, and between arms whose seeds are
all alike, only the users' part is left; that of one seed holds for these models alone,
and no contrast is tested by it (research/report/contrasts.py). A bootstrap over users
and seeds counts the residual three times instead of once [owen2007; owen2012], which
makes intervals between near-tied arms 1.5 times too wide.

Whole-set metrics (coverage, Gini, entropy) have no mean over users: t over seeds.
Copies of one run, as of a baseline that draws nothing at random, are no such seeds:
between two of them a contrast has neither interval nor test.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import stdtr, stdtrit

INSIDE = 0.95
ALPHA = 0.05  # of a family of tests
# A seeds' part below this share of the residual's is rounding, which a cube root would
# make large.
ROUNDED = 1e-6
MIN_SEEDS = 3  # fewer have no spread worth a t interval (t at 1 degree is 12.7)


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """As columns of a table: the mean by its name, the ends by _low and _high.

        >>> Interval(0.5, 0.4, 0.6).columns("gain")
        {'gain': 0.5, 'gain_low': 0.4, 'gain_high': 0.6}
        """
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}

    @classmethod
    def of(cls, row: Any, name: str) -> "Interval":
        """The interval that ``columns`` put into a row: a mapping, or a series.

        >>> Interval.of({"gain": 0.5, "gain_low": 0.4, "gain_high": 0.6}, "gain").low
        0.4
        """
        return cls(row[name], row[f"{name}_low"], row[f"{name}_high"])

    def within(self, low: float = -np.inf, high: float = np.inf) -> str:
        """The verdict on a prediction that the mean lies between two numbers.

        >>> Interval(-0.5, -0.6, -0.4).within(high=-0.3)
        'holds'
        >>> Interval(-0.2, -0.6, 0.2).within(high=-0.3)
        'undecided'
        >>> Interval(-0.5, -0.6, -0.4).within(-0.3, 0.3)
        'fails'
        """
        if self.low >= low and self.high <= high:
            return "holds"
        return "fails" if self.low > high or self.high < low else "undecided"


class Estimate(NamedTuple):
    """A mean, its standard error and the error's degrees of freedom; numbers or arrays.

    The error is NaN where it can't be estimated, and 0 where nothing varies.
    """

    mean: Any
    error: Any
    df: Any

    def interval(self) -> Interval:
        """The mean with its t interval.

        >>> [round(float(end), 4) for end in Estimate(2.0, 0.5, 10.0).interval()]
        [2.0, 0.8859, 3.1141]
        """
        reach = self.error * stdtrit(self.df, (1 + INSIDE) / 2)
        return Interval(self.mean, self.mean - reach, self.mean + reach)

    def below(self, value: Any) -> Any:
        """The one-sided p value of "the mean is at least this": small if it is less.

        >>> round(float(Estimate(2.0, 0.5, 10.0).below(3.0)), 4)
        0.0367
        """
        return stdtr(self.df, self._score(value))

    def p(self) -> Any:
        """The two-sided p value of "the mean is zero".

        >>> round(float(Estimate(2.0, 0.5, 10.0).p()), 4)
        0.0025
        """
        return 2 * stdtr(self.df, -np.abs(self._score(0.0)))

    def _score(self, value: Any) -> Any:
        """How many standard errors the mean lies above a value; 0 for 0 / 0."""
        gap = np.asarray(self.mean - value, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = gap / self.error
        return np.where((gap == 0) & (np.asarray(self.error) == 0), 0.0, score)


class _Table(NamedTuple):
    """A u x s table: weights of its values in the mean, the mean, its components.

    ``within_seed`` is the variance of user + residual, ``within_user`` that of seed +
    residual; ``users``, ``seeds`` and ``n`` count those that have a value.
    """

    weight: Any
    mean: Any
    within_seed: Any
    within_user: Any
    residual: Any
    users: Any
    seeds: Any
    n: Any


def _table(values: Float[ndarray, "*m u s"]) -> _Table:
    """The components by moments, from sums of squares within users and within seeds.

    For a table without gaps they are those of the mean squares.
    """
    counted = ~np.isnan(values)
    of_seed, of_user = counted.sum(axis=-2), counted.sum(axis=-1)
    n, seeds = of_seed.sum(axis=-1), (of_seed > 0).sum(axis=-1)
    users = (of_user > 0).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = 1.0 / (of_seed * seeds[..., None])
        weight = np.where(counted, shares[..., None, :], 0.0)
        filled = np.where(counted, values, 0.0)
        mean = np.where(n > 0, (weight * filled).sum(axis=(-2, -1)), np.nan)
        y = np.where(counted, values - mean[..., None, None], 0.0)
        squares = (y**2).sum(axis=(-2, -1))
        by_user = np.nan_to_num(y.sum(axis=-1) ** 2 / of_user).sum(axis=-1)
        by_seed = np.nan_to_num(y.sum(axis=-2) ** 2 / of_seed).sum(axis=-1)
        total = squares - y.sum(axis=(-2, -1)) ** 2 / n
        one = n <= users  # one value per user: user and residual can't be told apart
        within_user = np.where(one, 0.0, (squares - by_user) / (n - users))
        within_seed = (squares - by_seed) / (n - seeds)
        spread_users = n - (of_user**2).sum(axis=-1) / n
        spread_seeds = n - (of_seed**2).sum(axis=-1) / n
        left = within_seed * spread_users + within_user * spread_seeds - total
        residual = np.where(one, 0.0, left / (spread_users + spread_seeds - n + 1))
    return _Table(weight, mean, within_seed, within_user, residual, users, seeds, n)


def two_way(values: Float[ndarray, "*m u s"]) -> Estimate:
    """The mean over users and seeds, with seeds weighted alike; its standard error.

    Three users by two seeds, MSU = 13/2, MSS = 25/6, MSE = 1/6:

    >>> estimate = two_way(np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 6.0]]))
    >>> [round(float(number), 4) for number in estimate]
    [3.5, 1.3229, 2.8636]
    """
    weight, mean, within_seed, within_user, residual, users, seeds, n = _table(values)
    rest = residual * (weight**2).sum(axis=(-2, -1))
    of_users = (weight.sum(axis=-1) ** 2).sum(axis=-1)
    of_seeds = (weight.sum(axis=-2) ** 2).sum(axis=-1)
    user = (within_seed - residual) * of_users + rest
    seed = np.maximum((within_user - residual) * of_seeds + rest, 0.0)
    seed = np.where(seed < ROUNDED * rest, 0.0, seed)
    users_part = np.maximum(user - rest, 0.0)
    variance = seed + users_part
    likely = np.maximum(seed, np.cbrt(seed * rest**2))
    freedom = users - 1, seeds - 1, n - users - seeds + 1
    parts = zip((user, likely, rest), freedom, strict=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = sum(np.where(f > 0, part**2 / f, 0.0) for part, f in parts)
        least = np.where(seeds > 1, np.minimum(users, seeds), users) - 1
        df = np.fmax((users_part + likely) ** 2 / below, least)
    some = np.where(users > 1, 1.0, np.nan)
    error = np.sqrt(variance) * some
    return Estimate(mean[()], error[()], (df * some)[()])


def over_seeds(values: Float[ndarray, " s"]) -> Estimate:
    """The mean over seeds of a metric, or of a difference, with its t interval.

    The error is sd / sqrt(s) with s - 1 degrees of freedom, NaN below 3 seeds.

    >>> interval = over_seeds(np.array([1.0, 2.0, 3.0])).interval()
    >>> [round(float(end), 4) for end in interval]
    [2.0, -0.4841, 4.4841]
    >>> over_seeds(np.array([1.0, 2.0])).error
    nan
    """
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < MIN_SEEDS:
        return Estimate(mean, float("nan"), float("nan"))
    return Estimate(mean, float(np.std(values, ddof=1) / np.sqrt(n)), n - 1.0)


def holm(p: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """The p values of a family, adjusted by Holm; NaN does not count and stays.

    >>> holm(np.array([0.01, np.nan, 0.04, 0.03])).round(3).tolist()
    [0.03, nan, 0.06, 0.06]
    """
    out = np.full(len(p), np.nan)
    order = np.argsort(p)  # NaN last
    order = order[~np.isnan(p[order])]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out
