"""Matrix factorisations of implicit: what is minimised, and what is added to scores."""

import math

import implicit.utils
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from research.baselines import BASELINES, factors, option_values
from research.baselines.descent import (
    _mean_of_last,
    item2vec,
    partners,
    skip_gram_loss,
)
from research.evaluate.top_k import dot_product
from research.positives import log_share
from research.types import InputError
from tests.evaluate.made import events, fold_of

DRAW = np.random.default_rng(0)
CLICKED = np.argwhere(DRAW.random((30, 12)) < np.linspace(0.5, 0.2, 12)).tolist()
HELD = [(user, 0) for user in {user for user, _ in CLICKED}]
FOLD = fold_of(CLICKED, HELD, 30, np.ones((13, 1), bool))
EVERY = slice(0, len(FOLD.evaluated)), slice(0, 13)


@pytest.mark.parametrize(("alpha", "penalty"), [(3.0, 2.0), (6.0, 0.5)])
def test_ials_is_at_the_minimum_of_its_objective(alpha, penalty, monkeypatch):
    """Each item's vector solves its own ridge regression, given the users'."""
    found = []

    def product(*parts):
        found.append(parts)
        return dot_product(*parts)

    monkeypatch.setattr(factors, "dot_product", product)
    options = {"factors": 3.0, "iterations": 60.0}
    BASELINES["ials"].fit(
        FOLD, options | {"alpha": alpha, "regularization": penalty}, 0
    )
    ((users, items, bias),) = found
    assert bias is None
    assert len(users) == 30  # all of them: the objective is a sum over users
    users = users.astype(np.float64)
    clicks = np.zeros((30, 13))
    clicks[tuple(np.transpose(CLICKED))] = 1.0
    for item, vector in enumerate(items):
        weight = np.where(clicks[:, item], alpha, 1.0)
        left = users.T @ (weight[:, None] * users) + penalty * np.eye(3)
        best = np.linalg.solve(left, users.T @ (weight * clicks[:, item]))
        np.testing.assert_allclose(vector, best, atol=0.01)
    assert np.abs(items).max() > 0.1


def test_ials_is_fitted_with_one_thread_of_blas(monkeypatch):
    """With more, implicit warns that it may be slower, and tests refuse warnings."""
    monkeypatch.setattr(implicit.utils, "_checked_blas_config", False)  # warns once
    options = {"factors": 3.0, "iterations": 1.0, "alpha": 3.0, "regularization": 2.0}
    with threadpool_limits(2, "blas"):
        BASELINES["ials"].fit(FOLD, options, 0)
    assert implicit.utils._checked_blas_config


def test_the_prior_of_bpr_is_that_much_of_log_q():
    """The draws of its negatives are as popular as the clicks: see its docstring."""
    options = {"factors": 4.0, "iterations": 20.0, "learning_rate": 0.05}
    options["regularization"] = 0.01
    none, two = (
        BASELINES["bpr-mf"].fit(FOLD, {**options, "prior": prior}, 0)(*EVERY)
        for prior in (0.0, 2.0)
    )
    added = np.broadcast_to(2 * log_share(FOLD.fitted.item_counts), none.shape)
    np.testing.assert_allclose(two - none, added, atol=1e-5)


def test_the_loss_by_its_definition():
    draw = np.random.default_rng(0)
    v, w = draw.normal(size=(2, 5, 3))
    item, partner, drawn = (
        np.array([0, 4]),
        np.array([1, 2]),
        np.array([[3, 3], [0, 1]]),
    )

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    total = 0.0
    for b in range(2):
        total -= log_sigmoid(v[item[b]] @ w[partner[b]])
        total -= sum(log_sigmoid(-(v[item[b]] @ w[j])) for j in drawn[b])
    params = {"input": jnp.asarray(v, "float32"), "output": jnp.asarray(w, "float32")}
    batch = tuple(jnp.asarray(x, "int32") for x in (item, partner, drawn))
    np.testing.assert_allclose(skip_gram_loss(params, batch), total / 2, rtol=1e-5)


def test_partners_are_others_of_the_user_within_the_window_each_as_often():
    history = [(0, i) for i in range(5)] + [(1, 7)] + [(2, 8), (2, 9)]
    fitted = events(history, 3, np.ones((10, 1), bool))
    draw = np.random.default_rng(0)
    for window, of_the_first in ((0, {1, 2, 3, 4}), (2, {1, 2})):
        found = [partners(fitted, window, draw) for _ in range(400)]
        place = np.stack([where for where, _ in found])
        there = np.stack([has for _, has in found])
        assert there.all(axis=0).tolist() == [True] * 5 + [False] + [True] * 2
        assert set(place[:, 0]) == of_the_first
        assert (place[there] != np.broadcast_to(np.arange(8), place.shape)[there]).all()
        assert (fitted.user[place] == fitted.user).all()
        assert np.abs(place - np.arange(8)).max() == (window or 4)
        counts = np.bincount(place[:, 0])[sorted(of_the_first)]
        assert counts.min() > 0.7 * counts.mean()


def test_scores_tend_to_the_log_of_how_often_items_go_together():
    """Two of three items a user: at prior 1 a click scores log p(j | i)."""
    often = {(0, 1): 300, (0, 2): 100, (1, 2): 200}
    pairs, user = [], 0
    for both, n in often.items():
        for _ in range(n):
            pairs += [(user, item) for item in both]
            user += 1
    single = [(user + k, k) for k in range(3)]  # the users asked for have one click
    held = [(user + k, (k + 1) % 3) for k in range(3)]
    fold = fold_of(pairs + single, held, user + 3, np.ones((3, 1), bool))
    words = ("dim=4", "epochs=400", "learning_rate=0.02", "negatives=3", "power=0.75")
    values = option_values(",".join(["item2vec", *words, "prior=1"]))
    scores = item2vec(fold, values, 0)(slice(0, 3), slice(0, 3))
    share = np.exp(scores + math.log(3))  # of j given i: the k draws are shared out
    expected = np.array([[0, 300, 100], [300, 0, 200], [100, 200, 0]], float)
    expected /= expected.sum(axis=1, keepdims=True)
    # As near as the draws let it; by popularity alone, shares would be up to 0.125 off.
    np.testing.assert_allclose(share, expected, atol=0.09)


def test_one_click_a_user_has_no_partners():
    fitted, held = [(u, u) for u in range(4)], [(u, u + 1) for u in range(4)]
    fold = fold_of(fitted, held, 4, np.ones((6, 1), bool))
    with pytest.raises(InputError, match="no user has two fitted positives"):
        item2vec(fold, option_values("item2vec"))


@pytest.mark.parametrize(("history", "kept"), [(0, 3), (2, 2), (9, 3)])
def test_a_user_is_the_mean_of_the_last_items(history, kept):
    fitted = [(0, 4), *((1, item) for item in (5, 0, 3)), (2, 1)]
    fold = fold_of(fitted, [(1, 1), (2, 0)], 3, np.ones((6, 1), bool))
    vectors = np.random.default_rng(0).normal(size=(6, 2))
    expected = [vectors[[5, 0, 3][-kept:]].mean(axis=0), vectors[1]]
    np.testing.assert_allclose(_mean_of_last(vectors, fold, history), expected)
