"""From top-k lists to the record of a run, the source of every table and figure.

Below ``evaluate`` are the functions that measure a record's columns, each for an entry
of METRICS. Conventions: ``v`` evaluated users, ``h`` their held-out positives, ``k``
slots of a list or cut-offs, ``i`` items of the catalogue, ``g`` topics. A slot that
holds n_items is empty. Columns about lists cover the first 20 slots; where a list has
fewer items they are taken over those, and NaN where it has none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt, UInt8

from research.evaluate.formulas import DEPTH
from research.evaluate.metrics import CUTOFF, METRICS, Metric, default_ks
from research.evaluate.top_k import CHUNK, Scorer, by_tile, seen_items_of
from research.events import items_of
from research.exposure import IMPRESSIONS
from research.types import BANDS, Fold, InputError, Record, check


def bands(item_counts: Int[np.ndarray, " i"]) -> UInt8[np.ndarray, " i"]:
    """The popularity band of each item: 0 head, 1 torso, 2 tail (types.BANDS).

    band = floor(3 * clicks on strictly more popular items / all clicks): cuts at 1/3
    and 2/3 of the clicks (not of the items), with items of equal counts together on the
    more popular side of a cut. So the head is never empty, but one item may empty the
    torso. Items without a click are tail.

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


DECILES = 10


def deciles(item_counts: Int[np.ndarray, " i"]) -> Int[np.ndarray, " i"]:
    """Tenths of the items by clicks, 0 the most clicked; ties to the lower id.

    >>> deciles(np.arange(20)).tolist()[:4]
    [9, 9, 8, 8]
    """
    rank = np.argsort(np.argsort(-item_counts, kind="stable"))
    return (rank * DECILES // len(item_counts)).astype(np.int32)


@dataclass(frozen=True)
class Evaluation:
    """A run's lists beside their phase, from which columns are measured.

    lists are the top-k of fold.evaluated, best first, and ks the record's cut-offs.
    user (a row of lists), item and rank (from 0; DEPTH where it isn't listed) are of
    the held-out positives, by user, then by item. scorer ranked the lists; None where
    it isn't at hand.
    """

    fold: Fold
    lists: Int[np.ndarray, "v k"]
    ks: Sequence[int]
    user: Int[np.ndarray, " h"]
    item: Int[np.ndarray, " h"]
    rank: UInt[np.ndarray, " h"]
    scorer: Scorer | None = None

    @cached_property
    def counts(self) -> Int[np.ndarray, " i"]:
        """Fitted clicks of each item."""
        fitted = self.fold.fitted
        return np.bincount(fitted.item, minlength=fitted.n_items)

    @property
    def filled(self) -> Bool[np.ndarray, "v k"]:
        """Which of the first 20 slots hold an item."""
        return self.lists[:, :CUTOFF] < self.fold.fitted.n_items

    @property
    def shown(self) -> Int[np.ndarray, "v k"]:
        """The items of the first 20 slots; any item where a slot is not ``filled``."""
        return np.where(self.filled, self.lists[:, :CUTOFF], 0)

    def mean_shown(self, values: Float[np.ndarray, " i"]) -> Float[np.ndarray, " v"]:
        """Mean of a value of items over those of each list; NaN for an empty list."""
        n = self.filled.sum(axis=1)
        total = np.where(self.filled, values[self.shown], 0.0).sum(axis=1)
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)

    @property
    def topics(self) -> Bool[np.ndarray, "i g"]:
        """The items' categories (genres, of films), multi-hot."""
        return self.fold.fitted.items.topics()

    @cached_property
    def unfamiliar(self) -> Bool[np.ndarray, "v g"] | None:
        """The genres unfamiliar to each user; see ``unfamiliar_topics``."""
        return unfamiliar_topics(self.fold)


