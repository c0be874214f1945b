"""Neighbours and SLIM against their definitions, and against implicit's cosine."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from scipy import sparse

from research.baselines import items
from research.baselines.items import (
    DAY,
    ease,
    item_weights,
    neighbour_weights,
    popularity,
    recent_popularity,
    sparse_weights,
    uniform,
)
from research.evaluate.metrics import summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.types import InputError
from tests.evaluate.made import fold_of, random_fold


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


GENRES = np.ones((5, 1), bool)


def test_lists_fall_in_count_then_rise_in_index_and_hold_nothing_seen():
    fold = random_fold()
    clicks = Counter(fold.fitted.item.tolist())
    offsets, seen = seen_items_of(fold)
    lists = rank_scores(popularity(fold, {}), fold.fitted.n_items, offsets, seen, k=60)
    for v, shown in enumerate(lists.tolist()):
        own = set(seen[offsets[v] : offsets[v + 1]].tolist())
        left = sorted(set(range(150)) - own, key=lambda i: (-clicks[i], i))
        assert shown == left[:60]


def test_recent_clicks_alone_count_and_all_clicks_settle_ties():
    fold = fold_of([(0, 0), (0, 1), (1, 0), (1, 2), (1, 3)], [(0, 3)], 2, GENRES)
    days = np.array([0, 9, 1, 8, 10])
    fold = fold._replace(fitted=fold.fitted._replace(timestamp=days * DAY))
    scores = recent_popularity(fold, {"days": 3.0})(slice(0, 1), slice(0, 5))[0]
    # within 3 days of day 10: items 1, 2 and 3 once each; item 0 twice, but long ago
    assert np.argsort(-scores, kind="stable").tolist() == [1, 2, 3, 0, 4]
    whole = recent_popularity(fold, {"days": 11.0})(slice(0, 1), slice(0, 5))[0]
    assert np.argmax(whole) == 0
    assert scores[4] == 0


def even_fold(n_users=2000, n_items=40):
    """Each user has seen two items and holds out two others."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(n_users) for i in rng.permutation(n_items)[:4]]
    genres = np.ones((n_items, 1), bool)
    seen = [rows[n] for n in range(len(rows)) if n % 4 < 2]
    held = [rows[n] for n in range(len(rows)) if n % 4 >= 2]
    return fold_of(seen, held, n_users, genres)


def test_recall_is_the_share_of_unseen_items_that_a_list_shows():
    """38 unseen items, two held out: k / 38 of them are found, whatever is popular."""
    fold = even_fold()
    scorer = uniform(fold, {})
    lists = rank_scores(scorer, 40, *seen_items_of(fold))
    found = summary(evaluate(fold, lists, (10, 20, 38), scorer=scorer))
    for k in (10, 20, 38):
        # the standard error of a mean over 4,000 positives is at most 0.008
        assert abs(found["recall"][k] - k / 38) < 0.03
        assert found["coverage"][k] == 1
    assert abs(found["repulsion"][20] - 0.5) < 0.03
    assert found["gini"][20] < 0.06
    shown = np.bincount(lists[:, 0], minlength=40)  # 50 each, give or take 7
    assert 20 < shown.min() <= shown.max() < 80


def test_users_and_seeds_have_lists_of_their_own():
    fold = even_fold(n_users=30)
    every = slice(0, 30), slice(0, 40)
    scores = uniform(fold, {}, 0)(*every)
    assert len(np.unique(scores)) == scores.size
    other = uniform(fold, {}, 1)(*every)
    assert abs(np.corrcoef(scores.ravel(), other.ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(scores)[0, 1:]).max() < 0.7


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
