"""Events, the positive ratings in order of time, and their splits into phases.

MovieLens users rate many films within one second, and ids correlate with popularity,
so ties in time and the index of an item are settled by a fixed hash of the raw ids:
never by the id itself nor by the order of a file.
"""

import numpy as np

from research.registry import Registry
from research.rng import INDEX_SALT, pair_hash
from research.types import Events, Fold, InputError, Rated, Ratings, check

LIBRARIES = ("clicked", "all")


def catalogue(
    ratings: Ratings,
    threshold: float = 4.0,
    tie_salt: int = 0,
    library: str = "clicked",
    with_rated: bool = False,
) -> Events:
    """Events of the positives: users and items numbered anew, sorted by user and time.

    Args:
      ratings: the data set.
      threshold: a rating at or above it is a positive.
      tie_salt: salt of the hash that breaks ties in time.
      library: "clicked", the items with at least one positive in the data set;
        "all", every item of the item table (never-clicked ones are candidates too).
      with_rated: whether ratings below the threshold are returned too, for profiles.

    Returns:
      Events; ``order`` is the position in time over all events, ties broken.

    Raises:
      InputError: no rating reaches the threshold, or the library is unknown.
    """
    if library not in LIBRARIES:
        raise InputError(f"unknown library '{library}': choose clicked or all")
    positive = ratings.rating >= threshold
    if not positive.any():
        raise InputError(
            f"{ratings.name}: no rating is at or above the threshold {threshold:g}"
        )
    n_users, n_items = len(ratings.users.id), len(ratings.items.id)
    user_rows = np.unique(ratings.user[positive])
    item_rows = np.arange(n_items, dtype=np.int64)
    if library == "clicked":
        item_rows = np.unique(ratings.item[positive])
    raw_item = ratings.items.id[item_rows].astype(np.int64)
    by_hash = np.argsort(
        pair_hash(np.zeros_like(raw_item), raw_item, INDEX_SALT), kind="stable"
    )
    item_rows = item_rows[by_hash]
    user = _rank_of(user_rows, n_users)[ratings.user]
    item = _rank_of(item_rows, n_items)[ratings.item]
    rows, order = by_time(ratings, user, positive, tie_salt)
    rated = None
    if with_rated and not positive.all():  # else every rate of positives is 1
        at, _ = by_time(ratings, user, (user >= 0) & (item >= 0), tie_salt)
        rated = Rated(*_columns(ratings, user, item, at), positive=positive[at])
    return Events(
        *_columns(ratings, user, item, rows),
        order=order,
        offsets=offsets_of(user[rows], len(user_rows)),
        users=ratings.users.take(user_rows),
        items=ratings.items.take(item_rows),
        rated=rated,
    )


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

    Args:
      ratings: with the tables of raw ids.
      user: what the rows are sorted by first, [n].
      selected: which ratings, [n].
      salt: of the hash.
    """
    at = np.flatnonzero(selected)
    raw_user = ratings.users.id[ratings.user[at]].astype(np.int64)
    raw_item = ratings.items.id[ratings.item[at]].astype(np.int64)
    order = np.empty(len(at), np.int64)
    code = pair_hash(raw_user, raw_item, salt)
    order[np.lexsort((code, ratings.timestamp[at]))] = np.arange(len(at))
    by_user = np.lexsort((order, user[at]))
    return at[by_user], order[by_user]


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
    )


def offsets_of(user: np.ndarray, n_users: int) -> np.ndarray:
    """Where each user's rows begin, and where the last one's end, [u + 1]."""
    return np.concatenate(([0], np.cumsum(np.bincount(user, minlength=n_users))))


TRAIN, VALIDATION, TEST = 0, 1, 2
FIT_ON = ("train", "train+validation")


def last(events: Events) -> np.ndarray:
    """Each user's last positive tests, the one before validates, the rest trains."""
    from_end = events.offsets[events.user + 1] - 1 - np.arange(len(events.user))
    return np.select([from_end == 0, from_end == 1], [TEST, VALIDATION], TRAIN)


def ratio(events: Events) -> np.ndarray:
    """Event k of a user's n (from 1) trains if 10k <= 8n, validates if 10k <= 9n."""
    k = np.arange(len(events.user)) - events.offsets[events.user] + 1
    return _cut(k, np.diff(events.offsets)[events.user])


def time(events: Events) -> np.ndarray:
    """The cuts of ``ratio`` over all events in the order of time."""
    return _cut(events.order + 1, np.full(len(events.user), len(events.user)))


def _cut(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.select([10 * k <= 8 * n, 10 * k <= 9 * n], [TRAIN, VALIDATION], TEST)


SPLITS = Registry("split", {"last": last, "ratio": ratio, "time": time})


def fold(
    events: Events, split: str = "ratio", fit_on: str = "train+validation"
) -> Fold:
    """One phase of the events cut by a split.

    Args:
      events: all positives.
      split: a name in SPLITS.
      fit_on: "train" (judged on validation) or "train+validation" (judged on test).

    Raises:
      InputError: a name is unknown, or a part of the phase is empty.
    """
    if fit_on not in FIT_ON:
        raise InputError(f"unknown fit_on '{fit_on}': choose {' or '.join(FIT_ON)}")
    part = SPLITS.choose(split)(events)
    judged_by = VALIDATION if fit_on == "train" else TEST
    fitted = _cut_rated(take_events(events, part < judged_by))
    held = take_events(events, part == judged_by)
    evaluated = np.flatnonzero(
        (np.diff(fitted.offsets) > 0) & (np.diff(held.offsets) > 0)
    )
    if not len(evaluated):
        raise InputError(
            f"split '{split}' leaves no user with both a fitted and a held-out positive"
        )
    return check(Fold(fitted, held.user, held.item, evaluated, held.timestamp))


def _cut_rated(fitted: Events) -> Events:
    """The fitted events with all ratings up to each user's last fitted positive.

    What a user rated after it is as late as what is held out.
    """
    if fitted.rated is None:
        return fitted
    rated = fitted.rated
    before = np.cumsum(rated.positive) - rated.positive
    first = np.searchsorted(rated.user, rated.user, side="left")
    early = before - before[first] < np.diff(fitted.offsets)[rated.user]
    return fitted._replace(rated=Rated(*(column[early] for column in rated)))
