"""Training pairs from events: a query at a position, and the candidate to retrieve.

The query and the candidate need not be a user and an item: they may be two items of a
session, or two halves of a user's history. Counts and log q are taken over the pairs'
candidates.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.config import Config
from research.entries import NO_VALUES, Value, read
from research.exposure import ips_weights
from research.features import STATIC, registered_features
from research.marks import Choice, Range
from research.registry import Registry, deferred, entry_name
from research.rng import HALVES_SALT, SESSIONS_SALT, pair_hash
from research.temperature import kind_of
from research.towers import takes_words, uses_history
from research.types import UNSEEN, Events, InputError, Pairs

HALVES = ("time", "random")
HOUR = 3600  # seconds
PARTNERS = 4  # per event, at most


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
    """
    n = np.diff(events.offsets)
    rank = np.arange(len(events.user)) - events.offsets[events.user]
    if by == "random":
        raw = events.users.id[events.user], events.items.id[events.item]
        order = np.lexsort((pair_hash(*raw, HALVES_SALT), events.user))
        rank[order] = rank.copy()
    second = rank >= (n // 2)[events.user]
    return parts(events.user, events.item, second, np.flatnonzero(n > 1))


def parts(
    user: Int[ndarray, " e"],
    item: Int[ndarray, " e"],
    second: ndarray,
    users: Int[ndarray, " k"],
) -> Halves:
    """Events of selected users, grouped by user and half, in their original order."""
    selected = np.isin(user, users)
    half = 2 * np.searchsorted(users, user[selected]) + second[selected]
    order = np.argsort(half, kind="stable")
    counts = np.bincount(half, minlength=2 * len(users))
    return Halves(item[selected][order], np.concatenate(([0], np.cumsum(counts))))


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
    """
    of = sessions(clicks, gap)
    n = np.bincount(of)[of]
    start = np.searchsorted(of, of)
    circle = np.lexsort((pair_hash(clicks.user, clicks.item, SESSIONS_SALT), of))
    place = np.argsort(circle)
    query, candidate = [], []
    for step in range(1, PARTNERS + 1):
        at = np.flatnonzero(step < n)
        query.append(at)
        candidate.append(circle[(start + (place - start + step) % n)[at]])
    return np.concatenate(query), np.concatenate(candidate)


class Positives(NamedTuple):
    """Training pairs, and the events in which histories are looked up.

    The history of an entity that is a user, or half of one, is
    item[offsets[entity] : offsets[entity + 1]]. candidates is how many candidates
    there are.
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
      ranks_items: whether queries are users and candidates items; else a query may be
        among the candidates, and is left out of its own list.
      history_alone: whether a query is its history alone, so that a feature of the
        user would give the answer away.
      values: its own, by name.
    """

    query: str
    candidate: str
    make: Callable[[Config, Events], Positives]
    task: Callable[..., Any]
    ranks_items: bool = False
    history_alone: bool = False
    values: Mapping[str, Value] = NO_VALUES


def values_of(config: Config) -> Mapping[str, Any]:
    """The values of a config's kind of positives."""
    return read(config.positives, POSITIVES).values


def make_positives(config: Config, fitted: Events) -> Positives:
    """The training pairs of a run, by its kind of positives, each with its weight.

    Raises:
      InputError: they are weighted by impressions, and the table of items has none.
    """
    made = POSITIVES.choose(config.positives).make(config, fitted)
    if not config.ips:
        return made
    weight = ips_weights(fitted.items, made.pairs.candidate, config.ips)
    return made._replace(pairs=made.pairs._replace(weight=weight))


def _user_item(config: Config, fitted: Events) -> Positives:
    """One pair per training click: the user just before the event, and its item."""
    pairs = Pairs(
        query=fitted.user.astype(np.int32, copy=False),
        position=np.arange(len(fitted.user), dtype=np.int32),
        candidate=fitted.item.astype(np.int32, copy=False),
        weight=np.ones(len(fitted.user), np.float32),
    )
    return Positives(pairs, fitted.item, fitted.offsets, fitted.n_items)


def _item_item(config: Config, fitted: Events) -> Positives:
    """Each event's item, and items of the same session (see session_pairs)."""
    raw = fitted.users.id[fitted.user], fitted.items.id[fitted.item]
    clicks = Clicks(*raw, fitted.timestamp)
    query, candidate = session_pairs(clicks, values_of(config)["gap"])
    pairs = Pairs(
        query=fitted.item[query].astype(np.int32),
        position=query.astype(np.int32),
        candidate=fitted.item[candidate].astype(np.int32),
        weight=np.ones(len(query), np.float32),
    )
    return Positives(pairs, fitted.item, fitted.offsets, fitted.n_items)


def _user_user(config: Config, fitted: Events) -> Positives:
    """Each half of a user's events, and the other half (see halves)."""
    item, offsets = halves(fitted, values_of(config)["halves"])
    query = np.arange(len(offsets) - 1, dtype=np.int32)
    pairs = Pairs(
        query=query,
        position=offsets[1:].astype(np.int32),
        candidate=query ^ 1,
        weight=np.ones(len(query), np.float32),
    )
    return Positives(pairs, item, offsets, len(query))


def log_share(counts: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Log q of one draw from the pairs, with a finite floor  [yi2019, section 3.2].

    A candidate without a pair counts as UNSEEN pairs: in-batch sampling never draws it,
    but another source of a union may, and a popularity prior ranks it.

    >>> [round(float(x), 4) for x in log_share(np.array([3, 1, 0]))]  # 3/4, 1/4, 0.3/4
    [-0.2877, -1.3863, -2.5903]
    """
    return np.log(np.maximum(counts, UNSEEN) / counts.sum()).astype(np.float32)


def check_positives(config: Config) -> None:
    """Refuses fields that a kind of positives can't be trained with.

    Raises:
      InputError: an unknown kind; weights by impressions where candidates aren't
        items; or a switch, a temperature, a feature or an encoder that needs users as
        queries and items as candidates.
    """
    name, kind = config.positives, POSITIVES.choose(config.positives)
    if config.ips and kind.candidate != "item":
        raise InputError(
            f"ips is {config.ips:g} with positives {name}: candidates are not items"
        )
    if kind.ranks_items:
        return
    if config.mask_user_positives:
        raise InputError(
            f"mask_user_positives with positives {name}: it masks the items of a user, "
            f"and the query is not a user who looks for items"
        )
    if kind_of(config).init is not None:
        raise InputError(
            f"temperature_kind {config.temperature_kind} with positives {name}: the "
            f"query is not a user"
        )
    if takes_words(config):
        raise InputError(
            f"encoder {config.encoder} with positives {name}: only a user searches for "
            f"an item"
        )
    for name, feature in registered_features(config):
        if feature.gives != STATIC:
            raise InputError(
                f"feature '{name}' with positives {config.positives}: it needs the "
                f"time of a user's event"
            )
    if entry_name(config.batch_order) == "time":
        raise InputError(
            f"batch_order time with positives {config.positives}: a pair has no single "
            f"time"
        )
    if kind.history_alone and config.user_features:
        raise InputError(
            f"user feature '{config.user_features[0]}' with positives "
            f"{config.positives}: what is constant for a user names the other half; "
            f"leave user_features empty"
        )
    if kind.history_alone and not uses_history(config):
        raise InputError(
            f"positives {config.positives} needs a history: it is all that a half "
            f"consists of"
        )


def _task(name: str) -> Callable[..., Any]:
    return deferred(f"research.positives.tasks:{name}")


POSITIVES: Registry[Kind] = Registry(
    "kind of positives",
    {
        "user-item": Kind(
            "user", "item", _user_item, _task("held_out_items"), ranks_items=True
        ),
        "item-item": Kind(
            "item",
            "item",
            _item_item,
            _task("same_session"),
            # hours without a click that end a session
            values={"gap": Value(1.0, Range(0.0, open="low"))},
        ),
        "user-user": Kind(
            "user",
            "user",
            _user_user,
            _task("other_half"),
            history_alone=True,
            values={"halves": Value("time", Choice("time", "random"))},
        ),
    },
)