def evaluate(
    fold: Fold,
    lists: Int[np.ndarray, "v k"],
    ks: Sequence[int] | None = None,
    scorer: Scorer | None = None,
) -> Record:
    """The record of one run: ranks of the held-out positives, and exposure of items.

    Every metric of METRICS that is measured adds its column, where it can be.

    Raises:
      InputError: a cut-off is above the number of items, or not in 1 to 500.
      ValueError: the lists are too short, or not those of the evaluated users.
    """
    check(fold)
    n_items, n_users = fold.fitted.n_items, len(fold.evaluated)
    ks = default_ks(n_items) if ks is None else ks
    for k in ks:
        if k > n_items:
            raise InputError(
                f"k = {k} is above the number of items ({n_items}): metrics need lists "
                f"of {k}"
            )
        if not 1 <= k <= DEPTH:
            raise InputError(f"k = {k}: a cut-off lies in 1 to {DEPTH}")
    if len(lists) != n_users or lists.shape[1] < min(DEPTH, n_items):
        raise ValueError(
            f"lists of shape {lists.shape}: {n_users} users are evaluated, on"
            f" {min(DEPTH, n_items)} slots each"
        )
    run = Evaluation(fold, lists, ks, *held_out(fold, lists), scorer)
    return record_of(run, METRICS.values())


def record_of(run: Evaluation, metrics: Iterable[Metric]) -> Record:
    """The record of these lists, with the columns that the metrics measure."""
    n_items, lists = run.fold.fitted.n_items, run.lists
    measured = {m.column: m.measure(run) for m in metrics if m.measure}
    exposure = [
        np.bincount(lists[:, :k].ravel(), minlength=n_items + 1) for k in run.ks
    ]
    return check(
        Record(
            ks=np.array(run.ks, np.int64),
            held=np.bincount(run.user, minlength=len(lists)),
            rank=run.rank,
            band=bands(run.counts)[run.item],
            exposure=np.stack(exposure)[:, :n_items],
            item_counts=run.counts,
            columns={
                "item": run.item,
                **{n: values for n, values in measured.items() if values is not None},
            },
            depth=DEPTH,
        )
    )


def held_out(
    fold: Fold, lists: Int[np.ndarray, "v k"]
) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " h"], UInt[np.ndarray, " h"]]:
    """Row of lists, item and rank of each held-out positive, by user, then by item."""
    user, item = _positives(fold)
    order = np.lexsort((item, user))
    user, item = user[order], item[order]
    return user, item, ranks(user, item, lists[:, :DEPTH], fold.fitted.n_items)


def _positives(fold: Fold) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " h"]]:
    """Row of lists and item of each held-out positive of the evaluated users."""
    judged = np.isin(fold.held_user, fold.evaluated)
    return np.searchsorted(fold.evaluated, fold.held_user[judged]), fold.held_item[
        judged
    ]


def ranks(
    user: Int[np.ndarray, " h"],
    item: Int[np.ndarray, " h"],
    lists: Int[np.ndarray, "v k"],
    n_items: int,
) -> UInt[np.ndarray, " h"]:
    """The place of each (row of lists, item), from 0; DEPTH where it isn't listed.

    >>> ranks(np.array([0, 0]), np.array([5, 7]), np.array([[7, 2]]), 9).tolist()
    [500, 0]
    """
    n_users, width = lists.shape
    kind, order = np.min_scalar_type(DEPTH), np.argsort(user, kind="stable")
    starts = np.searchsorted(user[order], np.arange(n_users + 1))
    slots = np.arange(width, dtype=kind)

    def of_tile(rows: slice) -> UInt[np.ndarray, " t"]:
        # the last column takes the places of empty slots, and is never read
        place = np.full((rows.stop - rows.start, n_items + 1), DEPTH, kind)
        np.put_along_axis(place, lists[rows], slots[None], axis=1)
        held = order[starts[rows.start] : starts[rows.stop]]
        return place[user[held] - rows.start, item[held]]

    rank = np.empty(len(user), kind)
    rank[order] = by_tile(of_tile, n_users, np.empty(0, kind))
    return rank


