"""Matrix factorisations of implicit: what is minimised, and what is added to scores."""

import implicit.utils
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from research.baselines import BASELINES, factors
from research.evaluate.top_k import dot_product
from research.positives import log_share
from tests.evaluate.made import fold_of

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
