"""Bias freed of noise, and its error, where the answer is known."""

import numpy as np
import pytest

from experiments.studies.probe.estimators import estimate_bias, exact_bias


def made(bias, noise, m=40, size=400, seed=0):
    draw = np.random.default_rng(seed)
    full = np.zeros(size)
    full[0] = 1.0
    error = np.zeros(size)
    error[1] = bias
    return error + noise * draw.normal(size=(m, size)), full


def test_no_bias_is_not_mistaken_for_noise():
    found = [estimate_bias(*made(0.0, 0.05, seed=s)) for s in range(20)]
    noise_floor = 0.05 * np.sqrt(400 / 40)
    assert max(f.bias for f in found) < noise_floor / 2
    assert sum(f.bias <= 2 * f.error for f in found) >= 18


def test_a_bias_below_the_noise_is_found_within_its_error():
    found = [estimate_bias(*made(0.3, 0.05, seed=s)) for s in range(20)]
    hits = [abs(f.bias - 0.3) < 2 * f.error for f in found]
    assert sum(hits) >= 17
    assert np.mean([f.variance for f in found]) == pytest.approx(0.0025 * 400, rel=0.05)
    assert np.mean([f.cosine for f in found]) == pytest.approx(
        1 / np.sqrt(1.09), rel=0.01
    )


def test_averaging_in_a_replicate_leaves_the_variance_of_one():
    errors, full = made(0.3, 0.05, m=400)
    halves = errors.reshape(200, 2, -1).mean(axis=1)
    one = estimate_bias(errors, full)
    two = estimate_bias(halves, full, repeats=2)
    assert two.variance == pytest.approx(one.variance, rel=0.05)
    assert two.bias == pytest.approx(one.bias, rel=1e-2)


def test_an_enumeration_has_no_error():
    found = exact_bias(np.array([0.0, 0.5]), 0.3, np.array([1.0, 0.0]))
    assert found.bias == 0.5
    assert found.error == 0.0
    assert found.variance == pytest.approx(0.05)
    assert found.cosine == pytest.approx(1 / np.sqrt(1.25))


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="2 draws"):
        estimate_bias(*made(0.0, 1.0, m=2))
