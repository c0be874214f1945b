"""Orders of large arrays: those of NumPy's lexsort, whatever the cores and the ties."""

import numpy as np
import pytest

from research import sorting
from research.sorting import argsort, order_by_group, stable_argsort

LOW, HIGH = -(2**63), 2**63 - 1


@pytest.fixture(params=[1, 2, 7])
def many(request, monkeypatch):
    """Every array counts as a large one, on so many cores."""
    monkeypatch.setattr(sorting, "cores", lambda: list(range(request.param)))
    monkeypatch.setattr(sorting, "LARGE", 1)


def keys(values: int, dtype: type = np.int64) -> np.ndarray:
    return np.random.default_rng(values).integers(values, size=5000).astype(dtype)


@pytest.mark.parametrize(
    "key",
    [
        keys(2),
        keys(40),
        keys(10**9),
        keys(10**9, np.uint64) + np.uint64(2**63),
        np.sort(keys(10**6))[::-1],
        np.array([HIGH, LOW, 0, HIGH, LOW]),
        np.zeros(3, np.int64),
        np.zeros(0, np.int64),
    ],
)
def test_orders_are_those_of_lexsort(many, key):
    order = argsort(key)
    assert sorted(order.tolist()) == list(range(len(key)))
    np.testing.assert_array_equal(key[order], np.sort(key))
    tie = keys(3)[: len(key)]
    np.testing.assert_array_equal(stable_argsort(key), np.lexsort((key,)))
    np.testing.assert_array_equal(stable_argsort(key, tie.take), np.lexsort((tie, key)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("groups", [1, 3, 5000, 10**6])
@pytest.mark.parametrize("n", [0, 1, 5000])
def test_the_order_by_group_is_that_of_a_stable_sort(n, groups, dtype):
    group = keys(groups, dtype)[:n]
    order = order_by_group(group, groups)
    np.testing.assert_array_equal(order, np.argsort(group, kind="stable"))
