"""The bias of a recipe's gradient is that of its q."""

import dataclasses

import numpy as np
import pytest

from experiments.arms import arm
from experiments.studies.probe.recipes import recipe_bias

MIXTURE = ("in-batch", "uniform:1024")


@pytest.fixture(scope="module")
def bias():
    names = ("in-batch", "in-batch+logq", "recipe-added", "recipe-mixture")
    return {name: recipe_bias(arm(name)) for name in names}


def test_the_right_q_leaves_nothing_and_the_wrong_sign_most(bias):
    assert bias["in-batch+logq"] < 1e-3
    assert 0.05 < bias["recipe-mixture"] < bias["in-batch"] < bias["recipe-added"]


def test_a_mixture_with_its_own_q_has_little_of_it(bias):
    """Not zero: the two sources' shares of so few draws are fixed, not drawn."""
    config = dataclasses.replace(arm("in-batch+logq"), negatives=MIXTURE)
    assert recipe_bias(config) < 0.1 * bias["recipe-mixture"]


def test_the_temperature_is_no_part_of_it(bias):
    config = dataclasses.replace(arm("in-batch"), temperature=1.0)
    assert recipe_bias(config) == pytest.approx(bias["in-batch"], abs=1e-4)


@pytest.mark.parametrize(
    "name", ["recipe-bare-sigmoid", "recipe-inclusion", "full-softmax", "bpr"]
)
def test_what_cannot_be_enumerated_has_none(name):
    assert np.isnan(recipe_bias(arm(name)))
