"""One user's history as two, each of which stands for the user."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.events import pair_hash
from research.types import Events

__all__ = ["HALVES", "Halves", "halves", "parts"]

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
