"""From pairs to index arrays ``[steps, batch]``, ready for one scan per epoch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from research.config import Config
from research.entries import NO_VALUES, Value, read
from research.marks import UNCOMPILED, Range
from research.registry import Registry
from research.rng import generator
from research.types import InputError


class Order(NamedTuple):
    """An order of the pairs in an epoch: its own values."""

    values: Mapping[str, Value] = NO_VALUES


DAYS = 7.0  # the usual width of a window, also of those of the item feature dynamic
_BY_TIME = Order({"days": Value(DAYS, Range(0.0, open="low"), UNCOMPILED)})
ORDERS = Registry("batch order", {"shuffled": Order(), "time": _BY_TIME})


def window_days(config: Config) -> float:
    """The width in days of a config's windows of time."""
    return float(read(config.batch_order, ORDERS).values.get("days", DAYS))


def epoch_batches(
    n: int,
    batch: int,
    seed: int,
    epoch: int,
    window: Int[np.ndarray, " n"] | None = None,
) -> Int[np.ndarray, "s b"]:
    """A new shuffle of n pairs for this epoch; the tail that fills no batch is dropped.

    Raises:
      InputError: the batch is larger than the number of pairs.

    >>> epoch_batches(n=10, batch=3, seed=0, epoch=0).shape
    (3, 3)
    """
    if batch > n:
        raise InputError(f"batch {batch} is larger than the training part ({n} pairs)")
    steps = n // batch
    draw = generator(seed, "batches", epoch)
    order = draw.permutation(np.arange(n, dtype=np.int32))  # in half the memory
    if window is not None:
        order = order[np.argsort(window[order], kind="stable")]
        order = order[draw.integers(n - steps * batch + 1) :]
    return order[: steps * batch].reshape(steps, batch)
