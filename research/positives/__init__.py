"""Training pairs from events: a query at a position, and the candidate to retrieve.

The query and the candidate need not be a user and an item: they may be two items of a
session, or two halves of a user's history. Counts and log q are taken over the pairs'
candidates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.config import Config
from research.features import STATIC, registered_features
from research.positives.pairs import Clicks, halves, session_pairs
from research.registry import Registry, deferred
from research.temperature import kind_of
from research.towers import takes_words, uses_history
from research.types import Events, InputError

__all__ = [
    "POSITIVES",
    "Kind",
    "Pairs",
    "Positives",
    "candidate_counts",
    "check_positives",
    "log_share",
    "make_positives",
    "user_item",
]


class Pairs(NamedTuple):
    """Query entity, its position among the events, candidate and weight; [n] each.

    The history of a query is the entity's events before the position, so a position
    equal to the entity's end sees all of them.
    """

    query: Int[ndarray, " n"]
    position: Int[ndarray, " n"]
    candidate: Int[ndarray, " n"]
    weight: Float[ndarray, " n"]


def user_item(fitted: Events) -> Pairs:
    """One pair per training click: the user just before the event, and its item."""
    return Pairs(
        query=fitted.user.astype(np.int32, copy=False),
        position=np.arange(len(fitted.user), dtype=np.int32),
        candidate=fitted.item.astype(np.int32, copy=False),
        weight=np.ones(len(fitted.user), np.float32),
    )


class Positives(NamedTuple):
    """Pairs, and the events in which histories are looked up.

    The history of an entity that is a user, or half of one, is
    item[offsets[entity] : offsets[entity + 1]]. candidates is the number of candidates.
    """

    pairs: Pairs
    item: Int[ndarray, " e"]
    offsets: Int[ndarray, " u1"]
    candidates: int


class Kind(NamedTuple):
    """An entry of the registry: pairs to train on, and the task they are judged by.

    Attributes:
      query: the tower that encodes the query: "user" or "item".
      candidate: the tower that encodes the candidate.
      make: (config, training part) -> Positives.
      task: (config, fold) -> RetrievalTask (research/positives/tasks.py).
      ranks_items: whether queries are users who look for items; else a query may be
        among the candidates, and is left out of its own.
      history_alone: whether a query is known by its history alone, so that a feature
        of the user would name the answer.
    """

    query: str
    candidate: str
    make: Callable[[Config, Events], Positives]
    task: Callable[..., Any]
    ranks_items: bool = False
    history_alone: bool = False


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
    """Number of pairs of each of n candidates."""
    return np.bincount(pairs.candidate, minlength=n)


def log_share(counts: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Log q of one draw from the pairs, with a finite floor  [yi2019, section 3.2].

    A candidate without a pair counts as 0.3 of a pair: in-batch sampling never draws
    it, but another source of a union may, and a popularity prior ranks it.

    >>> [round(float(x), 4) for x in log_share(np.array([3, 1, 0]))]  # 3/4, 1/4, 0.3/4
    [-0.2877, -1.3863, -2.5903]
    """
    return np.log(np.maximum(counts, 0.3) / counts.sum()).astype(np.float32)


def check_positives(config: Config) -> None:
    """Refuses what a kind of positives can't be trained with.

    Raises:
      InputError: an unknown kind; or a switch, a temperature, a feature or an encoder
        that needs a query who is a user and ranks items.
    """
    name, kind = config.positives, POSITIVES.choose(config.positives)
    if kind.ranks_items:
        return
    if config.mask_user_positives:
        raise InputError(
            f"mask_user_positives with positives {name}: it masks items that the query "
            f"has, and the query is no user with items to find"
        )
    if kind_of(config).init is not None:
        raise InputError(
            f"temperature_kind {config.temperature_kind} with positives {name}: the "
            f"query is no user"
        )
    if takes_words(config):
        raise InputError(
            f"encoder {config.encoder} with positives {name}: only a user searches for "
            f"an item"
        )
    _check_timed(config)
    if kind.history_alone:
        _check_history_alone(config)


def _check_timed(config: Config) -> None:
    for name, feature in registered_features(config):
        if feature.gives != STATIC:
            raise InputError(
                f"feature '{name}' with positives {config.positives}: it goes by the "
                f"time of a user's event"
            )
    if config.batch_order == "time":
        raise InputError(
            f"batch_order time with positives {config.positives}: their pairs have no "
            f"one time"
        )


def _check_history_alone(config: Config) -> None:
    if config.user_features:
        raise InputError(
            f"user feature '{config.user_features[0]}' with positives "
            f"{config.positives}: what is constant for a user names the other half; "
            f"leave user_features empty"
        )
    if not uses_history(config):
        raise InputError(
            f"positives {config.positives} needs a history: it is all that a half "
            f"consists of"
        )


_TASKS = "research.positives.tasks"

POSITIVES: Registry[Kind] = Registry(
    "kind of positives",
    {
        "user-item": Kind(
            "user",
            "item",
            _user_item,
            deferred(f"{_TASKS}:held_out_items"),
            ranks_items=True,
        ),
        "item-item": Kind(
            "item", "item", _item_item, deferred(f"{_TASKS}:same_session")
        ),
        "user-user": Kind(
            "user",
            "user",
            _user_user,
            deferred(f"{_TASKS}:other_half"),
            history_alone=True,
        ),
    },
)
