"""The rule of the correction's strength: its formula, its limits, what it refuses."""

import numpy as np
import pytest

from research.data.synthetic import log_clicks, make_synthetic
from research.negatives.strength import (
    IMPRESSIONS,
    correction_strength,
    rule_prior,
)
from research.types import NUMBER, Column, InputError, Table


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


def items_of(shown) -> Table:
    columns = {IMPRESSIONS: Column(NUMBER, np.asarray(shown, float))}
    return Table(np.arange(len(shown)), columns, np.array(["a", "b", "c"]))


def test_the_rules_prior_is_what_the_loss_left_out():
    log_q = np.log([0.5, 0.3, 0.2])
    even, half = items_of([7, 7, 7]), items_of(np.exp(0.5 * log_q) * 1000)
    assert rule_prior(log_q, even, 0.0) == pytest.approx(1.0)
    assert rule_prior(log_q, even, 1.0) == pytest.approx(0.0)
    assert rule_prior(log_q, half, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        (Table(np.arange(3), {}), "needs a column impressions"),
        (items_of([3, 0, 0]), r"item b has 0 impressions.*\(2 have none\)"),
        (items_of([3, 1, np.nan]), "item c has nan impressions"),
    ],
)
def test_the_rule_needs_an_exposure_of_every_item(items, line):
    with pytest.raises(InputError, match=line):
        rule_prior(np.log([0.5, 0.3, 0.2]), items, 0.0)
