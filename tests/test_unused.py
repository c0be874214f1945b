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
    ({}, {"loader_workers": 2}),
    ({"negatives": ("uniform:8",)}, {"warmup": 2}),
    ({"logq": 1.0}, {"frequency_rate": 0.5}),
    ({"encoder": "none"}, {"history": 3}),
    ({"output": "dot"}, {"served": "dot"}),
    ({"negatives": ("in-batch",)}, {"item_push": "batch"}),
    ({"loss": "align-uniform"}, {"mask_user_positives": True}),
    ({"loss": "align-uniform"}, {"duplicates": "inclusion"}),
    ({"logq": 1.0}, {"expected_count": True}),
    ({"logq": 1.0}, {"leave_own_out": True}),
    ({"fit_on": "train", "epochs": 4}, {"evaluate_every": 5}),
    ({"fit_on": "train"}, {"evaluate_prior": "calibrated"}),
    (
        {"fit_on": "train", "epochs": 4},
        {"evaluate_prior": "calibrated", "evaluate_every": 5},
    ),
    (
        {
            **{"logq": 1.0, "expected_count": True, "mask_same_item": True},
            "correct_positive": False,
        },
        {"leave_own_out": True},
    ),
]
NAMES = [" ".join((*base, "and", *change)) for base, change in IDLE]
# Of which training is compared, and by how much vectors may differ.
TRAINED = {
    "and expected_count": 0.0,
    "negatives and item_push": 0.0,
    "loss and mask_user_positives": 0.0,
    "logq and expected_count": 1e-5,
    "logq and leave_own_out": 1e-5,
}
USED: list[dict[str, Any]] = [
    {"expected_count": True, "logq": 1.0, "correct_positive": False},
    {"alpha": 0.5, "negatives": ("popularity:8",)},
    {"loader_workers": 2, "negatives": ("uniform:8",)},
    {"frequency_rate": 0.5, "frequency": "streaming", "logq": 1.0},
    {"history": 3},
    {"item_push": "batch", "negatives": ("in-batch", "uniform:8")},
    {"mask_user_positives": True},
    {"duplicates": "inclusion", "logq": 1.0, "negatives": ("uniform:8",)},
    {"leave_own_out": True, "logq": 1.0, "correct_positive": False},
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


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_the_same_without_it_and_another_where_it_is_used(name):
    base, change = IDLE[NAMES.index(name)]
    ((field, value),) = change.items()
    plain = vectors_of(dataclasses.replace(SMALL, **base))
    idle = vectors_of(dataclasses.replace(SMALL, **base, **change))
    np.testing.assert_allclose(plain, idle, rtol=0, atol=TRAINED[name])
    (used,) = (one for one in USED if field in one)
    others = {key: setting for key, setting in used.items() if key != field}
    without = vectors_of(dataclasses.replace(SMALL, **others))
    with_it = vectors_of(dataclasses.replace(SMALL, **others, **{field: value}))
    assert np.abs(with_it - without).max() > 1e-6


def test_what_the_base_has_was_not_set():
    base = Config(encoder="none", history=12)
    assert unused(base, base) == {}
    changed = dataclasses.replace(base, history=9, alpha=0.5)
    assert set(unused(changed, base)) == {"history", "alpha"}


def test_a_baseline_reads_no_field_of_the_towers():
    config = Config(model="ease", epochs=3, seed=2, threshold=3.0)
    assert unused(config) == {"epochs": "model ease is no two-tower model"}
