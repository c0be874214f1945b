"""The rule of the correction's strength: its formula, its limits, what it refuses."""

import numpy as np
import pytest

from research.data.synthetic import log_clicks, make_synthetic
from research.negatives.strength import correction_strength
from research.types import InputError


def strength_of(quality, exposure):
    world = make_synthetic(400, 300, quality=quality, exposure=exposure, seed=1)
    log_q = np.log(np.exp(log_clicks(world)).mean(axis=0))
    return correction_strength(log_q, world.exposure)


def test_it_is_one_without_exposure_and_near_zero_without_anything_else():
    assert strength_of(1.0, 0.0) == 1.0
    assert abs(strength_of(0.0, 3.0)) < 0.1
    assert strength_of(1.0, 0.5) > strength_of(1.0, 1.0) > strength_of(0.5, 1.0)


def test_it_is_one_minus_the_slope_of_the_regression():
    draw = np.random.default_rng(0)
    log_q, log_e = draw.normal(size=(2, 50))
    slope = np.polyfit(log_q, log_e, 1)[0]
    assert correction_strength(log_q, log_e) == pytest.approx(1 - slope)
    # only differences between items count, and exposure beyond popularity goes below 0
    assert correction_strength(log_q + 7, log_e - 3) == pytest.approx(1 - slope)
    assert correction_strength(log_q, 2 * log_q) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("log_q", "log_e", "message"),
    [
        ([0.0, 1.0], [0.0, 1.0, 2.0], "number per item"),
        ([[0.0, 1.0]], [[0.0, 1.0]], "number per item"),
        ([0.0], [0.0], "at least two items"),
        ([0.0, -np.inf], [0.0, 1.0], "finite"),
        ([0.0, 1.0], [np.nan, 1.0], "finite"),
        ([2.0, 2.0], [0.0, 1.0], "nothing to correct"),
    ],
)
def test_it_refuses_what_has_no_slope(log_q, log_e, message):
    with pytest.raises(InputError, match=message):
        correction_strength(np.array(log_q), np.array(log_e))


def test_log_q_that_differs_by_rounding_alone_is_refused():
    """Its deviations from the mean are rounding, and so would be any strength."""
    log_e = np.random.default_rng(0).normal(size=30)
    for same in (0.1, -np.log(1447)):
        with pytest.raises(InputError, match="the same for every item"):
            correction_strength(np.full(30, same), log_e)
