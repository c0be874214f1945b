"""Splits: the part of each event, train, validation or test.

``last``, ``ratio`` and ``time`` cut the order of the events; ``random`` draws an order
from a seed; ``given`` takes the data's own parts. What belongs to one of them stands
behind its name, as "random,seed=1".
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.entries import NO_VALUES, Value, read
from research.marks import SEED, UNCOMPILED, Choice, Range
from research.registry import Registry
from research.rng import SPLIT_SALT, pair_hash
from research.sorting import order_by_group, stable_argsort
from research.types import Events, InputError

TRAIN, VALIDATION, TEST = 0, 1, 2


class SplitRules(NamedTuple):
    """Options of the phases of every split, as in the config (research/fields.py)."""

    left_out: str = "fitted"
    judged_from: float = 0.0


RULES = SplitRules()
Values = Mapping[str, Any]  # an entry's own, by name


def last(events: Events, values: Values) -> np.ndarray:
    """Each user's last positive tests, the one before validates, the rest trains."""
    from_end = events.offsets[events.user + 1] - 1 - np.arange(len(events.user))
    return np.select([from_end == 0, from_end == 1], [TEST, VALIDATION], TRAIN)


def ratio(events: Events, values: Values) -> np.ndarray:
    """Event k of a user's n (from 1) trains if 10k <= 8n, validates if 10k <= 9n."""
    k = np.arange(len(events.user)) - events.offsets[events.user] + 1
    return _cut(k, np.diff(events.offsets)[events.user])


def random(events: Events, values: Values) -> np.ndarray:
    """A user's events in an order drawn from the seed, cut as by ``ratio``.

    With sizes recbole, int(n / 10) of a user's n events validate, as many test, and
    the remainder trains.
    """
    k = _place_by_hash(events.user, events.item, events, values["seed"])
    n = np.diff(events.offsets)[events.user]
    if values["sizes"] == "ratio":
        return _cut(k + 1, n)
    tenth = n // 10
    return np.select([k < n - 2 * tenth, k < n - tenth], [TRAIN, VALIDATION], TEST)


def given(events: Events, values: Values) -> np.ndarray:
    """The data's own column part.

    Where it has no validation part, max(int(validation * n), 1) of a user's n train
    events, drawn from the seed, validate; a user's only one trains.

    Raises:
      InputError: the data has no such column; it has a validation part although
        ``validation`` asks for one; or a seed of which nothing is drawn.
    """
    if events.part is None:
        raise InputError("split given: the data has no column part")
    part, share = events.part.astype(np.int64), values["validation"]
    if not share and values["seed"]:
        raise InputError("split given: without validation nothing is drawn by seed")
    if not share:
        return part
    if (part == VALIDATION).any():
        raise InputError(
            f"split given,validation={share:g}: the data has a validation part"
        )
    train = np.flatnonzero(part == TRAIN)
    user = events.user[train]
    place = _place_by_hash(user, events.item[train], events, values["seed"])
    n = np.bincount(user, minlength=events.n_users)[user]
    chosen = (place < np.maximum(n * share // 1, 1)) & (n > 1)
    part[train[chosen]] = VALIDATION
    return part


def _place_by_hash(
    user: Int[ndarray, " n"], item: Int[ndarray, " n"], events: Events, seed: int
) -> Int[ndarray, " n"]:
    """The place, from 0, of each pair among its user's in the order of a hash.

    Pairs are sorted by user.
    """
    raw_user, raw_item = events.users.id[user], events.items.id[item]
    by_hash = stable_argsort(pair_hash(raw_user, raw_item, SPLIT_SALT + seed))
    order = by_hash[order_by_group(user[by_hash], events.n_users)]
    place = np.empty(len(user), np.int64)
    place[order] = np.arange(len(user))
    return place - np.searchsorted(user, user)


def time(events: Events, values: Values) -> np.ndarray:
    """The cuts of ``ratio`` over all events in the order of time."""
    return _cut(events.order + 1, np.full(len(events.user), len(events.user)))


def _cut(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.select([10 * k <= 8 * n, 10 * k <= 9 * n], [TRAIN, VALIDATION], TEST)


class Split(NamedTuple):
    """An entry: the part of each event, whether it needs times, its own values."""

    assign: Callable[[Events, Values], np.ndarray]
    timed: bool = True
    values: Mapping[str, Value] = NO_VALUES


SPLITS = Registry(
    "split",
    {
        "last": Split(last),
        "ratio": Split(ratio),
        "time": Split(time),
        "random": Split(
            random,
            timed=False,
            # sizes: of the parts, as ratio's, or recbole (int(n / 10) to validation and
            # to test, the remainder to train)
            values={
                "seed": Value(0, SEED, UNCOMPILED),
                "sizes": Value("ratio", Choice("ratio", "recbole"), UNCOMPILED),
            },
        ),
        "given": Split(
            given,
            timed=False,
            # validation: the share of each user's train part, at least one positive
            # unless it is the only one, that becomes validation where there is none
            values={
                "validation": Value(0.0, Range(0.0, 1.0, "high"), UNCOMPILED),
                "seed": Value(0, SEED, UNCOMPILED),
            },
        ),
    },
)


def parts(split: str, events: Events) -> np.ndarray:
    """The part of each event by a split: TRAIN, VALIDATION or TEST.

    Raises:
      InputError: an unknown split or value; it needs times and the data has none; or
        what the split refuses.
    """
    name, entry, values, _ = read(split, SPLITS)
    if entry.timed and not events.timed:
        without = " or ".join(n for n, one in SPLITS.items() if not one.timed)
        raise InputError(
            f"split {name} goes by time, and the data has no timestamps: "
            f"choose --split {without}"
        )
    part: np.ndarray = entry.assign(events, values)
    return part
