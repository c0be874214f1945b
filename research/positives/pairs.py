"""One user's history as two, each of which stands for the user."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.events import pair_hash
from research.types import Events

__all__ = [
    "HALVES",
    "PARTNERS",
    "Clicks",
    "Halves",
    "halves",
    "parts",
    "session_pairs",
    "sessions",
]

HALVES = ("time", "random")
SALT = 2  # of the hash behind random halves: not that of ties in time


class Halves(NamedTuple):
    """Histories two by two: 2k and 2k + 1 are those of one user.

    Half h has the items item[offsets[h] : offsets[h + 1]], in order of time.
    """

    item: Int[ndarray, " e"]
    offsets: Int[ndarray, " h1"]


def halves(events: Events, by: str) -> Halves:
    """Two halves of each user's events; a user with a single event has none.

    By time, the first floor(n / 2) and the rest; by random, as many, those of lowest
    hash: the same for every run. A user with one event would leave a half empty, and
    an empty history tells nothing of anyone, so there is no half of it.

    Args:
      events: what is cut.
      by: a name in HALVES.
    """
    n = np.diff(events.offsets)
    rank = np.arange(len(events.user)) - events.offsets[events.user]
    if by == "random":
        code = pair_hash(
            events.users.id[events.user], events.items.id[events.item], SALT
        )
        order = np.lexsort((code, events.user))
        rank[order] = rank.copy()
    second = rank >= (n // 2)[events.user]
    return parts(events.user, events.item, second, np.flatnonzero(n > 1))


def parts(
    user: Int[ndarray, " e"],
    item: Int[ndarray, " e"],
    second: ndarray,
    kept: Int[ndarray, " k"],
) -> Halves:
    """The events of the kept users, by user and half, in the order given within.

    Args:
      user: of each event.
      item: of each event.
      second: [e], whether it is of the second half.
      kept: users, ascending; the others' events are left out.
    """
    there = np.isin(user, kept)
    half = 2 * np.searchsorted(kept, user[there]) + second[there]
    order = np.argsort(half, kind="stable")
    counts = np.bincount(half, minlength=2 * len(kept))
    return Halves(item[there][order], np.concatenate(([0], np.cumsum(counts))))


HOUR = 3600  # seconds
PARTNERS = 4  # of an event, at most
SESSIONS_SALT = 1  # of the hash that settles partners: not that of ties in time


class Clicks(NamedTuple):
    """Events sorted by (user, time): user and item as raw ids, time in seconds."""

    user: Int[ndarray, " e"]
    item: Int[ndarray, " e"]
    time: Int[ndarray, " e"]


def sessions(clicks: Clicks, gap: float) -> Int[ndarray, " e"]:
    """The session of each event, counted from 0: a new one after more than gap hours.

    >>> time = np.array([0, 3600, 9000, 9000])
    >>> user = np.array([1, 1, 1, 2])
    >>> sessions(Clicks(user, user, time), gap=1.0).tolist()
    [0, 0, 1, 2]
    """
    user, time = clicks.user, clicks.time
    new = (np.diff(user) != 0) | (np.diff(time) > gap * HOUR)
    return np.concatenate(([0], np.cumsum(new)))[: len(user)]


def session_pairs(
    clicks: Clicks, gap: float
) -> tuple[Int[ndarray, " n"], Int[ndarray, " n"]]:
    """Pairs of events of one session, the query's index and the candidate's.

    A session of n events stands on a circle in the order of a hash; each event is the
    query for the next min(4, n - 1) and the candidate for as many. All n (n - 1) pairs
    would give a session of 800, which MovieLens has, the weight of 6,400 of ten; and
    the hash gives every run the same pairs. An event alone gives none.

    Args:
      clicks: the events.
      gap: hours that end a session.
    """
    of = sessions(clicks, gap)
    n = np.bincount(of)[of] if len(of) else of
    start = np.searchsorted(of, of)
    circle = np.lexsort((pair_hash(clicks.user, clicks.item, SESSIONS_SALT), of))
    place = np.empty(len(of), np.int64)
    place[circle] = np.arange(len(of))
    at, query, candidate = np.arange(len(of)), [], []
    for step in range(1, PARTNERS + 1):
        there = step < n
        partner = circle[(start + (place - start + step) % np.maximum(n, 1))[there]]
        query.append(at[there])
        candidate.append(partner)
    return np.concatenate(query), np.concatenate(candidate)
