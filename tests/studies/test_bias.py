"""The sampled probe on synthetic data: directions, targets, exact arm, records."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm as arm_of
from experiments.studies.probe import FAITHFUL, ZERO, Measurement, ProbeRunner
from experiments.studies.probe.bias import (
    compile_error,
    draw_many,
    estimate_bias,
    make_drawer,
    make_point,
    probe,
    project,
)
from experiments.studies.probe.estimators import full_gradient, probed_arm
from research.config import Config
from research.evaluate.record import deciles
from research.losses import LOSSES
from research.losses.entry import VECTORS
from research.prepare import prepare
from research.train.run_state import init_state
from tests.world import made_fold

N = 64


@pytest.fixture(scope="module")
def point():
    fold = made_fold()
    run = prepare(Config(dim=8, user_hidden=(8,), item_hidden=(8,)), fold)
    world, sizes = run.world
    model = run.model
    params = init_state(run, world, sizes).params
    # Warm, so that a few draws are enough for the estimators with the right q.
    return make_point(model, params, world, 0.5, rows=256, only_fitted=True)


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
        Measurement("made", "untrained", "fitted", form, False, "per row", N, question)
        for form, question in forms
    ]
    return {(c.estimator, c.question): p for c, p in runner.measure(point, cells, m=6)}


def test_uncorrected_in_batch_pushes_popular_items_down(found):
    signed = found["in-batch", FAITHFUL].signed
    error = signed.std(axis=0, ddof=1) / np.sqrt(len(signed))
    mean = signed.mean(axis=0)
    assert mean[0] > 4 * error[0]
    assert mean[-1] < -4 * error[-1]
    assert abs(mean.sum()) < 1e-5  # a gradient of a softmax sums to zero


def test_the_unigram_q_of_uniform_draws_pushes_unpopular_items_down(found):
    mean = found["mixed-unigram-q", FAITHFUL].signed.mean(axis=0)
    assert mean[0] < 0 < mean[-1]


@pytest.mark.parametrize("target", ["scores", "items", "towers"])
def test_the_probe_ranks_wrong_above_right(found, target):
    bias = {
        key: estimate_bias(one.products[target], key[1] == FAITHFUL).bias
        for key, one in found.items()
    }
    for wrong, right in (
        ("in-batch", "in-batch+logq"),
        ("mixed-unigram-q", "mixed+logq"),
    ):
        assert bias[wrong, FAITHFUL] > 2 * bias[right, FAITHFUL]


def test_yi_is_at_zero_at_the_truth(found):
    found = estimate_bias(found["in-batch+logq", ZERO].products["items"], False)
    assert found.bias < 3 * found.error + 1e-3
    assert np.isnan(found.cosine)


def test_the_catalogue_is_the_exact_softmax(point):
    config = dataclasses.replace(arm_of("full-softmax"), batch=2)
    arm = probed_arm(config, point.world.pool)
    ready = compile_error(arm, width=point.scores.shape[1])
    one = probe(point, ready, draw_many(point, make_drawer(arm), 3))
    for kept in one.products.values():
        assert estimate_bias(kept).bias < 1e-4
    assert np.abs(one.signed).max() < 1e-6


def test_the_way_back_is_the_gradient_of_the_loss(point):
    def loss(items):
        scores = point.users @ items.T / point.temperature
        never = point.world.pool.counts[None, :] > 0
        logp = jax.nn.log_softmax(jnp.where(never, scores, -1e6), axis=1)
        return -jnp.mean(jnp.take_along_axis(logp, point.positive[:, None], axis=1))

    got = project(point, full_gradient(point.scores, point.positive))["items"]
    np.testing.assert_allclose(got, jax.grad(loss)(point.items).ravel(), atol=1e-6)


def test_deciles_hold_a_tenth_each_and_the_most_clicked_first():
    counts = np.array([5, 0, 9, 1] * 10, np.int64)
    tenth = deciles(counts)
    assert np.bincount(tenth).tolist() == [4] * 10
    assert counts[tenth == 0].min() >= counts[tenth == 9].max()


def test_a_loss_that_needs_vectors_is_refused(point):
    name = next(name for name, loss in LOSSES.items() if VECTORS in loss.needs)
    with pytest.raises(ValueError, match="scores alone"):
        probed_arm(dataclasses.replace(Config(), loss=name), point.world.pool)
