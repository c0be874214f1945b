"""From events to training pairs: a query entity at a position, and what it should find.

The query and the candidate need not be a user and an item: they may be two items of a
session, or two halves of a user's history. Counts and log q are taken over the pairs'
candidates.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.config import Config
from research.positives.pairs import Clicks, halves, session_pairs
from research.types import Events, InputError, Pairs, choose

__all__ = [
    "ITEM_ITEM",
    "POSITIVES",
    "USER_ITEM",
    "USER_USER",
    "Kind",
    "Positives",
    "candidate_counts",
    "check_positives",
    "log_share",
    "make_positives",
    "user_item",
]

USER_ITEM, ITEM_ITEM, USER_USER = "user-item", "item-item", "user-user"
TIMED = ("history-age", "genre-profile", "dynamic")  # features by an event's time


def user_item(fitted: Events) -> Pairs:
    """Each fitted positive: the user just before the event, and the event's item."""
    return Pairs(
        query=fitted.user.astype(np.int32, copy=False),
        position=np.arange(len(fitted.user), dtype=np.int32),
        candidate=fitted.item.astype(np.int32, copy=False),
        weight=np.ones(len(fitted.user), np.float32),
    )


class Positives(NamedTuple):
    """Pairs, and the events that histories are looked up in.

    The history of a query or candidate that is a user, or a half of one, is in
    item[offsets[entity] : offsets[entity + 1]]. candidates is how many there are.
    """

    pairs: Pairs
    item: Int[ndarray, " e"]
    offsets: Int[ndarray, " u1"]
    candidates: int


class Kind(NamedTuple):
    """Which tower encodes the query and which the candidate; how pairs are made."""

    query: str
    candidate: str
    make: Callable[[Config, Events], Positives]


def make_positives(config: Config, fitted: Events) -> Positives:
    """What a run trains on: the pairs of its kind of positives."""
    return POSITIVES[config.positives].make(config, fitted)


def _user_item(config: Config, fitted: Events) -> Positives:
    return Positives(user_item(fitted), fitted.item, fitted.offsets, fitted.n_items)


def _item_item(config: Config, fitted: Events) -> Positives:
    """Each event's item, and items of the same session (see session_pairs)."""
    raw = fitted.users.id[fitted.user], fitted.items.id[fitted.item]
    clicks = Clicks(*raw, fitted.timestamp)
    query, candidate = session_pairs(clicks, config.session_gap)
    pairs = Pairs(
        query=fitted.item[query].astype(np.int32),
        position=query.astype(np.int32),
        candidate=fitted.item[candidate].astype(np.int32),
        weight=np.ones(len(query), np.float32),
    )
    return Positives(pairs, fitted.item, fitted.offsets, fitted.n_items)


def _user_user(config: Config, fitted: Events) -> Positives:
    """Each half of a user's events, and the other half (see halves)."""
    found = halves(fitted, config.halves)
    query = np.arange(len(found.offsets) - 1, dtype=np.int32)
    pairs = Pairs(
        query=query,
        position=found.offsets[1:].astype(np.int32),
        candidate=query ^ 1,
        weight=np.ones(len(query), np.float32),
    )
    return Positives(pairs, found.item, found.offsets, len(query))


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


def check_positives(config: Config) -> None:
    """Refuses what a kind of positives can't be trained with.

    Raises:
      InputError: an unknown kind; or a switch, a source, a temperature, a feature or
        an encoder that goes by the query's being a user who ranks items.
    """
    choose(config.positives, POSITIVES, "kind of positives")
    if config.positives == USER_ITEM:
        return
    kind = config.positives
    if config.mask_user_positives:
        raise InputError(
            f"mask_user_positives with positives {kind}: it masks items that the query "
            f"has, and the query is no user with items to find"
        )
    if config.temperature_kind == "per-user":
        raise InputError(
            f"temperature_kind per-user with positives {kind}: the query is no user"
        )
    for spec in config.negatives:
        if spec.partition(":")[0] == "rank-band":
            raise InputError(
                f"{spec} with positives {kind}: rank-band ranks items for users"
            )
    _check_timed(config)
    if kind == USER_USER:
        _check_halves(config)


def _check_timed(config: Config) -> None:
    kind = config.positives
    named = (*(config.user_features or ()), *(config.item_features or ()))
    for name in TIMED:
        if name in named:
            raise InputError(
                f"feature '{name}' with positives {kind}: it goes by the time of a "
                f"user's event"
            )
    if config.batch_order == "time":
        raise InputError(
            f"batch_order time with positives {kind}: their pairs have no one time"
        )


def _check_halves(config: Config) -> None:
    if config.user_features:
        raise InputError(
            f"user feature '{config.user_features[0]}' with positives user-user: what "
            f"is constant for a user names the other half; leave user_features empty"
        )
    if config.encoder == "none" or config.history == 0:
        raise InputError(
            "positives user-user needs a history: it is all that a half consists of"
        )


POSITIVES: dict[str, Kind] = {
    USER_ITEM: Kind("user", "item", _user_item),
    ITEM_ITEM: Kind("item", "item", _item_item),
    USER_USER: Kind("user", "user", _user_user),
}
