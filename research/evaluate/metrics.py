"""Interest expansion: what is recommended, and found, outside a user's own genres.

Conventions as in ``record``; ``g`` genres. A genre is *foreign* to a user where it
makes up less than 5 % of the genres of the user's fitted positives, each positive
counted once in each of its genres. That includes every genre the user never touched.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from research.evaluate.top_k import CHUNK, THREADS, TILE, Scorer, seen_items_of
from research.types import BANDS, Fold, Record

__all__ = [
    "CAP",
    "COLUMN_CUTOFF",
    "METRICS",
    "PER_USER",
    "RARE",
    "WHOLE_SET",
    "Key",
    "absent",
    "foreign_genres",
    "is_expansion",
    "keys",
    "outside_share",
    "per_user",
    "repulsion",
    "summary",
    "whole_set",
]

RARE = 0.05  # of MovieLens's 18 genres, equal shares would be 5.6 % each


def foreign_genres(fold: Fold) -> Bool[np.ndarray, "v g"] | None:
    """The genres foreign to each evaluated user; None where no item has a genre.

    With c_ug the user's fitted positives of genre g: c_ug < 0.05 sum_g c_ug, or
    c_ug = 0.
    """
    genres = fold.fitted.items.topics()
    if not genres.any():
        return None
    offsets, items = seen_items_of(fold)
    n_users = len(offsets) - 1
    user = np.repeat(np.arange(n_users), np.diff(offsets))
    # a genre at a time: [v, g] is small, a row of genres for each event is not
    counts = [
        np.bincount(user[genres[items, g]], minlength=n_users)
        for g in range(genres.shape[1])
    ]
    profile = np.stack(counts, axis=1)
    return (profile < RARE * profile.sum(axis=1, keepdims=True)) | (profile == 0)


def is_expansion(
    genres: Bool[np.ndarray, "i g"],
    foreign: Bool[np.ndarray, "v g"] | None,
    user: Int[np.ndarray, " h"],
    item: Int[np.ndarray, " h"],
) -> UInt8[np.ndarray, " h"] | None:
    """1 where the item has a genre and all its genres are foreign to the user, else 0.

    None where ``foreign`` is: absent, not zero.

    >>> genres = np.array([[True, False], [True, True], [False, False]])
    >>> foreign, user = np.array([[True, False]]), np.zeros(3, int)
    >>> is_expansion(genres, foreign, user, np.arange(3)).tolist()
    [1, 0, 0]
    """
    if foreign is None:
        return None
    of_item = genres[item]
    familiar = (of_item & ~foreign[user]).any(axis=1)
    return (of_item.any(axis=1) & ~familiar).astype(np.uint8)


def outside_share(
    genres: Bool[np.ndarray, "i g"],
    foreign: Bool[np.ndarray, "v g"] | None,
    shown: Int[np.ndarray, "v k"],
    filled: Bool[np.ndarray, "v k"],
) -> Float[np.ndarray, " v"] | None:
    """The share of a list's genres, counted slot by slot, that are foreign to its user.

    An item of two genres counts twice, one without a genre not at all; NaN where no
    item of the list has a genre. None where ``foreign`` is.

    >>> genres, foreign = np.eye(2, dtype=bool), np.array([[True, False]])
    >>> lists = np.array([[0, 1, 1, 0]])
    >>> outside_share(genres, foreign, lists, np.array([[True, True, True, False]]))
    array([0.33333333])
    """
    if foreign is None:
        return None
    n_users, n_genres = foreign.shape
    counts = np.zeros((n_users, n_genres))
    for slot in range(shown.shape[1]):  # never [v, k, g]
        counts += genres[shown[:, slot]] & filled[:, slot, None]
    total = counts.sum(axis=1)
    outside = np.where(foreign, counts, 0.0).sum(axis=1)
    return np.where(total > 0, outside / np.maximum(total, 1), np.nan)


def repulsion(fold: Fold, scorer: Scorer) -> Float[np.ndarray, " v"]:
    """Mean over a user's held-out positives of the share of unseen items above them.

    share = (#{j: s_j > s_i} + 1/2 #{j != i: s_j = s_i}) / (n - 1), over the n unseen
    items j, which are all but the user's fitted positives: 0 is the top, 1 the bottom,
    and equal scores for all give 1/2. One minus it is the user's area under the ROC
    curve, with the user's other held-out positives among the negatives.

    Args:
      fold: the phase; the rows of the scorer are fold.evaluated.
      scorer: scores of the users for the whole catalogue.

    Returns:
      [v], NaN for a user with fewer than two unseen items.
    """
    n_items = fold.fitted.n_items
    offsets, seen = seen_items_of(fold)
    judged = np.isin(fold.held_user, fold.evaluated)
    item = fold.held_item[judged]
    user = np.searchsorted(fold.evaluated, fold.held_user[judged])
    starts = np.searchsorted(user, np.arange(len(fold.evaluated) + 1))

    def of_tile(first: int) -> Float[np.ndarray, " t"]:
        rows = slice(first, min(first + TILE, len(fold.evaluated)))
        scores = _scores(scorer, rows, n_items)
        shares = np.full(len(scores), np.nan)
        for n, v in enumerate(range(rows.start, rows.stop)):
            held = scores[n, item[starts[v] : starts[v + 1]]]
            others = np.delete(scores[n], seen[offsets[v] : offsets[v + 1]])
            if len(others) < 2:
                continue
            above = (others > held[:, None]).sum(axis=1)
            level = (others == held[:, None]).sum(axis=1) - 1  # itself is no other
            shares[n] = np.mean((above + level / 2) / (len(others) - 1))
        return shares

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        tiles = list(pool.map(of_tile, range(0, len(fold.evaluated), TILE)))
    return np.concatenate([np.empty(0), *tiles])


def _scores(scorer: Scorer, rows: slice, n_items: int) -> Float[np.ndarray, "t i"]:
    """A tile's scores for the whole catalogue, chunk after chunk."""
    chunks = [
        scorer(rows, slice(start, min(start + CHUNK, n_items)))
        for start in range(0, n_items, CHUNK)
    ]
    return np.concatenate(chunks, axis=1)


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
