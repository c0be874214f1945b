"""Pairs of one kind: two halves of a user's history, and items of one session."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.rng import HALVES_SALT, SESSIONS_SALT, pair_hash
from research.types import Events

HALVES = ("time", "random")


class Halves(NamedTuple):
    """Histories in pairs: halves 2k and 2k + 1 belong to one user.

    Half h has the items item[offsets[h] : offsets[h + 1]], in order of time.
    """

    item: Int[ndarray, " e"]
    offsets: Int[ndarray, " h1"]


def halves(events: Events, by: str) -> Halves:
    """Two halves of each user's events; a user with a single event has none.

    By time, the first half holds the floor(n / 2) earliest events; by random, equally
    many of lowest hash, the same in every run. A single event would leave one half
    empty, and an empty history says nothing about its user.

    Args:
      events: the events to divide.
      by: a name in HALVES: "time" or "random".
    """
    n = np.diff(events.offsets)
    rank = np.arange(len(events.user)) - events.offsets[events.user]
    if by == "random":
        code = pair_hash(
            events.users.id[events.user], events.items.id[events.item], HALVES_SALT
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
    """Events of the selected users, grouped by user and half, in their original order.

    Args:
      user: user of each event, [e].
      item: item of each event, [e].
      second: whether the event belongs to the second half, bool [e].
      kept: the selected users, ascending, [k]; events of other users are dropped.
    """
    there = np.isin(user, kept)
    half = 2 * np.searchsorted(kept, user[there]) + second[there]
    order = np.argsort(half, kind="stable")
    counts = np.bincount(half, minlength=2 * len(kept))
    return Halves(item[there][order], np.concatenate(([0], np.cumsum(counts))))


HOUR = 3600  # seconds
PARTNERS = 4  # per event, at most


class Clicks(NamedTuple):
    """Events sorted by (user, time), [e] each: raw ids of both, time in seconds."""

    user: Int[ndarray, " e"]
    item: Int[ndarray, " e"]
    time: Int[ndarray, " e"]


def sessions(clicks: Clicks, gap: float) -> Int[ndarray, " e"]:
    """Session number of each event, from 0; a gap of more than ``gap`` hours ends one.

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
    """Pairs of events of one session: indices of the queries and of the candidates.

    A session of n events is arranged in a circle by a hash; each event is the query for
    the next min(4, n - 1) events, and thus the candidate equally often. All n (n - 1)
    pairs would give a session of 800 events, which MovieLens has, the weight of 7,100
    sessions of ten. The hash gives every run the same pairs. A single event gives none.

    Args:
      clicks: the events, [e].
      gap: hours without an event that end a session.
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
