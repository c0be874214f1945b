"""From top-k lists to the record of a run: what every table and figure is made of.

Conventions: ``v`` evaluated users, ``h`` their held-out positives, ``k`` slots of a
list or cut-offs, ``i`` items of the catalogue. A slot that holds n_items is empty.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from research.evaluate.metrics import (
    foreign_genres,
    is_expansion,
    outside_share,
    repulsion,
)
from research.evaluate.top_k import Scorer
from research.types import BANDS, Fold, InputError, Record, check

__all__ = ["DEFAULT_KS", "DEPTH", "SHORT", "bands", "evaluate"]


def bands(item_counts: Int[np.ndarray, " i"]) -> UInt8[np.ndarray, " i"]:
    """The popularity band of each item: 0 head, 1 torso, 2 tail (types.BANDS).

    Items are put in order of fitted clicks, most first, and cut at 1/3 and 2/3 of the
    clicks (not of the items). Items with equal counts stay together: a band is decided
    by the clicks on strictly more popular items, band = floor(3 * those / all). So a
    group of equals that straddles a cut belongs whole to the more popular side, the
    head is never empty, and one item may empty the torso. Items without a click are
    tail.

    Args:
      item_counts: fitted clicks of each item, [i].

    >>> bands(np.array([0, 1, 2, 2, 4])).tolist()  # 4 | 2 2 | 1 of 9 clicks
    [2, 2, 1, 1, 0]
    """
    counts = item_counts.astype(np.int64)
    values, group = np.unique(counts, return_inverse=True)
    clicks = np.bincount(group, weights=counts, minlength=len(values)).astype(np.int64)
    total = clicks.sum()
    more_popular = total - np.cumsum(clicks)
    band = np.minimum(len(BANDS) * more_popular // max(total, 1), len(BANDS) - 1)
    band[values == 0] = len(BANDS) - 1
    return band[group].astype(np.uint8)


DEFAULT_KS = (10, 20, 50, 100)
DEPTH = 100  # ranks are recorded down to here, so no cut-off can be above it
SHORT = 20  # the cut-off of ild, novelty, train_count and recall_item


def evaluate(
    fold: Fold,
    lists: Int[np.ndarray, "v k"],
    ks: Sequence[int] = DEFAULT_KS,
    scorer: Scorer | None = None,
) -> Record:
    """The record of one run: ranks of the held-out positives, and what was shown.

    ild = 1 / (K (K - 1)) sum_{i != j} 1 - cos(g_i, g_j) over the multi-hot genres g of
    the first K = 20 items [ziegler2005]; an item without genre has cosine 0 with every
    other, so distance 1. novelty = mean of -log2(max(n_i, 1) / sum n) over the same
    items, n the fitted counts [castells2011]; an item never clicked counts as clicked
    once. train_count = mean of n_i. recall_item of user u = U / I * sum over u's
    held-out items of [rank < 20] / (evaluated users who hold the item out), with U
    evaluated users and I distinct items held out by them: its mean over users is the
    mean over items of the share of their test users reached. Where a list has fewer
    than 20 items, the means are over those it has; NaN where it has none (two for ild).
    Foreign genres are defined in ``expansion``, repulsion in ``repulsion``.

    Args:
      fold: the phase; counts and bands come from its fitted part alone.
      lists: top-k of fold.evaluated, best first, [v, k], at least 100 slots a user or
        as many as there are items.
      ks: cut-offs, from 1 to 100.
      scorer: what the lists were made from; without it there is no repulsion.

    Raises:
      InputError: a cut-off is above the number of items, or not in 1 to 100.
      ValueError: the lists are too short, or not those of the evaluated users.
    """
    check(fold)
    n_items, n_users = fold.fitted.n_items, len(fold.evaluated)
    _check_shapes(ks, lists.shape, n_users, n_items)
    counts = np.bincount(fold.fitted.item, minlength=n_items)
    user, item, rank = _held_out(fold, lists)
    short = lists[:, :SHORT]
    filled = short < n_items
    shown = np.where(filled, short, 0)  # any item: ``filled`` keeps it out of all sums
    share = np.maximum(counts, 1) / counts.sum()
    genres, foreign = fold.fitted.items.topics(), foreign_genres(fold)
    return check(
        Record(
            ks=np.array(ks, np.int64),
            held=np.bincount(user, minlength=n_users),
            rank=rank,
            band=bands(counts)[item],
            exposure=np.stack([_exposure(lists[:, :k], n_items) for k in ks]),
            item_counts=counts,
            ild=_intra_list_distance(genres, shown, filled),
            novelty=_mean_of_list(-np.log2(share)[shown], filled),
            train_count=_mean_of_list(counts[shown].astype(np.float64), filled),
            recall_item=_item_balanced(user, item, rank < SHORT, n_users),
            expansion=is_expansion(genres, foreign, user, item),
            outside_genres=outside_share(genres, foreign, shown, filled),
            repulsion=None if scorer is None else repulsion(fold, scorer),
            distinct=np.array([len(np.unique(lists[:, :k], axis=0)) for k in ks]),
        )
    )


def _held_out(
    fold: Fold, lists: Int[np.ndarray, "v k"]
) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " h"], UInt8[np.ndarray, " h"]]:
    """Row of lists, item and rank of each held-out positive, by user, then by rank."""
    judged = np.isin(fold.held_user, fold.evaluated)
    user = np.searchsorted(fold.evaluated, fold.held_user[judged])
    item = fold.held_item[judged]
    rank = ranks(user, item, lists[:, :DEPTH], fold.fitted.n_items)
    # what shares a rank, the misses, by item: equal lists leave equal records
    order = np.lexsort((item, rank, user))
    return user[order], item[order], rank[order]


def ranks(
    user: Int[np.ndarray, " h"],
    item: Int[np.ndarray, " h"],
    lists: Int[np.ndarray, "v k"],
    n_items: int,
) -> UInt8[np.ndarray, " h"]:
    """The place of each (row of lists, item), from 0; DEPTH where it isn't listed.

    >>> ranks(np.array([0, 0]), np.array([5, 7]), np.array([[7, 2]]), 9).tolist()
    [100, 0]
    """
    n_users, width = lists.shape
    rank = np.full(len(user), DEPTH, np.uint8)
    if not rank.size or not lists.size:
        return rank
    stride = n_items + 1  # the empty slot has a number of its own
    wanted = user.astype(np.int64) * stride + item
    order = np.argsort(wanted)
    listed = np.arange(n_users, dtype=np.int64)[:, None] * stride + lists
    place = np.searchsorted(wanted, listed.ravel(), sorter=order)
    nearest = order[np.minimum(place, len(order) - 1)]
    found = np.flatnonzero(wanted[nearest] == listed.ravel())
    rank[nearest[found]] = found % width
    return rank


def _check_shapes(
    ks: Sequence[int], shape: tuple[int, ...], n_users: int, n_items: int
) -> None:
    for k in ks:
        if k > n_items:
            raise InputError(f"k = {k} is above the number of items ({n_items})")
        if not 1 <= k <= DEPTH:
            raise InputError(f"k = {k}: a cut-off lies in 1 to {DEPTH}")
    if shape[0] != n_users or shape[1] < min(DEPTH, n_items):
        raise ValueError(
            f"lists of shape {shape}: {n_users} users are evaluated, on"
            f" {min(DEPTH, n_items)} slots each"
        )


def _exposure(lists: Int[np.ndarray, "v k"], n_items: int) -> Int[np.ndarray, " i"]:
    return np.bincount(lists.ravel(), minlength=n_items + 1)[:n_items]


def _mean_of_list(
    values: Float[np.ndarray, "v k"], filled: Bool[np.ndarray, "v k"]
) -> Float[np.ndarray, " v"]:
    n = filled.sum(axis=1)
    total = np.where(filled, values, 0.0).sum(axis=1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _intra_list_distance(
    genres: Bool[np.ndarray, "i g"],
    shown: Int[np.ndarray, "v k"],
    filled: Bool[np.ndarray, "v k"],
) -> Float[np.ndarray, " v"]:
    """1 - mean cosine over pairs, by sum_{i != j} cos = |sum g|^2 - sum |g|^2.

    NaN where what is shown is no items but users, which have no genres.
    """
    if not genres.shape[1]:
        return np.full(len(shown), np.nan)
    size = np.sqrt(genres.sum(axis=1, keepdims=True))
    unit = genres / np.maximum(size, 1.0)  # a row without genre stays 0
    total = np.einsum("vk,vkg->vg", filled.astype(np.float64), unit[shown])
    own = (filled & (size[:, 0] > 0)[shown]).sum(axis=1)
    n = filled.sum(axis=1)
    cosines = (total**2).sum(axis=1) - own
    pairs = n * (n - 1)
    return np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), np.nan)


def _item_balanced(
    user: Int[np.ndarray, " h"],
    item: Int[np.ndarray, " h"],
    hit: Bool[np.ndarray, " h"],
    n_users: int,
) -> Float[np.ndarray, " v"]:
    _, group, test_users = np.unique(item, return_inverse=True, return_counts=True)
    reached = np.bincount(user, weights=hit / test_users[group], minlength=n_users)
    return reached * n_users / max(len(test_users), 1)
