"""The sampled probe on synthetic data: targets, the truth, the exact arm."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm as arm_of
from experiments.studies.probe import (
    FAITHFUL,
    ZERO,
    Measurement,
    ProbeRunner,
    compile_error,
    draw_many,
    make_drawer,
    make_point,
    of_items,
    probe,
)
from experiments.studies.probe.estimators import full_gradient, probed_arm
from research.config import Config
from research.losses import LOSSES
from research.losses.entry import VECTORS
from research.prepare import prepare
from research.train.run_state import init_state
from tests.world import made_fold

N = 64


@pytest.fixture(scope="module")
def run():
    return prepare(Config(dim=8, user_hidden=(8,), item_hidden=(8,)), made_fold())


@pytest.fixture(scope="module")
def params(run):
    return init_state(run, *run.world).params


@pytest.fixture(scope="module")
def point(run, params):
    # Warm, so that a few draws are enough for the estimators with the right q.
    return make_point(run.model, params, run.world[0], 0.5, rows=256, only_fitted=True)


@pytest.fixture(scope="module")
def found(point):
    runner = ProbeRunner(Config(), point.world.pool, width=N)
    forms = [
        ("in-batch", FAITHFUL),
        ("in-batch+logq", FAITHFUL),
        ("in-batch+logq", ZERO),
    ]
    forms += [("mixed-unigram-q", FAITHFUL), ("mixed+logq", FAITHFUL)]
    cells = [
        Measurement("made", "untrained", "fitted", form, False, N, question)
        for form, question in forms
    ]
    return {(c.estimator, c.question): p for c, p in runner.measure(point, cells, m=6)}


def test_the_probe_ranks_wrong_above_right(found):
    bias = {key: one.bias for key, one in found.items()}
    for wrong, right in (
        ("in-batch", "in-batch+logq"),
        ("mixed-unigram-q", "mixed+logq"),
    ):
        assert bias[wrong, FAITHFUL] > 2 * bias[right, FAITHFUL]


def test_yi_is_at_zero_at_the_truth(found):
    found = found["in-batch+logq", ZERO]
    assert found.bias < 3 * found.error + 1e-3
    assert np.isnan(found.cosine)


def test_the_catalogue_is_the_exact_softmax(point):
    config = dataclasses.replace(arm_of("full-softmax"), batch=2)
    arm = probed_arm(config, point.world.pool)
    ready = compile_error(arm, width=point.scores.shape[1])
    draws = draw_many(point, make_drawer(arm), 3)
    assert probe(point, ready, draws, at_truth=False).bias < 1e-4


def test_what_item_vectors_get_is_the_gradient_of_the_loss(run, params, point):
    every = jnp.arange(point.scores.shape[1])
    items = run.model.serve_items(params, point.world, every)

    def loss(items):
        scores = point.users @ items.T / point.temperature
        never = point.world.pool.counts[None, :] > 0
        logp = jax.nn.log_softmax(jnp.where(never, scores, -1e6), axis=1)
        return -jnp.mean(jnp.take_along_axis(logp, point.positive[:, None], axis=1))

    got = of_items(point, full_gradient(point.scores, point.positive))
    np.testing.assert_allclose(got, jax.grad(loss)(items).ravel(), atol=1e-6)


def test_a_loss_that_needs_vectors_is_refused(point):
    name = next(name for name, loss in LOSSES.items() if VECTORS in loss.needs)
    with pytest.raises(ValueError, match="scores alone"):
        probed_arm(dataclasses.replace(Config(), loss=name), point.world.pool)
