"""A user's events cut into sessions, and pairs of items of one session."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.events import pair_hash

__all__ = ["PARTNERS", "Clicks", "session_pairs", "sessions"]

HOUR = 3600  # seconds
PARTNERS = 4  # of an event, at most
SALT = 1  # of the hash that settles partners: not that of ties in time


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
    circle = np.lexsort((pair_hash(clicks.user, clicks.item, SALT), of))
    place = np.empty(len(of), np.int64)
    place[circle] = np.arange(len(of))
    at, query, candidate = np.arange(len(of)), [], []
    for step in range(1, PARTNERS + 1):
        there = step < n
        partner = circle[(start + (place - start + step) % np.maximum(n, 1))[there]]
        query.append(at[there])
        candidate.append(partner)
    return np.concatenate(query), np.concatenate(candidate)
