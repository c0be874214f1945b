"""What is known of the bias, by enumeration of every draw on six items."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.probe.estimators import (
    draw_laws,
    estimator_sources,
    expected_error,
    multisets,
    score_gradient,
    small_world,
)
from research.negatives.source import union_log_q
from tests.studies.made import exactly, sampled_gradient, small_arm

WORLDS = small_world(True), small_world(False)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_at_the_truth_every_column_corrected_is_unbiased(n):
    for name in ("in-batch+logq", "uniform-softmax"):
        zero, _ = exactly(WORLDS, name, n, small_arm(WORLDS[0], name, n))
        assert zero.bias < 1e-6


def test_the_same_item_mask_leaves_a_bias_that_grows_with_n():
    zero = []
    for n in (2, 4, 6):
        arm = small_arm(WORLDS[0], "in-batch+logq", n, masked=True)
        zero.append(exactly(WORLDS, "in-batch+logq", n, arm)[0].bias)
    assert 0.01 < zero[0] < zero[1] < zero[2] < 0.3


def test_away_from_the_truth_no_estimator_is_faithful_at_small_n():
    for name in ("in-batch+logq", "importance", "leave-own-out"):
        two, six = (
            exactly(WORLDS, name, n, small_arm(WORLDS[0], name, n))[1] for n in (2, 6)
        )
        assert two.bias > six.bias > 0.1
        assert two.cosine < six.cosine


def test_uncorrected_is_biased_everywhere():
    arm = small_arm(WORLDS[0], "in-batch", 6)
    zero, faithful = exactly(WORLDS, "in-batch", 6, arm)
    assert zero.bias > 0.2
    assert faithful.bias > 0.5


@pytest.mark.parametrize(
    ("name", "corrected", "sign"),
    [("in-batch", ("in-batch",), 1), ("mixed-unigram-q", ("in-batch", "uniform"), -1)],
)
def test_without_log_q_popular_items_are_pushed_down_and_by_the_wrong_q_up(
    name, corrected, sign
):
    arm = small_arm(WORLDS[0], name, 6)
    laws = draw_laws(corrected, WORLDS[1])
    draws = (6 // len(corrected),) * len(corrected)
    (mean, _) = expected_error(arm, WORLDS[1:], draws, laws)[0]
    pushed = sign * mean.sum(axis=0)[np.argsort(-np.asarray(WORLDS[1].pool.counts))]
    assert pushed[0] > 0 > pushed[-1]
    assert abs(pushed.sum()) < 1e-5  # a gradient of a softmax sums to zero


def test_multisets_stand_for_all_sequences():
    arm = small_arm(WORLDS[0], "in-batch+logq", 2)
    laws = draw_laws(("in-batch",), WORLDS[1])
    (mean, second) = expected_error(arm, WORLDS[1:], (2,), laws)[0]
    ids = np.array(list(itertools.product(range(6), repeat=2)), np.int32)
    chance = laws[0][0][ids].prod(axis=1)
    run = jax.jit(
        lambda s, p: score_gradient(arm, s, p, (jnp.asarray(ids),), WORLDS[1].pool)
    )
    by_hand, square = np.zeros((3, 6)), 0.0
    for u, p in np.ndindex(3, 6):
        scores = jnp.broadcast_to(WORLDS[1].scores[u], (len(ids), 6))
        own = jnp.full(len(ids), p, jnp.int32)
        g = np.asarray(run(scores, own))
        full = np.exp(WORLDS[1].scores[u]) / np.exp(WORLDS[1].scores[u]).sum()
        error = g - (full - np.eye(6)[p])
        weight = WORLDS[1].law[u, p] / 3 * chance
        by_hand[u] += weight @ error
        square += weight @ (error**2).sum(axis=1)
    np.testing.assert_allclose(mean, by_hand, atol=1e-6)
    assert second == pytest.approx(square, rel=1e-5)
    assert multisets(6, 6)[1].sum() == 6**6


def test_the_union_q_is_the_mixture_that_is_drawn():
    arm = small_arm(WORLDS[0], "mixed+logq", 6)
    said = union_log_q(jnp.arange(6), arm.sources, arm.source_states, WORLDS[0].pool, 0)
    share, flat = draw_laws(("in-batch", "uniform"), WORLDS[0])
    np.testing.assert_allclose(np.exp(said), (share[0] + flat[0]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", ["in-batch+logq", "importance", "leave-own-out"])
def test_sampled_draws_agree_with_enumeration_within_their_error(name):
    arm = small_arm(WORLDS[1], name, 4)
    laws = draw_laws(("in-batch",), WORLDS[1], arm.config.leave_own_out)
    world = WORLDS[1]._replace(
        scores=WORLDS[1].scores[:1], law=np.eye(6)[2:3]
    )  # one user, one positive
    (mean, _) = expected_error(arm, (world,), (4,), laws)[0]
    full = np.exp(world.scores[0]) / np.exp(world.scores[0]).sum() - np.eye(6)[2]
    g = sampled_gradient(world, arm, 0, 2, rows=20_000)
    error = g.std(axis=0) / np.sqrt(len(g))
    assert np.all(np.abs(g.mean(axis=0) - full - mean[0]) < 4 * error + 1e-6)


@pytest.mark.parametrize(
    ("name", "n", "changes"),
    [
        ("in-batch+logq", 4, {"logq": -1.0}),
        ("in-batch+logq", 4, {"correct_positive": False}),
        ("mixed+logq", 4, "unigram"),
    ],
)
def test_a_wrong_q_is_found_at_the_truth(name, n, changes):
    if changes == "unigram":
        wrong = estimator_sources(
            "mixed-unigram-q", small_arm(WORLDS[0], name, n).config
        )
        arm = small_arm(WORLDS[0], name, n, sources=wrong)
    else:
        arm = small_arm(WORLDS[0], name, n, **changes)
    right, _ = exactly(WORLDS, name, n, small_arm(WORLDS[0], name, n))
    found, _ = exactly(WORLDS, name, n, arm)
    assert found.bias > 0.05 > 10 * right.bias
