"""Orders of large arrays: by NumPy's quick sort, or, by small numbers, by counting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int, Integer, Shaped
from numpy import ndarray

from research.compiler import cores

LARGE = 1_000_000  # keys, from which on several cores pay
SAMPLE = 1000  # keys that tell where to cut their range


def argsort(key: Integer[ndarray, " n"]) -> Int[ndarray, " n"]:
    """An order of the keys, equal ones in any order; cores share a large one's range.

    >>> argsort(np.array([7, 5, 6])).tolist()
    [1, 2, 0]
    """
    parts = len(cores()) if len(key) >= LARGE else 1
    sample = np.sort(key[:: max(len(key) // SAMPLE, 1)])
    cuts = sample[np.arange(1, parts) * len(sample) // parts]
    if not len(cuts):
        return np.argsort(key)

    def of_range(number: int) -> Int[ndarray, " m"]:
        inside = np.ones(len(key), bool)
        if number > 0:
            inside &= key >= cuts[number - 1]
        if number < len(cuts):
            inside &= key < cuts[number]
        at = np.flatnonzero(inside)
        return at[np.argsort(key[at])]

    with ThreadPoolExecutor(max_workers=parts) as pool:
        return np.concatenate([*pool.map(of_range, range(len(cuts) + 1))])


def order_by_group(
    group: Integer[ndarray, " n"], groups: int
) -> Integer[ndarray, " n"]:
    """The order by group, equal ones by place: np.argsort(group, kind="stable").

    By counting, as SciPy makes a matrix of sparse rows: of 20 million places in half a
    million groups in a sixth of the time of NumPy's stable sort.

    >>> order_by_group(np.array([1, 0, 1, 0]), 2).tolist()
    [1, 3, 0, 2]
    """
    from scipy import sparse

    n = len(group)
    place = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    rows = sparse.coo_array((np.ones(n, np.int8), (group, place)), shape=(groups, n))
    return np.asarray(rows.tocsr().indices)


def stable_argsort(
    key: Integer[ndarray, " n"],
    tie: Callable[[Int[ndarray, " m"]], Shaped[ndarray, " m"]] | None = None,
) -> Int[ndarray, " n"]:
    """The order of the keys, equal ones by ``tie``, then by place: np.lexsort's.

    Several times as fast as np.lexsort.

    >>> stable_argsort(np.array([2, 1, 2, 1]), np.array([5, 9, 4, 9]).take).tolist()
    [1, 3, 2, 0]
    """
    if len(key) and tie is not None and (key == key[0]).all():
        return stable_argsort(tie(np.arange(len(key))))
    order = argsort(key)
    ordered = key[order]
    first = np.ones(len(key), bool)  # of those with equal keys
    first[1:] = ordered[1:] != ordered[:-1]
    tied = ~first
    tied[:-1] |= ~first[1:]
    run = np.cumsum(first[tied], dtype=np.int64) - 1
    if not len(run):
        return order
    run_of = np.full(len(key), -1)  # by place: which of the runs of equal keys, if any
    run_of[order[tied]] = run
    at = np.flatnonzero(run_of >= 0)
    if tie is not None:
        at = at[stable_argsort(tie(at))]
    order[tied] = at[order_by_group(run_of[at], int(run[-1]) + 1)]
    return order
