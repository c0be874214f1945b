"""The study of the gradient's noise: it is that of the loss, and of all its batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.arms import arm
from experiments.studies import noise as module
from experiments.studies.noise import (
    FRESH,
    FULL,
    IN_BATCH,
    LABELS,
    RATE,
    heading,
    noise_frame,
    report_noise,
    verdicts,
)
from research.config import Config
from research.prepare import prepare
from research.report.records import Stored
from tests.world import made_fold

SEEDS = 4


def stored(untrained=4.0, **of):
    """Noise by arm, point and seed, the same share in each band; 1 where none is given.

    ``untrained`` is what in-batch has before training.
    """
    noise = np.ones((len(LABELS), 2, SEEDS, 3)) * np.array([1.0, 2.0, 5.0])
    noise *= np.linspace(1, 3, SEEDS)[:, None]  # of the seeds, in all arms
    for n, label in enumerate(LABELS):
        noise[n, 1] *= of.get(label, 1.0)
        noise[n, 0] *= 1.0 if label == FULL else 5.0
    noise[LABELS.index(IN_BATCH), 0] *= untrained / 5
    header = {"dataset": "ml-100k", "arms": LABELS, "quick": False}
    return Stored(header, {}, {"noise": noise, "points": np.array([0.0, 2.0])})


AS_PREDICTED = {label: 2.0 for label in LABELS} | {
    FULL: 1.0,
    IN_BATCH: 0.25,
    "mixed-popularity+logq+push 1024": 0.3,
}


def test_noise_is_over_that_of_the_full_softmax_of_the_same_seed():
    frame = noise_frame(stored(**AS_PREDICTED)).set_index(["arm", "epochs"])
    for epochs, expected in ((0, 4.0), (2, 0.25)):
        row = frame.loc[(IN_BATCH, epochs)]
        assert row.noise == pytest.approx(expected)
        assert row.noise_tail == pytest.approx(expected)
        assert row.noise_high == pytest.approx(expected)  # seeds differ alike


def test_the_prediction_is_judged_by_what_was_measured():
    frame = noise_frame(stored(**AS_PREDICTED))
    assert [row[-1] for row in verdicts(frame)] == ["holds"] * 6
    assert "less noisy" in heading(frame)
    frame = noise_frame(stored(**(AS_PREDICTED | {IN_BATCH: 0.6})))
    assert [row[-1] for row in verdicts(frame)] == ["fails", *["holds"] * 5]
    frame = noise_frame(stored(**(AS_PREDICTED | {f"{FRESH} 511": 0.9})))
    assert [row[-1] for row in verdicts(frame)][2] == "fails"
    frame = noise_frame(stored(untrained=0.9, **AS_PREDICTED))
    assert [row[-1] for row in verdicts(frame)][5] == "fails"
    for frame in (
        noise_frame(stored(untrained=6.0, **AS_PREDICTED)),
        noise_frame(stored(**(AS_PREDICTED | {f"{FRESH} 511": 0.2}))),
    ):
        assert heading(frame).endswith("?")
    report = report_noise(stored(**AS_PREDICTED))
    assert isinstance(report.tables[".csv"], pd.DataFrame)


@pytest.mark.parametrize(("quick", "batches"), [(False, 100), (True, 3)])
def test_the_page_says_how_many_batches_there_were(quick, batches):
    records = stored(**AS_PREDICTED)
    records = records._replace(header={**records.header, "quick": quick})
    assert f"({batches} batches)" in report_noise(records).page[0]


def run_of(name):
    config = Config(dim=8, user_hidden=(), item_hidden=(), batch=8, epochs=1)
    changes = {"optimiser": "sgd", "learning_rate": RATE, "weight_decay": 0.0}
    config = dataclasses.replace(arm(name, config), dropout=0.0, **changes)
    return prepare(config, made_fold())


def test_a_step_moves_the_table_by_the_gradient_of_the_loss(monkeypatch):
    """Against differences of the loss itself, for the full softmax."""
    run = run_of(FULL)
    world, sizes = run.world
    state = module.init_state(run, world, sizes)
    (gradient,) = module._gradients(run, state.params, 1)
    draw = module.rng.generator(run.config.seed, module.NAME)
    rows = draw.choice(len(world.pairs.candidate), 8, replace=False)
    step = module.make_step(module.structure(run.config))
    hyper = module.traced_values(run.config)

    def loss(table):
        tables = {**state.params["tables"], "item": table}
        moved = state._replace(params={**state.params, "tables": tables})
        return step(moved, jnp.asarray(rows), hyper, world)[1]["loss"]

    expected = jax.grad(loss)(state.params["tables"]["item"])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert np.abs(gradient).max() > 1e-4


def test_batches_and_negatives_are_drawn_anew():
    run = run_of(FRESH)
    state = module.init_state(run, *run.world)
    first, second = module._gradients(run, state.params, 2)
    again, _ = module._gradients(run, state.params, 2)
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(first, again)
