"""Metrics of one run, computed from its record: by user, and of all lists together.

Conventions: ``v`` evaluated users, ``h`` held-out positives listed by user, ``k``
cut-offs, ``i`` items of the catalogue. A rank counts from 0 and is capped at 100.
A metric is keyed by (name, cut-off). NaN marks a user whom a metric doesn't count.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.types import BANDS, Record

__all__ = [
    "CAP",
    "COLUMN_CUTOFF",
    "METRICS",
    "PER_USER",
    "WHOLE_SET",
    "Key",
    "absent",
    "keys",
    "per_user",
    "summary",
    "whole_set",
]

CAP = 100  # a record's ranks stop here, so no cut-off above it can be computed
COLUMN_CUTOFF = 20  # the cut-off of the columns a record holds ready-made
BAND_METRICS = tuple(f"recall_{band}" for band in BANDS)
COLUMNS = (
    *("recall_item", "ild", "novelty", "train_count"),
    *("outside_genres", "repulsion"),
)
PER_USER = (
    *("recall", "ndcg", "hit", "mrr", *BAND_METRICS, "recall_expansion"),
    *COLUMNS,
)
WHOLE_SET = (
    *("coverage", "gini", "entropy", "cold_slots_0", "cold_slots_2"),
    "distinct_lists",
)
# What a record may lack, and the metric that is then absent, not zero.
OPTIONAL = {
    "expansion": "recall_expansion",
    "outside_genres": "outside_genres",
    "repulsion": "repulsion",
    "distinct": "distinct_lists",
}
METRICS = (
    *("recall", "ndcg", "hit", "mrr", *BAND_METRICS, "recall_item"),
    *("coverage", "gini", "entropy", "ild", "novelty", "train_count"),
    *("cold_slots_0", "cold_slots_2"),
    *("recall_expansion", "outside_genres", "repulsion", "distinct_lists"),
)


class Key(NamedTuple):
    """A metric at a cut-off."""

    metric: str
    k: int


def absent(record: Record) -> set[str]:
    """Returns the metrics that the record has no column for."""
    return {m for field, m in OPTIONAL.items() if getattr(record, field) is None}


def keys(ks: Int[ndarray, " k"], without: Collection[str] = ()) -> list[Key]:
    """Returns every metric at every cut-off it has, in the order of tables.

    ``without`` names metrics that are left out.

    >>> [key.k for key in keys(np.array([10, 20])) if key.metric in ("hit", "ild")]
    [10, 20, 20]
    """
    cutoffs = [int(k) for k in ks]
    return [
        Key(name, k)
        for name in METRICS
        if name not in without
        for k in ([COLUMN_CUTOFF] if name in COLUMNS else cutoffs)
    ]


def per_user(record: Record) -> dict[Key, Float[ndarray, " v"]]:
    """Returns each per-user metric at each cut-off, unreduced, float64 ``[v]``.

    With H_u the user's held-out positives, n = |H_u|, rank r from 0:
    recall = |{r < k}| / n; hit = [some r < k]; mrr = 1 / (1 + min r) if min r < k
    else 0; ndcg = sum over r < k of 1/log2(r + 2), divided by the same sum over the
    min(k, n) first ranks; recall_head, _torso, _tail = recall over the positives of
    that popularity band, NaN for a user who has none. recall_item, ild, novelty
    [castells2011], train_count, outside_genres and repulsion are the record's own
    columns, at cut-off 20. recall_expansion = recall over the positives of foreign
    genres, NaN for a user who has none. What the record lacks is left out.

    Raises:
      ValueError: a cut-off outside 1 to 100, or positives that don't add up.
    """
    ks, held = record.ks, record.held.astype(np.int64)
    if np.any(ks < 1) or np.any(ks > CAP):
        raise ValueError(f"cut-offs {ks.tolist()}: a record holds ranks 1 to {CAP}")
    if held.sum() != len(record.rank) or np.any(held < 1):
        raise ValueError(
            f"{len(record.rank)} ranks for {int(held.sum())} held-out positives,"
            f" {int((held < 1).sum())} users without any"
        )
    users = np.repeat(np.arange(len(held)), held)
    rank = record.rank.astype(np.int64)
    first = np.minimum.reduceat(rank, np.cumsum(held) - held) if len(held) else held
    gain = 1 / np.log2(np.arange(CAP + 1) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    groups = {name: record.band == b for b, name in enumerate(BAND_METRICS)}
    if record.expansion is not None:
        groups["recall_expansion"] = record.expansion == 1
    of_group = {name: _by_user(users, mine, held) for name, mine in groups.items()}
    out: dict[Key, ndarray] = {}
    for k in ks.tolist():
        top = rank < k
        out[Key("recall", k)] = _by_user(users, top, held) / held
        dcg = _by_user(users, np.where(top, gain[rank], 0.0), held)
        out[Key("ndcg", k)] = dcg / ideal[np.minimum(k, held)]
        out[Key("hit", k)] = (first < k).astype(np.float64)
        out[Key("mrr", k)] = np.where(first < k, 1 / (first + 1.0), 0.0)
        for name, mine in groups.items():
            hits, n = _by_user(users, top & mine, held), of_group[name]
            out[Key(name, k)] = np.where(n > 0, hits / np.where(n > 0, n, 1), np.nan)
    for name in COLUMNS:
        if (column := getattr(record, name)) is not None:
            out[Key(name, COLUMN_CUTOFF)] = column.astype(np.float64)
    return out


def whole_set(record: Record) -> dict[Key, float]:
    """Returns the metrics of all lists taken together, at each cut-off.

    With p(j) item j's share of the slots and n items in the catalogue:
    coverage = |{j: p(j) > 0}| / n; entropy = -sum p log2 p, in bits;
    gini = sum_j (2j - n - 1) p_(j) / (n - 1), p ascending over the whole catalogue;
    cold_slots_0, cold_slots_2 = share of slots given to items with 0, with at most 2
    fitted clicks. All are NaN where nothing was recommended. distinct_lists = distinct
    top-k lists / users, left out where the record lacks it.
    """
    out: dict[Key, float] = {}
    for n, (k, exposure) in enumerate(
        zip(record.ks.tolist(), record.exposure, strict=True)
    ):
        slots = exposure.sum()
        p = exposure / slots if slots else np.full(len(exposure), np.nan)
        shown = float(np.mean(exposure > 0)) if slots else float("nan")
        out[Key("coverage", k)] = shown
        out[Key("gini", k)] = gini(p)
        # where p is 0 the term is 0; the 1 only keeps the logarithm quiet
        out[Key("entropy", k)] = float(-np.sum(p * np.log2(np.where(p == 0, 1.0, p))))
        for most in (0, 2):
            cold = record.item_counts <= most
            out[Key(f"cold_slots_{most}", k)] = (
                float(p[cold].sum()) if slots else np.nan
            )
        if record.distinct is not None:
            different = record.distinct[n] / max(len(record.held), 1)
            out[Key("distinct_lists", k)] = float(different) if slots else np.nan
    return out


def gini(share: Float[ndarray, " i"]) -> float:
    """Returns the Gini index of shares that sum to 1: 0 equal, 1 all on one item.

    sum_j (2j - n - 1) p_(j) / (n - 1), p ascending, over all n items, shown or not.

    >>> gini(np.array([0.0, 0.0, 1.0])), gini(np.array([0.25, 0.25, 0.5]))
    (1.0, 0.25)
    """
    n = len(share)
    if n < 2:
        return 0.0
    weight = 2 * np.arange(1, n + 1) - n - 1
    return float(weight @ np.sort(share) / (n - 1))


def summary(record: Record) -> dict[str, dict[int, float]]:
    """Returns {metric: {cut-off: value}}: means over users, and whole-set metrics.

    A value is NaN where no user counts.
    """
    means = {key: mean_counted(values) for key, values in per_user(record).items()}
    values = means | whole_set(record)
    out: dict[str, dict[int, float]] = {}
    for key in keys(record.ks, absent(record)):
        out.setdefault(key.metric, {})[key.k] = values[key]
    return out


def mean_counted(values: Float[ndarray, " v"]) -> float:
    """Returns the mean over the users who count, NaN without any.

    >>> mean_counted(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")


def _by_user(
    users: Int[ndarray, " h"], values: ndarray, held: Int[ndarray, " v"]
) -> Float[ndarray, " v"]:
    return np.bincount(users, weights=values, minlength=len(held)).astype(np.float64)
