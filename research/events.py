"""Events, the positive ratings in order of time, and the phases of a split.

MovieLens users rate many films within one second, and ids correlate with popularity,
so ties in time and the index of an item are settled by a fixed hash of the raw ids:
never by the id itself nor by the order of a file.
"""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from research.registry import entry_name
from research.rng import INDEX_SALT, pair_hash
from research.sorting import order_by_group, stable_argsort
from research.splits import RULES, TEST, TRAIN, VALIDATION, SplitRules, parts
from research.types import Events, Fold, InputError, Rated, Ratings, check

CATALOGUES = ("clicked", "all")


def catalogue(
    ratings: Ratings,
    threshold: float = 4.0,
    tie_seed: int = 0,
    items: str = "clicked",
    with_rated: bool = False,
    core: int = 0,
) -> Events:
    """Events of the positives: users and items numbered anew, sorted by user and time.

    Returns:
      Events; ``order`` is the position in time over all events, ties broken.

    Raises:
      InputError: no positive at this threshold or core, or unknown items.
    """
    if items not in CATALOGUES:
        raise InputError(f"unknown catalogue '{items}': choose clicked or all")
    positive = ratings.rating >= threshold
    if not ratings.rated:
        positive = np.ones(len(ratings.user), bool)
    if not positive.any():
        raise InputError(
            f"{ratings.name}: no rating is at or above --threshold {threshold:g}"
        )
    liked = positive
    if core > 1:
        positive = _core(ratings, positive, core)
    user_rows = np.flatnonzero(np.bincount(ratings.user[positive]))
    listed = np.full(len(ratings.items.id), items == "all")
    listed[ratings.item[liked]] = False  # those that core leaves out
    listed[ratings.item[positive]] = True
    item_rows = _by_hash(ratings, np.flatnonzero(listed))
    user = _rank_of(user_rows, len(ratings.users.id))[ratings.user]
    item = _rank_of(item_rows, len(ratings.items.id))[ratings.item]
    rows, order = by_time(ratings, user, positive, tie_seed)
    rated = None
    if with_rated and not positive.all():  # else every rate of positives is 1
        at, _ = by_time(ratings, user, (user >= 0) & (item >= 0), tie_seed)
        part = None if ratings.part is None else ratings.part[at]
        rated = Rated(*_columns(ratings, user, item, at), positive[at], part)
    return Events(
        *_columns(ratings, user, item, rows),
        order=order,
        offsets=offsets_of(user[rows], len(user_rows)),
        users=ratings.users.take(user_rows),
        items=ratings.items.take(item_rows),
        rated=rated,
        timed=ratings.timed,
        part=None if ratings.part is None else ratings.part[rows],
    )


def _core(
    ratings: Ratings, positive: Bool[ndarray, " n"], core: int
) -> Bool[ndarray, " n"]:
    """The positives among users and items that have at least ``core`` of them each."""
    n_before = -1
    while (n := int(positive.sum())) != n_before:
        n_before = n
        for rows in (ratings.user, ratings.item):
            counts = np.bincount(rows[positive], minlength=int(rows.max()) + 1)
            positive = positive & (counts >= core)[rows]
    if not n:
        raise InputError(f"{ratings.name}: core {core} leaves no positive")
    return positive


def _by_hash(ratings: Ratings, item_rows: np.ndarray) -> np.ndarray:
    """Rows of the item table in the order of the catalogue's index."""
    raw_item = ratings.items.id[item_rows].astype(np.int64)
    code = pair_hash(np.zeros_like(raw_item), raw_item, INDEX_SALT)
    return item_rows[np.argsort(code, kind="stable")]


