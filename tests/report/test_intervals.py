"""Intervals: exact where a hand can follow, right in coverage where it can't."""

import math

import numpy as np
import pytest

from research.report.intervals import (
    RESAMPLES,
    SEEDS,
    USERS,
    bounds,
    over_seeds,
    resample,
    resample_weights,
)
from tests.report.made import crossed, paired


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=(30, 4))


def test_resampled_mean_is_the_doubly_weighted_one(values):
    values[3] = np.nan
    values[7, 2] = np.nan
    means = resample(np.stack([values, values**2], axis=2))
    users, seeds = resample_weights(30, USERS), resample_weights(4, SEEDS)
    for r in (0, 1, 249, 250, RESAMPLES - 1):
        for m, power in enumerate((1, 2)):
            total, weight = 0.0, 0.0
            for u in range(30):
                for s in range(4):
                    if not math.isnan(values[u, s]):
                        w = float(users[r, u]) * float(seeds[r, s])
                        total += w * values[u, s] ** power
                        weight += w
            assert means[r, m] == pytest.approx(total / weight, rel=1e-12)


def test_weights_draw_users_with_replacement_and_apart_from_seeds():
    users, seeds = resample_weights(400, USERS), resample_weights(400, SEEDS)
    assert (users.sum(axis=1) == 400).all()
    assert users.mean(axis=0).std() < 0.1
    # of n draws with replacement a share 1/e of the users is never drawn
    assert (users == 0).mean() == pytest.approx(math.exp(-1), abs=0.005)
    correlation = np.corrcoef(users[:, 0], seeds[:, 0])[0, 1]
    assert abs(correlation) < 0.1
    assert not np.array_equal(users, seeds)


def test_the_same_numbers_each_time(values):
    first = crossed(values)
    resample_weights.cache_clear()
    assert crossed(values) == first


def test_one_seed_is_a_bootstrap_over_users(values):
    one = resample(values[:, :1, None])[:, 0]
    by_users = resample_weights(30, USERS) @ values[:, 0] / 30
    np.testing.assert_allclose(one, by_users, rtol=1e-12)


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(2)
    of_seed = rng.normal(scale=1.0, size=5)
    values = rng.normal(size=(200, 1)) + of_seed
    _, low, high = crossed(values)
    _, low_users, high_users = crossed(values.mean(axis=1, keepdims=True))
    assert high - low > 2 * (high_users - low_users)


def test_pairing_removes_what_two_arms_share(values):
    same = paired(values, values)
    assert same == (0, 0, 0)
    shifted = paired(values + 0.25, values)
    np.testing.assert_allclose(shifted, 0.25, rtol=1e-12)
    assert crossed(values).high - crossed(values).low > 0.1


def test_pairing_is_by_seed_too(values):
    turned = values[:, [1, 2, 3, 0]]
    assert paired(values, turned).mean == pytest.approx(0, abs=1e-12)
    assert paired(values, turned).high > 0.01


def test_a_difference_of_draws_is_the_paired_difference(values):
    other = np.random.default_rng(5).normal(size=values.shape)
    both = resample(np.stack([values, other], axis=2))
    expected = paired(values, other)
    np.testing.assert_allclose(bounds(both[:, 0] - both[:, 1]), expected[1:], rtol=1e-9)


def test_users_who_do_not_count_are_as_if_absent():
    values = np.full((6, 3), np.nan)
    values[4] = 0.5
    mean, low, high = crossed(values)
    assert (mean, low, high) == (0.5, 0.5, 0.5)
    nobody = crossed(np.full((6, 3), np.nan))
    assert all(math.isnan(end) for end in nobody)


def test_t_interval_by_hand():
    interval = over_seeds(np.array([0.2, 0.4, 0.6, 0.8]))
    # sd = sqrt(0.2/3), t(.975, 3) = 3.182446
    reach = 3.182446305284263 * math.sqrt(0.2 / 3) / 2
    assert interval == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    assert math.isnan(over_seeds(np.array([1.0])).low)
    assert math.isnan(over_seeds(np.array([])).mean)


def test_coverage_of_the_crossed_interval():
    """95 % of intervals hold the truth when users and seeds both vary."""
    rng = np.random.default_rng(11)
    held, held_by_users, trials = 0, 0, 250
    for _ in range(trials):
        users = rng.normal(scale=1.0, size=(120, 1))
        seeds = rng.normal(scale=0.12, size=(1, 8))
        values = users + seeds + rng.normal(scale=0.5, size=(120, 8))
        _, low, high = crossed(values)
        held += low <= 0 <= high
        _, low, high = crossed(values.mean(axis=1, keepdims=True))
        held_by_users += low <= 0 <= high
    assert 0.915 <= held / trials <= 0.985
    assert held_by_users < held
