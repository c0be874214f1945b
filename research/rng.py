"""Named random streams: two arms with one seed share initial values and batch order.

A stream is a name; its key is the run's key folded with the name's CRC-32, so adding
a stream moves no other, and a comparison of two arms is paired.
"""

import zlib

import jax
import numpy as np
from jaxtyping import Array, Key


def root(seed: int) -> Key[Array, ""]:
    """The run's key."""
    return jax.random.key(seed)


def stream(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """The key of a named stream."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """A host-side stream, for index arrays that never need to be on the device."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *index])
