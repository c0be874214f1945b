"""The claim the project exists for, where the truth is known."""

import numpy as np
import pytest

from experiments.studies.recovery import (
    CLICKS,
    GROUPS,
    ITEMS,
    USERS,
    best_items,
    recipe,
    recovered,
)
from research.data.synthetic import Synthetic, made_fold, make_synthetic, relevance
from research.train.loop import train

MARGIN = 0.2  # of the truly best 20, fixed before any run


def _trained(name: str, world: Synthetic, seed: int, epochs: int) -> float:
    done = train(recipe(name, seed, epochs), made_fold(world, CLICKS, seed))
    scores = done.user_vectors @ done.item_vectors.T
    return recovered(scores, best_items(relevance(world)))


def test_without_exposure_bias_log_q_finds_what_users_would_choose():
    """At the reference Zipf exponent of 1; three epochs are enough for the margin."""
    world = make_synthetic(USERS, ITEMS, GROUPS, quality=1.0, exposure=0.0, seed=5)
    plain, corrected = (
        _trained(name, world, 5, 3) for name in ("in-batch", "in-batch+logq")
    )
    assert corrected > plain + MARGIN
    assert corrected > 0.5
    assert CLICKS < ITEMS


def test_recovered_is_one_for_the_truth_and_the_chance_level_for_noise():
    world = make_synthetic(50, ITEMS, GROUPS, seed=1)
    ones = np.ones((50, 1))
    truth = np.concatenate([world.users, ones], axis=1)
    items = np.concatenate([world.groups[world.group], world.quality[:, None]], axis=1)
    np.testing.assert_allclose(truth @ items.T, relevance(world), atol=1e-4)
    assert recovered(truth @ items.T, best_items(relevance(world))) == 1.0
    noise = np.random.default_rng(0).normal(size=(2, ITEMS, 8))
    by_chance = recovered(noise[0, :50] @ noise[1].T, best_items(relevance(world)))
    assert by_chance == pytest.approx(20 / ITEMS, abs=0.02)


def test_ties_at_the_last_place_go_to_the_first_items():
    scores = np.random.default_rng(1).integers(5, size=(30, 60)).astype(float)
    expected = np.zeros(scores.shape, bool)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    np.put_along_axis(expected, order, True, axis=1)
    assert (best_items(scores) == expected).all()
