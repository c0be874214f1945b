"""From events to training pairs: a query entity at a position, and what it should find.

The query and the candidate need not be a user and an item; counts and log q are taken
over the pairs' candidates.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.types import Events

__all__ = ["POSITIVES", "Pairs", "candidate_counts", "log_share", "user_item"]


class Pairs(NamedTuple):
    """Query entity and its position among the events, candidate and weight; [n] each.

    The history of a query is what stands before its position among the entity's
    events, so a position equal to the entity's end sees all of them.
    """

    query: Int[ndarray, " n"]
    position: Int[ndarray, " n"]
    candidate: Int[ndarray, " n"]
    weight: Float[ndarray, " n"]


def user_item(fitted: Events) -> Pairs:
    """Each fitted positive: the user just before the event, and the event's item."""
    return Pairs(
        query=fitted.user.astype(np.int32),
        position=np.arange(len(fitted.user), dtype=np.int32),
        candidate=fitted.item.astype(np.int32),
        weight=np.ones(len(fitted.user), np.float32),
    )


def candidate_counts(pairs: Pairs, n: int) -> Int[ndarray, " n"]:
    """How often each of n candidates stands in the pairs."""
    return np.bincount(pairs.candidate, minlength=n)


def log_share(counts: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """log q of one draw from the pairs, with a finite floor  [yi2019, section 3.2].

    A candidate that no pair holds counts as 0.3 of a pair: in-batch sampling never
    draws it, but another source of a mixture may, and a serving prior ranks it.

    >>> [round(float(x), 4) for x in log_share(np.array([3, 1, 0]))]  # 3/4, 1/4, 0.3/4
    [-0.2877, -1.3863, -2.5903]
    """
    return np.log(np.maximum(counts, 0.3) / counts.sum()).astype(np.float32)


POSITIVES = {"user-item": user_item}
