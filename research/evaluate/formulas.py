"""The metrics that ranks, bands and exposure suffice for: (record, k) -> value.

Conventions: ``v`` evaluated users, ``h`` their held-out positives, ``i`` items, ``k`` a
cut-off. For a user with n held-out positives, rank r counts from 0. A value per user is
[v], NaN for a user whom the metric does not count; one of all lists is a number, NaN
where nothing was recommended.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from research.types import Record

DEPTH = 500  # ranks of new records stop here; Record.depth is a record's own


def recall(record: Record, k: int) -> Float[ndarray, " v"]:
    """|{r < k}| / n."""
    return by_user(record, hits(record, k)) / record.held


def ndcg(record: Record, k: int) -> Float[ndarray, " v"]:
    """Sum over r < k of 1 / log2(r + 2), over the same sum of min(k, n) first ranks."""
    gain = 1 / np.log2(np.arange(record.depth + 1) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    gained = by_user(record, np.where(hits(record, k), gain[record.rank], 0.0))
    return gained / ideal[np.minimum(k, record.held)]


def hits(record: Record, k: int) -> Bool[ndarray, " h"]:
    """Which held-out positives are among the first k.

    Raises:
      ValueError: k is above the record's depth.
    """
    if k > record.depth:
        raise ValueError(f"k = {k}: the record holds ranks 1 to {record.depth}")
    return record.rank < k


def hit(record: Record, k: int) -> Float[ndarray, " v"]:
    """1 where some r < k, else 0."""
    return np.minimum(by_user(record, hits(record, k)), 1.0)


def mrr(record: Record, k: int) -> Float[ndarray, " v"]:
    """1 / (1 + min r) where min r < k, else 0."""
    gain = np.where(hits(record, k), 1 / (record.rank + 1.0), 0.0)
    return _reduced(np.maximum, record, gain)


def _recall_among(
    record: Record, k: int, counted: Bool[ndarray, " h"]
) -> Float[ndarray, " v"]:
    """Recall over the counted held-out positives, NaN for a user who has none."""
    found = by_user(record, hits(record, k) & counted)
    n = by_user(record, counted)
    return np.where(n > 0, found / np.where(n > 0, n, 1), np.nan)


def recall_of_band(record: Record, k: int, band: int) -> Float[ndarray, " v"]:
    """Recall over the positives of a popularity band (0, 1, 2 for types.BANDS)."""
    return _recall_among(record, k, record.band == band)


def recall_of_expansion(record: Record, k: int) -> Float[ndarray, " v"]:
    """Recall over the positives whose genres are all unfamiliar to the user."""
    return _recall_among(record, k, record.columns["expansion"] == 1)


def coverage(record: Record, k: int) -> float:
    """|{j: p(j) > 0}| / n, with p(j) item j's share of the slots and n all items."""
    exposure = record.exposure[_place(record, k)]
    return float(np.mean(exposure > 0)) if exposure.any() else float("nan")


def gini(record: Record, k: int) -> float:
    """The Gini index of p over the whole catalogue; see ``gini_index``."""
    return gini_index(shares(record, k))


def entropy(record: Record, k: int) -> float:
    """- sum_j p(j) log2 p(j), in bits."""
    p = shares(record, k)
    # where p is 0 the term is 0; the 1 only keeps the logarithm quiet
    return float(-np.sum(p * np.log2(np.where(p == 0, 1.0, p))))


def cold_slots(record: Record, k: int, most: int) -> float:
    """The share of slots with items of at most ``most`` training clicks."""
    share = shares(record, k)
    cold = share[record.item_counts <= most].sum()
    return float(cold) if not np.isnan(share).any() else float("nan")


def distinct_lists(record: Record, k: int) -> float:
    """The number of distinct lists, divided by the number of users."""
    place = _place(record, k)
    share = float(record.columns["distinct"][place] / max(len(record.held), 1))
    return share if record.exposure[place].any() else float("nan")


def gini_index(share: Float[ndarray, " i"]) -> float:
    """The Gini index of shares that sum to 1: 0 equal, 1 all on one item.

    sum_j (2j - n - 1) p_(j) / (n - 1), p ascending, over all n items, shown or not.

    >>> gini_index(np.array([0.0, 0.0, 1.0])), gini_index(np.array([0.25, 0.25, 0.5]))
    (1.0, 0.25)
    """
    n = len(share)
    if n < 2:
        return 0.0
    weight = 2 * np.arange(1, n + 1) - n - 1
    return float(weight @ np.sort(share) / (n - 1))


def by_user(record: Record, values: ndarray) -> Float[ndarray, " v"]:
    """Sums of values [h] over each user's held-out positives."""
    return _reduced(np.add, record, values)


def _reduced(how: np.ufunc, record: Record, values: ndarray) -> Float[ndarray, " v"]:
    """One number from each user's values [h]; each user has a held-out positive."""
    if not len(record.held):
        return np.zeros(0)
    starts = np.cumsum(record.held) - record.held
    return np.asarray(how.reduceat(values, starts, dtype=np.float64))


def _place(record: Record, k: int) -> int:
    """The index of k among the record's cut-offs."""
    return record.ks.tolist().index(k)


def shares(record: Record, k: int) -> Float[ndarray, " i"]:
    """Each item's share of the slots; NaN where nothing was recommended."""
    exposure = record.exposure[_place(record, k)]
    return exposure / (exposure.sum() or np.nan)
