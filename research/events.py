"""From ratings to events: what counts as positive, in which order, under which index.

MovieLens users rate many films within one second, and ids correlate with popularity,
so ties in time and the index of an item are settled by a fixed hash of the raw ids:
never by the id itself nor by the order of a file.
"""

import numpy as np
from jaxtyping import Int, UInt64

from research.types import Events, InputError, Items, Ratings, Users

__all__ = ["catalogue", "pair_hash", "splitmix64", "take_events"]

LIBRARIES = ("clicked", "all")


def splitmix64(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """One output of the SplitMix64 generator for each state x [steele2014].

    >>> int(splitmix64(np.zeros(1, np.uint64))[0])
    16294208416658607535
    """
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def pair_hash(
    user: Int[np.ndarray, " n"], item: Int[np.ndarray, " n"], salt: int = 0
) -> UInt64[np.ndarray, " n"]:
    """h(u, i) = splitmix64(splitmix64(salt) xor (u * 2^32 + i)) over raw ids.

    >>> int(pair_hash(np.array([1]), np.array([2]))[0])
    7251516417173249049
    """
    pair = user.astype(np.uint64) * np.uint64(2**32) + item.astype(np.uint64)
    return splitmix64(splitmix64(np.array([salt], np.uint64)) ^ pair)


def catalogue(
    ratings: Ratings,
    threshold: float = 4.0,
    tie_salt: int = 0,
    library: str = "clicked",
) -> Events:
    """Keeps the positives, numbers users and items anew, sorts by user and time.

    Args:
      ratings: the data set.
      threshold: a rating at or above it is a positive.
      tie_salt: salt of the hash that breaks ties in time.
      library: "clicked", the items with at least one positive in the data set;
        "all", every item of the item table (never-clicked ones are candidates too).

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
    timestamp, rating = ratings.timestamp[positive], ratings.rating[positive]
    users_kept = np.unique(user)
    items_kept = (
        np.unique(item)
        if library == "clicked"
        else np.arange(len(ratings.items.id), dtype=np.int64)
    )
    user_index = np.full(len(ratings.users.id), -1, np.int32)
    user_index[users_kept] = np.arange(len(users_kept), dtype=np.int32)

    raw_item = ratings.items.id[items_kept].astype(np.int64)
    by_hash = np.argsort(pair_hash(np.zeros_like(raw_item), raw_item), kind="stable")
    items_kept = items_kept[by_hash]
    item_index = np.full(len(ratings.items.id), -1, np.int32)
    item_index[items_kept] = np.arange(len(items_kept), dtype=np.int32)

    tie = pair_hash(
        ratings.users.id[user].astype(np.int64),
        ratings.items.id[item].astype(np.int64),
        tie_salt,
    )
    order = np.empty(len(user), np.int64)
    order[np.lexsort((tie, timestamp))] = np.arange(len(user))
    rows = np.lexsort((order, user_index[user]))
    columns = Events(
        user=user_index[user][rows],
        item=item_index[item][rows],
        rating=rating[rows].astype(np.float32),
        timestamp=timestamp[rows].astype(np.int64),
        order=order[rows],
        offsets=np.zeros(1, np.int64),
        users=_take_users(ratings.users, users_kept),
        items=_take_items(ratings.items, items_kept),
    )
    return columns._replace(offsets=_offsets(columns.user, len(users_kept)))


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


def _take_users(users: Users, rows: np.ndarray) -> Users:
    def cut(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else column[rows]

    return Users(
        users.id[rows],
        cut(users.gender),
        cut(users.age),
        cut(users.occupation),
        cut(users.zip),
    )


def _take_items(items: Items, rows: np.ndarray) -> Items:
    return items._replace(
        id=items.id[rows],
        title=items.title[rows],
        year=items.year[rows],
        genres=items.genres[rows],
    )
