"""From ratings to events: what counts as positive, in which order, under which index.

MovieLens users rate many films within one second, and ids correlate with popularity,
so ties in time and the index of an item are settled by a fixed hash of the raw ids:
never by the id itself nor by the order of a file.
"""

import numpy as np

from research.registry import Registry
from research.rng import INDEX_SALT, pair_hash
from research.types import (
    Events,
    Fold,
    InputError,
    Rated,
    Ratings,
    check,
)

LIBRARIES = ("clicked", "all")


def catalogue(
    ratings: Ratings,
    threshold: float = 4.0,
    tie_salt: int = 0,
    library: str = "clicked",
    with_rated: bool = False,
) -> Events:
    """Keeps the positives, numbers users and items anew, sorts by user and time.

    Args:
      ratings: the data set.
      threshold: a rating at or above it is a positive.
      tie_salt: salt of the hash that breaks ties in time.
      library: "clicked", the items with at least one positive in the data set;
        "all", every item of the item table (never-clicked ones are candidates too).
      with_rated: whether ratings below the threshold are kept beside, for profiles.

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
    user, item = ratings.user[positive], ratings.item[positive]
    timestamp = ratings.timestamp[positive]
    user_rows = np.unique(user)
    item_rows = (
        np.unique(item)
        if library == "clicked"
        else np.arange(len(ratings.items.id), dtype=np.int64)
    )
    user = _rank_of(user_rows, len(ratings.users.id))[user]
    raw_item = ratings.items.id[item_rows].astype(np.int64)
    by_hash = np.argsort(
        pair_hash(np.zeros_like(raw_item), raw_item, INDEX_SALT), kind="stable"
    )
    item_rows = item_rows[by_hash]
    item = _rank_of(item_rows, len(ratings.items.id))[item]
    raw_user = ratings.users.id[ratings.user[positive]].astype(np.int64)
    raw_item = ratings.items.id[ratings.item[positive]].astype(np.int64)
    order = _order(timestamp, raw_user, raw_item, tie_salt)
    rows = np.lexsort((order, user))
    return Events(
        user=user[rows],
        item=item[rows],
        rating=ratings.rating[positive][rows].astype(np.float32),
        timestamp=timestamp[rows].astype(np.int64),
        order=order[rows],
        offsets=_offsets(user, len(user_rows)),
        users=ratings.users.take(user_rows),
        items=ratings.items.take(item_rows),
        rated=_rated(ratings, user_rows, item_rows, positive, tie_salt)
        if with_rated
        else None,
    )


def _rated(
    ratings: Ratings,
    user_rows: np.ndarray,
    item_rows: np.ndarray,
    positive: np.ndarray,
    salt: int,
) -> Rated | None:
    """Every rating of a catalogue's item by its users, in the order that events have.

    None where all are positive: there are no rates of positives then.
    """
    if positive.all():
        return None
    user = _rank_of(user_rows, len(ratings.users.id))[ratings.user]
    item = _rank_of(item_rows, len(ratings.items.id))[ratings.item]
    there = np.flatnonzero((user >= 0) & (item >= 0))
    order = _order(
        ratings.timestamp[there],
        ratings.users.id[ratings.user[there]].astype(np.int64),
        ratings.items.id[ratings.item[there]].astype(np.int64),
        salt,
    )
    rows = there[np.lexsort((order, user[there]))]
    return Rated(
        user=user[rows],
        item=item[rows],
        rating=ratings.rating[rows].astype(np.float32),
        timestamp=ratings.timestamp[rows].astype(np.int64),
        positive=positive[rows],
    )


def _rank_of(rows: np.ndarray, n: int) -> np.ndarray:
    """For each of n rows of a table its place among ``rows``, -1 where it isn't one."""
    place = np.full(n, -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    return place


def _order(
    timestamp: np.ndarray, raw_user: np.ndarray, raw_item: np.ndarray, salt: int
) -> np.ndarray:
    """Position of each event in time, ties broken by the hash of its raw ids."""
    order = np.empty(len(timestamp), np.int64)
    by_time = np.lexsort((pair_hash(raw_user, raw_item, salt), timestamp))
    order[by_time] = np.arange(len(timestamp))
    return order


def take_events(events: Events, keep: np.ndarray) -> Events:
    """The events where ``keep`` [e] is True, with offsets to match; same tables."""
    user = events.user[keep]
    return events._replace(
        user=user,
        item=events.item[keep],
        rating=events.rating[keep],
        timestamp=events.timestamp[keep],
        order=events.order[keep],
        offsets=_offsets(user, events.n_users),
    )


def _offsets(user: np.ndarray, n_users: int) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(np.bincount(user, minlength=n_users))))


TRAIN, VALIDATION, TEST = 0, 1, 2
FIT_ON = ("train", "train+validation")


def last(events: Events) -> np.ndarray:
    """Each user's last positive tests, the one before validates, the rest trains."""
    from_end = events.offsets[events.user + 1] - 1 - np.arange(len(events.user))
    return np.where(from_end == 0, TEST, np.where(from_end == 1, VALIDATION, TRAIN))


def ratio(events: Events) -> np.ndarray:
    """Event k of a user's n (from 1) trains if 10k <= 8n, validates if 10k <= 9n."""
    k = np.arange(len(events.user)) - events.offsets[events.user] + 1
    return _cut(k, np.diff(events.offsets)[events.user])


def time(events: Events) -> np.ndarray:
    """The cuts of ``ratio`` over all events in the order of time."""
    return _cut(events.order + 1, np.full(len(events.user), len(events.user)))


def _cut(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.where(10 * k <= 8 * n, TRAIN, np.where(10 * k <= 9 * n, VALIDATION, TEST))


SPLITS = Registry("split", {"last": last, "ratio": ratio, "time": time})


def fold(
    events: Events, split: str = "ratio", fit_on: str = "train+validation"
) -> Fold:
    """Cuts the events and gives one phase.

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
    has = (np.diff(fitted.offsets) > 0) & (np.diff(held.offsets) > 0)
    evaluated = np.flatnonzero(has)
    if not len(evaluated):
        raise InputError(
            f"split '{split}' leaves no user with both a fitted and a held-out positive"
        )
    return check(
        Fold(
            fitted=fitted,
            held_user=held.user,
            held_item=held.item,
            evaluated=evaluated,
            held_time=held.timestamp,
        )
    )


def _cut_rated(fitted: Events) -> Events:
    """Of all ratings those that come before a fitted positive of their user or are one.

    What a user rated after its last fitted positive is as late as what is held out.
    """
    if fitted.rated is None:
        return fitted
    rated = fitted.rated
    before = np.cumsum(rated.positive) - rated.positive
    first = np.searchsorted(rated.user, rated.user, side="left")
    kept = before - before[first] < np.diff(fitted.offsets)[rated.user]
    return fitted._replace(rated=Rated(*(column[kept] for column in rated)))
