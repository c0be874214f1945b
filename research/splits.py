"""Which events train, which validate, which test; and the two phases that use them.

Cuts are made in integers, over events in their order (time, then hash). A phase fits
on one part and is judged on the next: choosing fits on train and looks at validation,
reporting fits on train + validation with the choice fixed and looks at test once.
Whatever part a phase fits on alone feeds counts, log q, features, histories, seen
items and bands.
"""

import numpy as np

from research.choose import choose
from research.events import take_events
from research.types import Events, Fold, InputError, Rated, check

__all__ = ["FIT_ON", "SPLITS", "TEST", "TRAIN", "VALIDATION", "fold"]

TRAIN, VALIDATION, TEST = 0, 1, 2
FIT_ON = ("train", "train+validation")


def last(events: Events) -> np.ndarray:
    """Each user's last positive tests, the one before validates, the rest trains."""
    from_end = events.offsets[events.user + 1] - 1 - np.arange(len(events.user))
    return np.where(from_end == 0, TEST, np.where(from_end == 1, VALIDATION, TRAIN))


def ratio(events: Events) -> np.ndarray:
    """Event k of a user's n (from 1) trains if 10k <= 8n, validates if 10k <= 9n."""
    k = np.arange(len(events.user)) - events.offsets[events.user] + 1
    return _cut(k, np.diff(events.offsets)[events.user])


def time(events: Events) -> np.ndarray:
    """The cuts of ``ratio`` over all events in the order of time."""
    return _cut(events.order + 1, np.full(len(events.user), len(events.user)))


def _cut(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.where(10 * k <= 8 * n, TRAIN, np.where(10 * k <= 9 * n, VALIDATION, TEST))


SPLITS = {"last": last, "ratio": ratio, "time": time}


def fold(
    events: Events, split: str = "ratio", fit_on: str = "train+validation"
) -> Fold:
    """Cuts the events and gives one phase.

    Args:
      events: all positives.
      split: a name in SPLITS.
      fit_on: "train" (judged on validation) or "train+validation" (judged on test).

    Raises:
      InputError: a name is unknown, or a part of the phase is empty.
    """
    if fit_on not in FIT_ON:
        raise InputError(f"unknown fit_on '{fit_on}': choose {' or '.join(FIT_ON)}")
    part = choose(split, SPLITS, "split")(events)
    judged_by = VALIDATION if fit_on == "train" else TEST
    fitted = _cut_rated(take_events(events, part < judged_by))
    held = take_events(events, part == judged_by)
    has = (np.diff(fitted.offsets) > 0) & (np.diff(held.offsets) > 0)
    evaluated = np.flatnonzero(has)
    if not len(evaluated):
        raise InputError(
            f"split '{split}' leaves no user with both a fitted and a held-out positive"
        )
    return check(
        Fold(
            fitted=fitted,
            held_user=held.user,
            held_item=held.item,
            evaluated=evaluated,
            held_time=held.timestamp,
        )
    )


def _cut_rated(fitted: Events) -> Events:
    """Of all ratings those that come before a fitted positive of their user or are one.

    What a user rated after its last fitted positive is as late as what is held out.
    """
    if fitted.rated is None:
        return fitted
    rated = fitted.rated
    before = np.cumsum(rated.positive) - rated.positive
    first = np.searchsorted(rated.user, rated.user, side="left")
    kept = before - before[first] < np.diff(fitted.offsets)[rated.user]
    return fitted._replace(rated=Rated(*(column[kept] for column in rated)))