def _rank_of(rows: np.ndarray, n: int) -> np.ndarray:
    """For each of n rows of a table its place among ``rows``, -1 where it isn't one."""
    place = np.full(n, -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    return place


def by_time(
    ratings: Ratings, user: np.ndarray, selected: np.ndarray, salt: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the selected ratings by user and time, and the position in time of each.

    Ties in time are broken by the hash of the raw ids.
    """
    at = np.flatnonzero(selected)

    def hash_of(places: np.ndarray) -> np.ndarray:
        rows = at[places]
        raw_user = ratings.users.id[ratings.user[rows]].astype(np.int64)
        raw_item = ratings.items.id[ratings.item[rows]].astype(np.int64)
        return pair_hash(raw_user, raw_item, salt)

    at = at[stable_argsort(ratings.timestamp[at], hash_of)]
    order = order_by_group(user[at], int(user.max(initial=-1)) + 1)
    return at[order], order.astype(np.int64)


def _columns(
    ratings: Ratings, user: np.ndarray, item: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """User, item, rating and timestamp of these rows."""
    rating = ratings.rating[rows].astype(np.float32)
    return user[rows], item[rows], rating, ratings.timestamp[rows].astype(np.int64)


def take_events(events: Events, keep: np.ndarray) -> Events:
    """The events where ``keep`` [e] is True, with offsets to match; same tables."""
    user = events.user[keep]
    return events._replace(
        user=user,
        item=events.item[keep],
        rating=events.rating[keep],
        timestamp=events.timestamp[keep],
        order=events.order[keep],
        offsets=offsets_of(user, events.n_users),
        part=None if events.part is None else events.part[keep],
    )


def offsets_of(user: np.ndarray, n_users: int) -> np.ndarray:
    """Where each user's rows begin, and where the last one's end, [u + 1]."""
    return np.concatenate(([0], np.cumsum(np.bincount(user, minlength=n_users))))


# The last of the parts that a phase is fitted on, or that lists leave out, by name.
FIT_ON = {"train": TRAIN, "train+validation": VALIDATION, "train-only": TRAIN}


def fold(
    events: Events,
    split: str = "ratio",
    fit_on: str = "train+validation",
    rules: SplitRules = RULES,
) -> Fold:
    """One phase of the events cut by a split.

    Raises:
      InputError: a name is unknown, or a part of the phase is empty.
    """
    if fit_on not in FIT_ON:
        raise InputError(f"unknown fit_on '{fit_on}': choose {' or '.join(FIT_ON)}")
    part = parts(split, events)
    judged_by = VALIDATION if fit_on == "train" else TEST
    if (
        judged_by == VALIDATION
        and entry_name(split) == "given"
        and not (part == VALIDATION).any()
    ):
        raise InputError(
            "fit_on train with split given: the data has no validation part; "
            "--split given,validation=0.1 takes a tenth of each user's train part"
        )
    last = FIT_ON[fit_on]
    fitted = _cut_rated(take_events(events, part <= last), part <= last, last)
    judges = np.ones(len(part), bool)
    if rules.judged_from:
        judges = events.rating >= rules.judged_from
        if not judges[part == judged_by].any():
            raise InputError(
                f"judged_from is {rules.judged_from:g}: no held-out positive has such "
                "a rating"
            )
    held = take_events(events, (part == judged_by) & judges)
    evaluated = np.flatnonzero(
        (np.diff(fitted.offsets) > 0) & (np.diff(held.offsets) > 0)
    )
    if not len(evaluated):
        raise InputError(
            f"split '{split}' leaves no user with both a fitted and a held-out positive"
        )
    removed, upto = None, FIT_ON.get(rules.left_out, last)
    if upto != last or rules.judged_from:
        removed = items_of(take_events(events, (part <= upto) & judges), evaluated)
    return check(Fold(fitted, held.user, held.item, evaluated, held.timestamp, removed))


def items_of(
    events: Events, users: Int[ndarray, " v"]
) -> tuple[Int[ndarray, " v1"], Int[ndarray, " s"]]:
    """The items of some users' events.

    Returns:
      offsets [v + 1] and items [s]; the v-th user has items[offsets[v]:offsets[v + 1]].
    """
    starts = events.offsets[users]
    counts = events.offsets[users + 1] - starts
    offsets = np.concatenate(([0], np.cumsum(counts)))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    return offsets, events.item[np.repeat(starts, counts) + within]


def _cut_rated(fitted: Events, is_fitted: Bool[ndarray, " e"], last: int) -> Events:
    """The fitted events, with what else was rated by the time of the last of them.

    What a user rated after the last fitted positive is as late as what is held out, and
    what the data's own split holds out isn't known either.
    """
    if fitted.rated is None:
        return fitted
    rated = fitted.rated
    known = np.zeros(len(rated.user), bool)
    known[np.flatnonzero(rated.positive)[is_fitted]] = True
    last_known = np.full(fitted.n_users, -1)
    last_known[rated.user[known]] = np.flatnonzero(known)  # ascending: the last stays
    early = np.arange(len(known)) <= last_known[rated.user]
    if rated.part is not None:
        early &= rated.part <= last
    keep = np.where(rated.positive, known, early)
    kept = rated._replace(
        user=rated.user[keep],
        item=rated.item[keep],
        rating=rated.rating[keep],
        timestamp=rated.timestamp[keep],
        positive=rated.positive[keep],
        part=None if rated.part is None else rated.part[keep],
    )
    return fitted._replace(rated=kept)