def ild(run: Evaluation) -> Float[np.ndarray, " v"]:
    """1 / (K (K - 1)) sum_{i != j} 1 - cos(g_i, g_j) over multi-hot genres g.

    [ziegler2005], over the K <= 20 items of a list; an item without genre has cosine 0
    with every other, so distance 1. By sum_{i != j} cos = |sum g|^2 - sum |g|^2. NaN
    for fewer than two items, and where lists hold users, which have no topics.
    """
    topics, shown, filled = run.topics, run.shown, run.filled
    if not topics.shape[1]:
        return np.full(len(shown), np.nan)
    size = np.sqrt(topics.sum(axis=1, keepdims=True))
    unit = topics / np.maximum(size, 1.0)  # a row without topics stays 0
    total = np.einsum("vk,vkg->vg", filled.astype(np.float64), unit[shown])
    squares = (filled & (size[:, 0] > 0)[shown]).sum(axis=1)
    n = filled.sum(axis=1)
    cosines = (total**2).sum(axis=1) - squares
    pairs = n * (n - 1)
    return np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), np.nan)


def novelty(run: Evaluation) -> Float[np.ndarray, " v"]:
    """Mean of -log2(max(n_i, 1) / sum n), n the fitted counts [castells2011].

    An item never clicked counts as clicked once.
    """
    return run.mean_shown(-np.log2(np.maximum(run.counts, 1) / run.counts.sum()))


def train_count(run: Evaluation) -> Float[np.ndarray, " v"]:
    """Mean of the training clicks of the items shown."""
    return run.mean_shown(run.counts.astype(np.float64))


def recall_item(run: Evaluation) -> Float[np.ndarray, " v"]:
    """U / I * sum over u's held-out items of [rank < 20] / (users who hold it out).

    Of the U evaluated users and the I distinct items held out by them: its mean over
    users is the mean over items of the share of their test users reached.
    """
    n_users = len(run.lists)
    _, group, test_users = np.unique(run.item, return_inverse=True, return_counts=True)
    weights = (run.rank < CUTOFF) / test_users[group]
    reached = np.bincount(run.user, weights=weights, minlength=n_users)
    return reached * n_users / max(len(test_users), 1)


def recall_ips(run: Evaluation) -> Float[np.ndarray, " v"] | None:
    """U * sum over u's held-out items of w [rank < 20] / sum of w over all held-out.

    w = 1 / (n + 1), n the item's impressions: inverse propensity scores [yang2018],
    self-normalised [swaminathan2015]. Of the U evaluated users; its mean over them is
    the weighted share of held-out clicks reached. None without a column of impressions
    or where a held-out item has no number.
    """
    column = run.fold.fitted.items.columns.get(IMPRESSIONS)
    if column is None:
        return None
    shown = np.asarray(column.values, float)[run.item]
    if not (shown >= 0).all():
        return None
    weights, n_users = 1.0 / (shown + 1.0), len(run.lists)
    hits = np.where(run.rank < CUTOFF, weights, 0.0)
    reached = np.bincount(run.user, weights=hits, minlength=n_users)
    return reached * n_users / weights.sum()


def distinct(run: Evaluation) -> Int[np.ndarray, " k"]:
    """How many of the top-k lists differ, for each cut-off of the record."""
    return np.array([len(np.unique(run.lists[:, :k], axis=0)) for k in run.ks])


# Below this share of a user's genre counts, a genre is unfamiliar to the user: of
# MovieLens's 18 genres, equal shares would be 5.6 % each.
UNFAMILIAR = 0.05


