"""From pairs to index arrays ``[steps, batch]``, ready for one scan an epoch."""

import numpy as np
from jaxtyping import Int

from research.rng import generator
from research.types import InputError

__all__ = ["epoch_batches"]


def epoch_batches(n: int, batch: int, seed: int, epoch: int) -> Int[np.ndarray, "s b"]:
    """A new shuffle of n pairs for this epoch; the tail that fills no batch is dropped.

    Raises:
      InputError: the batch is larger than the number of pairs.

    >>> epoch_batches(n=10, batch=3, seed=0, epoch=0).shape
    (3, 3)
    """
    if batch > n:
        raise InputError(f"batch {batch} is larger than the fitted part ({n} pairs)")
    steps = n // batch
    order = generator(seed, "batches", epoch).permutation(n)
    return order[: steps * batch].reshape(steps, batch).astype(np.int32)
