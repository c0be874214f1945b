"""Learned tastes: the relevance is the model's logits, clicks are drawn anew by it."""

from types import SimpleNamespace

import numpy as np
from scipy import stats

from experiments.studies import learned_world as module
from experiments.studies.learned_world import (
    World,
    drawn_fold,
    learned_world,
    trained_logits,
)
from experiments.study import StudyOptions
from tests.studies.tastes import write_tastes


def test_the_relevance_is_the_trained_models_logits_of_the_users_that_are_judged(
    tmp_path, monkeypatch
):
    draw, seen = np.random.default_rng(0), []

    def trained(config, fold):
        seen.append((config, fold))
        users, items = (draw.normal(size=(n, 3)) for n in (len(fold.evaluated), 160))
        return SimpleNamespace(user_vectors=users, item_vectors=items, temperature=0.5)

    monkeypatch.setattr(module, "train", trained)
    made_set = str(write_tastes(tmp_path / "made"))
    world = learned_world(StudyOptions(tmp_path, dataset=made_set))
    ((config, fold),) = seen
    assert config.split == "given"  # what the data says is test isn't learned from
    assert len(fold.evaluated) < fold.fitted.n_users
    clicks = np.bincount(fold.fitted.user, minlength=fold.fitted.n_users)
    assert (world.clicks == clicks[fold.evaluated]).all()
    there = fold.fitted.item_counts > 0
    share = fold.fitted.item_counts[there] / clicks.sum()
    np.testing.assert_allclose(np.exp(world.popularity[there]), share, rtol=1e-5)
    draw = np.random.default_rng(0)
    users, items = (draw.normal(size=(n, 3)) for n in (len(world.clicks), 160))
    np.testing.assert_allclose(world.relevance, 2 * users @ items.T)
    draw = np.random.default_rng(0)
    np.testing.assert_allclose(trained_logits(config, fold), world.relevance)


def test_clicks_are_drawn_without_replacement_by_relevance_times_exposure():
    weights = np.array([4.0, 3.0, 2.0, 1.0])
    users = 4000
    relevance = np.log(np.broadcast_to(weights, (users, 4)))
    world = World(relevance, np.zeros(4), np.full(users, 2))
    fold = drawn_fold(world, np.log(np.array([1.0, 1.0, 1.0, 4.0])), seed=0)
    clicks = fold.fitted.item.reshape(users, 2)
    assert (clicks[:, 0] != clicks[:, 1]).all()
    assert (fold.held_item[:, None] != clicks).all()
    first = np.bincount(clicks[:, 0], minlength=4)
    share = weights * [1, 1, 1, 4]
    assert stats.chisquare(first, share / share.sum() * users).pvalue > 0.01
    assert stats.chisquare(first, weights / weights.sum() * users).pvalue < 1e-6


def test_a_user_of_all_items_keeps_one_for_the_held_out_click():
    world = World(np.zeros((2, 3)), np.zeros(3), np.array([3, 1]))
    fold = drawn_fold(world, np.zeros(3), seed=1)
    assert np.diff(fold.fitted.offsets).tolist() == [2, 1]
