"""Named random streams, and hashes in place of random draws where runs must agree.

A stream is a name; its key is the run's key folded with the name's CRC-32, so adding
a stream moves no other, and a comparison of two arms, which share initial values and
the order of batches, is paired. Only the functions of keys need JAX.
"""

import hashlib
import zlib
from typing import Any

import numpy as np
from jaxtyping import Int, Key, UInt32, UInt64

# Salts of pair_hash by purpose; ties in time have the config's tie_seed. Two purposes
# may share a salt where nothing depends on both hashes.
INDEX_SALT = 0  # an item's index in the catalogue
SESSIONS_SALT = 1  # partners within a session
HALVES_SALT = 2  # random halves of a history
WORDS_SALT = 2  # words of a simulated search
RANDOM_SALT = 2**32  # plus the seed: random lists, whose held-out items ties decide
SPLIT_SALT = 2**33  # a random split, plus its seed: no tie_seed, which orders history


def root(seed: int) -> Key[Any, ""]:
    """The run's key."""
    import jax

    return jax.random.key(seed)


def stream(key: Key[Any, ""], name: str) -> Key[Any, ""]:
    """The key of a named stream."""
    import jax

    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def worker_key(key: Key[Any, ""], step: Int[Any, ""], workers: int) -> Key[Any, ""]:
    """The key of a step's draws by one of a data loader's workers, all alike.

    Worker k makes the batches k, k + workers, and so on of an epoch. If nobody seeds
    its generator, each worker starts each epoch from a copy of its parent's state, and
    the n-th batches of all workers have the same draws in all epochs. So it was in the
    first release of the code of [yang2025slatk], which seeds one generator and draws
    from another.
    """
    import jax

    return jax.random.fold_in(stream(key, "loader workers"), step // workers)


def generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """A host-side stream, for index arrays that never need to be on the device."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *index])


def splitmix64(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """One output of the SplitMix64 generator for each state x [steele2014].

    >>> int(splitmix64(np.zeros(1, np.uint64))[0])
    16294208416658607535
    """
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def pair_hash(
    user: Int[np.ndarray, " n"], item: Int[np.ndarray, " n"], salt: int
) -> UInt64[np.ndarray, " n"]:
    """h(u, i) = splitmix64(splitmix64(salt) xor (u * 2^32 + i)) over raw ids.

    >>> int(pair_hash(np.array([1]), np.array([2]), salt=0)[0])
    7251516417173249049
    """
    pair = user.astype(np.uint64) * np.uint64(2**32) + item.astype(np.uint64)
    return splitmix64(splitmix64(np.array([salt], np.uint64)) ^ pair)


def text_id(text: str) -> int:
    """A number below 2^63 for an id that is text: 63 bits of BLAKE2b of its UTF-8.

    >>> text_id("0005019281")
    1779157433046781681
    """
    code = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(code, "little") >> 1


def mix32(x: UInt32[Any, "*n"]) -> UInt32[Any, "*n"]:
    """MurmurHash3's finaliser: 32 bits, each of which depends on all of x's.

    For arrays of numpy and of JAX.

    >>> hex(mix32(np.array([1], np.uint32))[0])
    '0x514e28b7'
    """
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * np.uint32(factor)
    return x ^ (x >> 16)
