"""Stable orders of large arrays, by NumPy's quick sort, which is not stable."""

import numpy as np
from jaxtyping import Int, Shaped
from numpy import ndarray


def stable_argsort(
    key: Shaped[ndarray, " n"], tie: Shaped[ndarray, " n"] | None = None
) -> Int[ndarray, " n"]:
    """The order of the keys, equal ones by ``tie``, then by place: np.lexsort's.

    Several times as fast as np.lexsort where few keys are equal, or all of them.

    Args:
      key: what is sorted by.
      tie: what equal keys are sorted by; None for their place alone.

    >>> stable_argsort(np.array([2, 1, 2, 1]), np.array([5, 9, 4, 9])).tolist()
    [1, 3, 2, 0]
    """
    if len(key) and tie is not None and (key == key[0]).all():
        return stable_argsort(tie)
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.zeros(len(key), bool)
    tied[1:] = same
    tied[:-1] |= same
    at = order[tied]
    keys = (at, key[at]) if tie is None else (at, tie[at], key[at])
    order[tied] = at[np.lexsort(keys)]
    return order