def unfamiliar_topics(fold: Fold) -> Bool[np.ndarray, "v g"] | None:
    """The genres unfamiliar to each evaluated user; None where no item has a genre.

    With c_ug the user's fitted positives of genre g: c_ug < 0.05 sum_g c_ug, or
    c_ug = 0.
    """
    topics = fold.fitted.items.topics()
    if not topics.any():
        return None
    if fold.held_time is None:  # of a task, whose queries may be no users
        offsets, items = seen_items_of(fold)
    else:  # what lists leave out may be more or less (left_out, judged_from)
        offsets, items = items_of(fold.fitted, fold.evaluated)
    n_users = len(offsets) - 1
    user = np.repeat(np.arange(n_users), np.diff(offsets))
    # one genre at a time: [v, g] is small, a row of genres for each event is not
    counts = [
        np.bincount(user[topics[items, g]], minlength=n_users)
        for g in range(topics.shape[1])
    ]
    profile = np.stack(counts, axis=1)
    return (profile < UNFAMILIAR * profile.sum(axis=1, keepdims=True)) | (profile == 0)


def expansion(run: Evaluation) -> UInt8[np.ndarray, " h"] | None:
    """1 where a held-out item has topics, all of them unfamiliar to its user.

    None where no item has a genre: absent, not zero.
    """
    if run.unfamiliar is None:
        return None
    of_item = run.topics[run.item]
    familiar = (of_item & ~run.unfamiliar[run.user]).any(axis=1)
    return (of_item.any(axis=1) & ~familiar).astype(np.uint8)


def outside_genres(run: Evaluation) -> Float[np.ndarray, " v"] | None:
    """The share of a list's topics, slot by slot, that are unfamiliar to its user.

    An item of two genres counts twice, one without a genre not at all; NaN where no
    item of the list has a genre. None where no item of the catalogue has one.
    """
    if run.unfamiliar is None:
        return None
    shown, filled, counts = run.shown, run.filled, np.zeros(run.unfamiliar.shape)
    for slot in range(shown.shape[1]):  # never [v, k, g]
        counts += run.topics[shown[:, slot]] & filled[:, slot, None]
    total = counts.sum(axis=1)
    outside = np.where(run.unfamiliar, counts, 0.0).sum(axis=1)
    return np.where(total > 0, outside / np.maximum(total, 1), np.nan)


def repulsion(run: Evaluation) -> Float[np.ndarray, " v"] | None:
    """Mean over a user's held-out positives of the share of unseen items above them.

    share = (#{j: s_j > s_i} + 1/2 #{j != i: s_j = s_i}) / (n - 1), over the n unseen
    items j, which are all but the user's fitted positives: 0 is the top, 1 the bottom,
    and equal scores for all give 1/2. One minus it is the user's area under the ROC
    curve, with the user's other held-out positives among the negatives. NaN for a user
    with fewer than two unseen items; None where only lists are evaluated.
    """
    if (scorer := run.scorer) is None:
        return None
    fold, n_users, n_items = run.fold, len(run.lists), run.fold.fitted.n_items
    offsets, seen = seen_items_of(fold)
    # in the order of the fold, on which the last digit of a mean depends
    user, item = _positives(fold)
    starts = np.searchsorted(user, np.arange(n_users + 1))

    def of_tile(rows: slice) -> Float[np.ndarray, " t"]:
        chunks = [
            scorer(rows, slice(start, min(start + CHUNK, n_items)))
            for start in range(0, n_items, CHUNK)
        ]
        scores = np.concatenate(chunks, axis=1)
        shares = np.full(len(scores), np.nan)
        for n, v in enumerate(range(rows.start, rows.stop)):
            held = scores[n, item[starts[v] : starts[v + 1]]]
            scores[n, seen[offsets[v] : offsets[v + 1]]] = np.nan  # sorted to the end
            rising = np.sort(scores[n])
            unseen = np.searchsorted(rising, np.inf, "right")
            if unseen < 2:
                continue
            above = unseen - np.searchsorted(rising, held, "right")
            level = unseen - above - np.searchsorted(rising, held) - 1  # without itself
            shares[n] = np.mean((above + level / 2) / (unseen - 1))
        return shares

    return by_tile(of_tile, n_users, np.empty(0))
