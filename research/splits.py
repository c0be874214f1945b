"""Splits: the part of each event, train, validation or test.

``last``, ``ratio`` and ``time`` cut the order of the events; ``random`` draws an order
from a seed; ``given`` takes the data's own parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.registry import Registry
from research.rng import SPLIT_SALT, pair_hash
from research.sorting import order_by_group, stable_argsort
from research.types import Events, InputError

TRAIN, VALIDATION, TEST = 0, 1, 2


class SplitRules(NamedTuple):
    """Options of a split and its phases, as in the config (research/fields.py)."""

    split_seed: int = 0
    split_rule: str = "ratio"
    validation_share: float = 0.0
    left_out: str = "fitted"
    judged_from: float = 0.0


RULES = SplitRules()


def last(events: Events, rules: SplitRules) -> np.ndarray:
    """Each user's last positive tests, the one before validates, the rest trains."""
    from_end = events.offsets[events.user + 1] - 1 - np.arange(len(events.user))
    return np.select([from_end == 0, from_end == 1], [TEST, VALIDATION], TRAIN)


def ratio(events: Events, rules: SplitRules) -> np.ndarray:
    """Event k of a user's n (from 1) trains if 10k <= 8n, validates if 10k <= 9n."""
    k = np.arange(len(events.user)) - events.offsets[events.user] + 1
    return _cut(k, np.diff(events.offsets)[events.user])


def random(events: Events, rules: SplitRules) -> np.ndarray:
    """A user's events in an order drawn from the seed, cut as by ``ratio``.

    By the rule recbole, int(n / 10) of a user's n events validate, as many test, and
    the remainder trains.
    """
    k = _place_by_hash(events.user, events.item, events, rules.split_seed)
    n = np.diff(events.offsets)[events.user]
    if rules.split_rule == "ratio":
        return _cut(k + 1, n)
    tenth = n // 10
    return np.select([k < n - 2 * tenth, k < n - tenth], [TRAIN, VALIDATION], TEST)


def given(events: Events, rules: SplitRules) -> np.ndarray:
    """The data's own column part.

    Where it has no validation part, max(int(validation_share n), 1) of a user's n train
    events, drawn from the seed, validate; a user's only one trains.

    Raises:
      InputError: the data has no such column; or it has a validation part although
        validation_share asks for one.
    """
    if events.part is None:
        raise InputError("split given: the data has no column part")
    part, share = events.part.astype(np.int64), rules.validation_share
    if not share:
        return part
    if (part == VALIDATION).any():
        raise InputError(f"validation_share {share:g}: the data has a validation part")
    train = np.flatnonzero(part == TRAIN)
    user = events.user[train]
    place = _place_by_hash(user, events.item[train], events, rules.split_seed)
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


def time(events: Events, rules: SplitRules) -> np.ndarray:
    """The cuts of ``ratio`` over all events in the order of time."""
    return _cut(events.order + 1, np.full(len(events.user), len(events.user)))


def _cut(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.select([10 * k <= 8 * n, 10 * k <= 9 * n], [TRAIN, VALIDATION], TEST)


@dataclass(frozen=True)
class Split:
    """An entry of the registry: the part of each event, and whether it needs times."""

    assign: Callable[[Events, SplitRules], np.ndarray]
    timed: bool = True

    def __call__(self, events: Events, rules: SplitRules = RULES) -> np.ndarray:
        """The part of each event: TRAIN, VALIDATION or TEST.

        Raises:
          InputError: the split needs times and the data has none; or what ``assign``
            refuses.
        """
        if self.timed and not events.timed:
            without = " or ".join(n for n, split in SPLITS.items() if not split.timed)
            name = next((n for n, s in SPLITS.items() if s is self), "this")
            raise InputError(
                f"split {name} goes by time, and the data has no timestamps: "
                f"choose --split {without}"
            )
        return self.assign(events, rules)


SPLITS = Registry(
    "split",
    {
        "last": Split(last),
        "ratio": Split(ratio),
        "time": Split(time),
        "random": Split(random, timed=False),
        "given": Split(given, timed=False),
    },
)
