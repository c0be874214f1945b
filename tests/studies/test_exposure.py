"""The claim the project exists for, where the truth is known."""

import numpy as np
import pytest

from experiments.studies.exposure import (
    CLICKS,
    GROUPS,
    ITEMS,
    USERS,
    _trained,
    best_items,
    phase_frame,
    recovered,
)
from research.data.synthetic import make_synthetic, relevance

MARGIN = 0.2  # of the truly best 20, fixed before any run


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


def test_the_gain_is_paired_by_seed():
    shares = np.array([[[[0.1, 0.2, 0.3]]], [[[0.2, 0.3, 0.4]]]])
    (row,) = phase_frame(("a", "b"), (0.0,), shares).to_dict("records")
    assert row["a"] == pytest.approx(0.2)
    assert row["gain"] == pytest.approx(0.1)
    assert row["gain_high"] - row["gain_low"] == pytest.approx(0, abs=1e-9)
