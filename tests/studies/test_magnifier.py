"""The share of the hardest negatives: autodiff, the formula, and its limits."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import experiments.studies.magnifier as magnifier
from experiments.arms import arm
from experiments.studies import STUDIES
from experiments.studies.magnifier import (
    formula_share,
    magnifier_figure,
    magnifier_frame,
    measure_magnifier,
    measured_share,
    run_magnifier,
)
from experiments.study import StudyOptions, report_study
from research.config import Config
from research.prepare import prepare
from research.report.records import load_stored
from research.types import InputError
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


def test_the_frame_has_a_row_for_each_model_temperature_and_k():
    shares = np.arange(2 * 2 * 2 * 3).reshape(2, 2, 2, 3) / 24
    frame = magnifier_frame((0.1, 1.0), KS, shares, shares / 2)
    assert len(frame) == 8
    row = frame[(frame.model == "trained") & (frame.temperature == 0.1)].iloc[0]
    assert row["mean"] == pytest.approx(shares[1, 0, 0].mean())
    assert row.formula == pytest.approx(shares[1, 0, 0].mean() / 2)
    assert row.low < row["mean"] < row.high
    words = magnifier_figure(frame).figure.get_suptitle()
    first, last = (f"{100 * shares[1, t, 1].mean():.0f} %" for t in (0, 1))
    assert (
        f"the 3 hardest negatives get {first} of the gradient at temperature 0.1, "
        f"{last} at 1"
    ) in words.replace("\n", " ")


@pytest.mark.slow
def test_a_quick_study_writes_its_records_table_and_figure(tmp_path, monkeypatch):
    """On the made fold: the study's own path from towers to files."""
    monkeypatch.setattr("experiments.studies.magnifier.fold_of", lambda *_: made_fold())
    monkeypatch.setattr("experiments.studies.magnifier.KS", KS)
    monkeypatch.setattr("experiments.studies.magnifier.QUICK_TEMPERATURES", (0.02, 1.0))
    digest = type("Ratings", (), {"digest": "made"})
    monkeypatch.setattr("experiments.inputs.ratings_of", lambda *_: digest)
    lines: list[str] = []
    options = StudyOptions(tmp_path, quick=True, progress=lines.append)
    report_study(STUDIES["magnifier"], run_magnifier(options), tmp_path)
    assert (tmp_path / "records/ml-100k/magnifier.npz").is_file()
    assert len(lines) == 2
    table = (tmp_path / "tables/ml-100k/magnifier.md").read_text()
    assert "A quick run" in table
    assert (tmp_path / "figures/ml-100k/magnifier.png").stat().st_size > 10_000


def test_a_whole_study_trains_each_seed_for_all_epochs(tmp_path, monkeypatch):
    seen = []

    def shares(config, data_dir, temperatures, rows):
        seen.append((config.seed, config.epochs, temperatures, rows))
        made = np.zeros((2, len(temperatures), len(magnifier.KS)))
        made[0], made[1] = 0.5, 0.25 + 0.1 * config.seed
        return {name: made + 0.01 * m for m, name in enumerate(magnifier.MODELS)}

    monkeypatch.setattr(magnifier, "_shares", shares)
    path = magnifier.run_magnifier(StudyOptions(tmp_path, seeds=2))
    whole = magnifier.EPOCHS, magnifier.TEMPERATURES, magnifier.ROWS
    assert seen == [(seed, *whole) for seed in range(2)]
    arrays = load_stored(path).arrays
    np.testing.assert_allclose(arrays["measured"][:, 0, 0], [[0.5] * 2, [0.51] * 2])
    formula = [[0.25, 0.35], [0.26, 0.36]]
    np.testing.assert_allclose(arrays["formula"][:, 0, 0], formula, rtol=1e-6)


def test_one_config_is_measured_in_a_cell(monkeypatch):
    monkeypatch.setattr("experiments.studies.magnifier.fold_of", lambda *_: made_fold())
    config = dataclasses.replace(arm("full-softmax"), batch=128, epochs=1)
    frame = measure_magnifier(config, (0.02, 1.0), rows=64)
    assert len(frame) == 2 * 2 * 3
    np.testing.assert_allclose(frame["mean"], frame.formula, rtol=1e-3)
    share = frame[(frame.model == "trained") & (frame.k == 1)].set_index("temperature")
    assert share["mean"][0.02] > share["mean"][1.0]
    assert len(magnifier_figure(frame).figure.axes) == 2
    with pytest.raises(InputError, match="over the whole catalogue"):
        measure_magnifier(arm("in-batch"))


def test_a_temperature_or_rows_that_mean_nothing_are_refused():
    config = arm("full-softmax")
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="temperature is"):
            measure_magnifier(config, (temperature,))
    with pytest.raises(InputError, match="rows is 0"):
        measure_magnifier(config, rows=0)
