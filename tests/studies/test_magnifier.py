"""The share of the hardest negatives: autodiff, the formula, and its limits."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import experiments.studies.magnifier as magnifier
from experiments.arms import arm
from experiments.studies.magnifier import (
    formula_share,
    magnifier_figure,
    measure_magnifier,
    measured_share,
    run_magnifier,
)
from experiments.study import StudyOptions
from research.config import Config
from research.prepare import prepare
from research.report.records import load_stored
from research.types import InputError
from tests.studies.made import page_of
from tests.world import made_fold

KS = (1, 3)


@pytest.fixture(scope="module")
def world():
    fold = made_fold()
    return prepare(Config(), fold).world[0]


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_what_autodiff_measures_is_what_the_formula_says(world, temperature):
    items = world.pool.counts.shape[0]
    cosines = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, items)))
    positive = jnp.array([0, 1, 2, 3, 4, 5])
    config = dataclasses.replace(arm("full-softmax"), temperature=temperature)
    measured = measured_share(config, cosines, positive, world, KS)
    closed = formula_share(cosines, positive, temperature, KS)
    np.testing.assert_allclose(measured, closed, rtol=1e-4)


def test_a_small_temperature_leaves_one_negative_and_a_large_one_spares_none():
    cosines = jnp.array([[0.9, 0.8, 0.1, -0.4, 0.7]])
    positive = jnp.array([0])
    flat = formula_share(cosines, positive, 1e4, KS)
    np.testing.assert_allclose(formula_share(cosines, positive, 1e-3, (1,)), 1.0)
    np.testing.assert_allclose(flat, [[0.25, 0.75]], rtol=1e-3)


def test_the_positive_is_no_negative_however_high_it_scores():
    low, high = jnp.array([[-0.9, 0.8, 0.1]]), jnp.array([[0.9, 0.8, 0.1]])
    shares = [formula_share(c, jnp.array([0]), 0.1, (1,)) for c in (low, high)]
    np.testing.assert_array_equal(*shares)


WHOLE = magnifier.EPOCHS, magnifier.TEMPERATURES, magnifier.ROWS
QUICK = magnifier.QUICK_EPOCHS, magnifier.QUICK_TEMPERATURES, magnifier.QUICK_ROWS


@pytest.mark.parametrize(("quick", "size"), [(False, WHOLE), (True, QUICK)])
def test_a_whole_study_trains_each_seed_for_all_epochs(
    quick, size, tmp_path, monkeypatch
):
    seen, lines = [], []

    def shares(config, data_dir, temperatures, rows):
        seen.append((config.seed, config.epochs, temperatures, rows))
        made = np.full((2, len(temperatures), len(magnifier.KS)), 0.5)
        return {"measured": made, "formula": made - 0.1 * config.seed}

    monkeypatch.setattr(magnifier, "shares", shares)
    options = StudyOptions(tmp_path, seeds=2, quick=quick, progress=lines.append)
    path = run_magnifier(options)
    assert seen == [(seed, *size) for seed in range(2)]
    assert len(lines) == 2
    arrays = load_stored(path).arrays
    np.testing.assert_allclose(arrays["measured"], 0.5)
    np.testing.assert_allclose(arrays["formula"][0, 0, 0], [0.5, 0.4], rtol=1e-6)
    page = page_of(path, tmp_path)
    assert ("A quick run" in page) == quick
    assert "| 0.02 | 0.500 |" in page


def test_one_config_is_measured_in_a_cell(monkeypatch):
    monkeypatch.setattr(magnifier, "fold_of", lambda *_: made_fold())
    config = dataclasses.replace(arm("full-softmax"), batch=128, epochs=1)
    frame = measure_magnifier(config, (0.02, 1.0), rows=64)
    assert len(frame) == 2 * 2 * 3
    np.testing.assert_allclose(frame.share, frame.formula, rtol=1e-3)
    share = frame[(frame.model == "trained") & (frame.k == 1)].set_index("temperature")
    assert share.share[0.02] > share.share[1.0]
    assert len(magnifier_figure(frame).figure.axes) == 2


@pytest.mark.parametrize(
    ("name", "temperature", "rows", "line"),
    [
        ("in-batch", 0.1, 64, "over the whole catalogue"),
        ("full-softmax", 0.0, 64, "temperature is"),
        ("full-softmax", -1.0, 64, "temperature is"),
        ("full-softmax", float("nan"), 64, "temperature is"),
        ("full-softmax", 0.1, 0, "rows is 0"),
    ],
)
def test_what_means_nothing_is_refused(name, temperature, rows, line):
    with pytest.raises(InputError, match=line):
        measure_magnifier(arm(name), (temperature,), rows)
