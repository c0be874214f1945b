"""rand() of the GNU C library in NumPy, for many seeds at once.

Code that draws negatives in C draws the same ones wherever that library is: so a
published run can be replayed from its seed.
"""

import numpy as np
from numpy import ndarray

_TAPS, _LAG, _SKIPPED = 31, 3, 310  # of glibc's additive generator (TYPE_3)
_LCG, _MODULUS = 16807, 2**31 - 1  # which fills its table from the seed


def c_rand(seeds: ndarray, count: int) -> ndarray:
    """What rand() returns after srand(seed), one column for each seed.

    Args:
      seeds: [b], from 0 to 2**31 - 1.
      count: how many calls of rand().

    Returns:
      whole numbers from 0 to 2**31 - 1, [count, b].

    >>> c_rand(np.array([1, 0]), 3).tolist()  # srand(0) is srand(1)
    [[1804289383, 1804289383], [846930886, 846930886], [1681692777, 1681692777]]
    """
    word = np.where(seeds == 0, 1, seeds).astype(np.int64)
    state = np.empty((_TAPS + _LAG + _SKIPPED + count, len(seeds)), np.uint32)
    for n in range(_TAPS):
        state[n] = word
        word = _LCG * word % _MODULUS
    state[_TAPS : _TAPS + _LAG] = state[:_LAG]
    # state[n] = state[n - 31] + state[n - 3], three at a time: as far as it is known.
    for n in range(_TAPS + _LAG, len(state), _LAG):
        new = state[n : n + _LAG]
        np.add(state[n - _TAPS :][: len(new)], state[n - _LAG :][: len(new)], out=new)
    return state[-count:] >> 1


def distinct_outside(
    seeds: ndarray, items: int, count: int, owned: tuple[ndarray, ndarray]
) -> ndarray:
    """For each seed the first distinct items that rand() names, its own left out.

    An item is rand() modulo the number of items; one that was named before, or is the
    row's own, is passed over.

    Args:
      seeds: of the rows, [b].
      items: size of the catalogue.
      count: items of a row.
      owned: rows and items that are passed over, [o] each.

    Returns:
      items [b, count], in the order in which they are named.
    """
    free = items - int(np.bincount(owned[0], minlength=len(seeds)).max())
    if count > free:
        raise ValueError(f"{count} distinct items of the {free} that a row may have")
    first = np.arange(len(seeds)) * items  # of each row, in the flat array of passed
    mean = items * np.log(free / (free - count + 1)) + items / free  # calls at most
    calls = int(mean + 3 * np.sqrt(mean) + 20)
    while True:
        passed = np.zeros(len(seeds) * items, bool)
        passed[first[owned[0]] + owned[1]] = True
        named = (c_rand(seeds, calls) % np.uint32(items)).astype(np.int32)
        new, filled = np.empty(named.shape, bool), np.zeros(len(seeds), np.int32)
        for item, is_new in zip(named, new, strict=True):
            place = first + item
            np.logical_not(passed[place], out=is_new)
            is_new &= filled < count
            filled += is_new
            passed[place] = True
        if (filled == count).all():
            return named.T[new.T].reshape(len(seeds), count)
        calls *= 2
