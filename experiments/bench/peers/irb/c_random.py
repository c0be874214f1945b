"""Negatives as code in C draws them, by rand() of the GNU C library.

They are the same ones wherever that library is: so a published run can be replayed from
its seed.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

TAPS, LAG, SKIPPED = 31, 3, 310  # of glibc's additive generator (TYPE_3)
LCG, MODULUS = 16807, 2**31 - 1  # which fills its table from the seed
WORD = 2**32 - 1


def fill_distinct(
    seeds: ndarray, spans: ndarray, owned: ndarray, passed: ndarray, drawn: ndarray
) -> None:
    """Fills each row with the first distinct items that rand() names after its seed.

    An item is rand() modulo the number of items; one that was named before, or is the
    row's own, is passed over. Plain loops, to be compiled; a row with too few items
    left would never end.

    Args:
      seeds: of the rows, [b].
      spans: where a row's own items begin among owned, and where they end, [b, 2].
      owned: items, [o].
      passed: all False, [items]; so again afterwards.
      drawn: [b, n], written in the order in which the items are named.
    """
    state = np.empty(TAPS, np.int64)  # the last words, the oldest of which is replaced
    for row in range(len(seeds)):
        word = max(seeds[row], 1)
        for n in range(TAPS):
            state[n] = word
            word = LCG * word % MODULUS
        own = owned[spans[row, 0] : spans[row, 1]]
        passed[own] = True
        place, skipped, filled = LAG, 0, 0
        while filled < drawn.shape[1]:
            word = (state[place] + state[place - LAG]) & WORD
            state[place] = word
            place = (place + 1) % TAPS
            item = (word >> 1) % len(passed)
            if skipped < SKIPPED:
                skipped += 1
            elif not passed[item]:
                passed[item] = True
                drawn[row, filled] = item
                filled += 1
        passed[own] = False
        passed[drawn[row]] = False


def distinct_outside(
    seeds: ndarray,
    items: int,
    count: int,
    owned: tuple[ndarray, ndarray],
    fill: Callable[..., None] = fill_distinct,
) -> ndarray:
    """For each seed the first distinct items that rand() names, its own left out.

    Args:
      seeds: of the rows, from 0 to 2**31 - 1, [b].
      items: size of the catalogue.
      count: items of a row.
      owned: spans of the rows' own items, [b, 2], and what they are spans of, [o].
      fill: fill_distinct, or the same compiled.

    Returns:
      items [b, count].

    Raises:
      ValueError: a row cannot have so many.
    """
    spans, own = owned
    free = items - int(np.diff(spans).max())
    if count > free:
        raise ValueError(f"{count} distinct items of the {free} that a row may have")
    drawn = np.empty((len(seeds), count), np.int64)
    fill(seeds, spans, own, np.zeros(items, bool), drawn)
    return drawn
