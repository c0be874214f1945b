"""EASE against one ridge regression a column, which is what its closed form solves."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from research.baselines import items
from research.baselines.items import ease, item_weights
from research.types import InputError
from tests.evaluate.made import random_fold


def clicks_of(fold) -> np.ndarray:
    clicks = np.zeros((fold.fitted.n_users, fold.fitted.n_items))
    for user, item in zip(fold.fitted.user, fold.fitted.item, strict=True):
        clicks[user, item] = 1.0
    return clicks


def ridge_by_column(clicks: np.ndarray, l2: float) -> np.ndarray:
    """Column j: weights of all other items that rebuild item j's clicks best."""
    n = clicks.shape[1]
    weights = np.zeros((n, n))
    for j in range(n):
        others = [i for i in range(n) if i != j]
        x = clicks[:, others]
        normal = x.T @ x + l2 * np.eye(n - 1)
        weights[others, j] = np.linalg.solve(normal, x.T @ clicks[:, j])
    return weights


@pytest.mark.parametrize("block", [512, 40, 20, 7])
@pytest.mark.parametrize("l2", [0.5, 30.0])
def test_weights_are_a_ridge_regression_of_each_item_on_all_others(
    l2, block, monkeypatch
):
    monkeypatch.setattr(items, "BLOCK", block)
    clicks = clicks_of(random_fold(n_items=40))
    weights = item_weights(sparse.csr_array(clicks), l2)
    np.testing.assert_allclose(weights, ridge_by_column(clicks, l2), atol=1e-10)
    assert (np.diag(weights) == 0).all()


def test_it_holds_less_than_two_matrices_of_items_by_items():
    n = 3000
    pairs = np.arange(n)
    clicks = sparse.csr_array((np.ones(n), (pairs // 2, pairs)), shape=(n // 2, n))
    tracemalloc.start()
    weights = item_weights(clicks, 1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 8 * n**2
    assert np.count_nonzero(weights) == n
    np.testing.assert_allclose(weights[[0, 1, 2], [1, 0, 3]], 0.5)


def test_scores_are_the_evaluated_users_clicks_times_the_weights():
    fold = random_fold(n_items=40)
    clicks = clicks_of(fold)
    expected = clicks[fold.evaluated] @ ridge_by_column(clicks, 5.0)
    scores = ease(fold, {"l2": 5.0})(slice(2, 9), slice(4, 40))
    np.testing.assert_allclose(scores, expected[2:9, 4:], atol=1e-10)


@pytest.mark.parametrize("l2", [0.0, -1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_not_above_zero_is_refused(l2):
    with pytest.raises(InputError, match="l2 = "):
        ease(random_fold(), {"l2": l2})


def test_a_penalty_that_rounding_removes_is_refused():
    twins = sparse.csr_array(np.ones((4, 2)))
    with pytest.raises(InputError, match=r"l2 = 1e-300: too small for EASE"):
        item_weights(twins, 1e-300)
    # rounding can also leave a matrix that has an inverse, and negative eigenvalues
    with pytest.raises(np.linalg.LinAlgError):
        items._invert(np.array([[1.0, 2.0], [2.0, 1.0]]))
