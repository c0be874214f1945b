"""Neighbours and SLIM against their definitions, and against implicit's cosine."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from research.baselines.items import neighbour_weights, sparse_weights


def random_clicks(users: int = 30, items: int = 12, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    share = np.linspace(0.1, 0.7, items)
    clicks = (draw.random((users, items)) < share).astype(float)
    clicks[:, -1] = 0.0  # an item that nobody clicked
    return clicks


@pytest.mark.parametrize(("shrink", "neighbours"), [(0.0, 3), (4.0, 3), (4.0, 50)])
def test_neighbours_by_definition(shrink, neighbours):
    clicks = random_clicks()
    n = clicks.shape[1]
    expected = np.zeros((n, n))
    for i in range(n):
        alike = np.zeros(n)
        for j in range(n):
            both = (clicks[:, i] * clicks[:, j]).sum()
            if i != j and both:
                norms = np.sqrt(clicks[:, i].sum() * clicks[:, j].sum())
                alike[j] = both / (norms + shrink)
        for j in sorted(range(n), key=lambda j: (-alike[j], j))[:neighbours]:
            expected[j, i] = alike[j]
    found = neighbour_weights(sparse.csr_array(clicks), shrink, neighbours).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_only_co_clicked_items_take_memory():
    n = 3000
    pairs = np.arange(n)
    clicks = sparse.csr_array((np.ones(n), (pairs // 2, pairs)), shape=(n // 2, n))
    tracemalloc.start()
    found = neighbour_weights(clicks, 0.0, n)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * n**2 / 1.5  # of one dense matrix
    assert found.nnz == n
    assert found[[0, 1, 2], [1, 0, 3]].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.filterwarnings("ignore:Method expects CSR input")
def test_without_shrinkage_it_is_the_cosine_of_implicit():
    from implicit.nearest_neighbours import CosineRecommender

    clicks = random_clicks()
    model = CosineRecommender(K=12, num_threads=1)
    model.fit(sparse.csr_matrix(clicks), show_progress=False)
    theirs = model.similarity.toarray()
    np.fill_diagonal(theirs, 0.0)
    found = neighbour_weights(sparse.csr_array(clicks), 0.0, 50).toarray()
    np.testing.assert_allclose(found, theirs, atol=1e-6)


def test_similarities_are_rounded_as_a_product_with_diagonal_matrices():
    clicks = sparse.csr_array(random_clicks()[:, :-1])
    both = (clicks.T @ clicks).toarray()
    n = clicks.sum(axis=0)
    scale = sparse.diags_array(1 / np.sqrt(n))
    expected = scale @ sparse.csr_array(both) @ scale
    quotient = both / np.sqrt(np.outer(n, n))
    expected, quotient = (
        a - np.diag(np.diag(a)) for a in (expected.toarray(), quotient)
    )
    found = neighbour_weights(clicks, 0.0, len(n)).toarray()
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, quotient)


def descent(clicks: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Coordinate descent by its update rule, one weight at a time."""
    n = clicks.shape[1]
    gram = clicks.T @ clicks
    weights = np.zeros((n, n))
    for j in range(n):
        for _ in range(60):
            for i in range(n):
                if i == j or gram[i, i] == 0:
                    continue
                rest = gram[i, j] - gram[i] @ weights[:, j] + gram[i, i] * weights[i, j]
                weights[i, j] = max(0.0, rest - l1) / (gram[i, i] + l2)
    return weights


@pytest.mark.parametrize(("l1", "l2"), [(1.0, 5.0), (3.0, 0.0)])
def test_slim_is_the_minimum_of_its_objective(l1, l2):
    clicks = random_clicks()
    found = sparse_weights(sparse.csr_array(clicks), l1, l2).toarray()
    expected = descent(clicks, l1, l2)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert (np.diag(found) == 0).all()
    assert (found >= 0).all()
    assert (expected[:, :-1] > 0.05).any()
    assert (found[:, -1] == 0).all()
