"""Fields that have no effect: said where they are set, and true by training."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from experiments.arms import ARMS, arm
from research.config import Config
from research.prepare import check_config
from research.train.loop import train
from research.unused import unused
from tests.train.test_loop import SMALL
from tests.world import made_fold

# What is set, on a config that its other fields give.
IDLE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"expected_count": True}),
    ({}, {"leave_own_out": True, "mask_same_item": True}),
    ({}, {"alpha": 0.5}),
    ({}, {"temperature_end": 0.5}),
    ({}, {"loader_workers": 2}),
    ({"negatives": ("uniform:8",)}, {"warmup": 2}),
    ({"logq": 1.0}, {"frequency_rate": 0.5}),
    ({"encoder": "none"}, {"history": 3}),
    ({"output": "dot"}, {"served": "dot"}),
    ({"fit_on": "train", "epochs": 4}, {"evaluate_every": 5}),
    (
        {"logq": 1.0, "expected_count": True, "mask_same_item": True},
        {"leave_own_out": True},
    ),
]
NAMES = [next(iter(change)) for _, change in IDLE]
USED: list[dict[str, Any]] = [
    {"expected_count": True, "logq": 1.0, "correct_positive": False},
    {"alpha": 0.5, "negatives": ("popularity:8",)},
    {"temperature_end": 0.05, "temperature_kind": "scheduled"},
    {"loader_workers": 2, "negatives": ("uniform:8",)},
    {"frequency_rate": 0.5, "frequency": "streaming", "logq": 1.0},
    {"history": 3},
    {"evaluate_every": 4, "fit_on": "train", "epochs": 4},
]


@pytest.mark.parametrize("name", ARMS)
def test_no_arm_sets_what_has_no_effect(name):
    assert unused(arm(name)) == {}


@pytest.mark.parametrize(("base", "change"), IDLE, ids=NAMES)
def test_what_is_said_to_have_no_effect_is_named(base, change):
    config = Config(**base, **change)
    check_config(config)
    assert next(iter(change)) in unused(config)
    assert not unused(Config(**base))


@pytest.mark.parametrize("change", USED, ids=[next(iter(c)) for c in USED])
def test_what_has_an_effect_is_not(change):
    config = Config(**change)
    check_config(config)
    assert unused(config) == {}


@functools.cache
def vectors_of(config: Config) -> np.ndarray:
    trained = train(dataclasses.replace(config, epochs=1), made_fold())
    return np.concatenate([trained.user_vectors, trained.item_vectors])


@pytest.mark.parametrize("at", [0, 3], ids=lambda at: NAMES[at])
def test_training_is_the_same_without_it_and_another_where_it_is_used(at):
    base, change = IDLE[at]
    ((name, value),) = change.items()
    plain = vectors_of(dataclasses.replace(SMALL, **base))
    idle = vectors_of(dataclasses.replace(SMALL, **base, **change))
    np.testing.assert_array_equal(plain, idle)
    (used,) = (one for one in USED if name in one)
    others = {key: setting for key, setting in used.items() if key != name}
    without = vectors_of(dataclasses.replace(SMALL, **others))
    with_it = vectors_of(dataclasses.replace(SMALL, **others, **{name: value}))
    assert np.abs(with_it - without).max() > 1e-6


def test_what_the_base_has_was_not_set():
    base = Config(encoder="none", history=12)
    assert unused(base, base) == {}
    changed = dataclasses.replace(base, history=9, alpha=0.5)
    assert set(unused(changed, base)) == {"history", "alpha"}


def test_a_baseline_reads_no_field_of_the_towers():
    config = Config(model="ease", epochs=3, seed=2, threshold=3.0)
    assert unused(config) == {"epochs": "model ease is no two-tower model"}
