"""The bias by enumeration of every draw on six items, and its error by sampling."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.probe.estimators import (
    ESTIMATORS,
    draw_laws,
    draw_rows,
    enumerated_bias,
    estimate_bias,
    estimator_config,
    estimator_sources,
    exact_bias,
    expected_error,
    multisets,
    probed_arm,
    score_gradient,
    small_world,
)
from research.config import Config
from research.negatives.source import union_log_q
from research.types import Pairs

WORLDS = AT_TRUTH, AWAY = small_world(True), small_world(False)


def small_arm(name, n, masked=False, sources=None, **changes):
    """An estimator on the small world, with a mutation of its config or its sources."""
    config = estimator_config(name, n, masked)
    if changes:
        config = Config(**{**config.__dict__, **changes})
    sources = sources or estimator_sources(name, config)
    return probed_arm(config, AT_TRUTH.pool, sources)


def exactly(name, n, arm=None):
    """The arm's bias at the truth and away, by enumeration of its draws."""
    names, arm = ESTIMATORS[name].sources, arm or small_arm(name, n)
    own_out = arm.config.leave_own_out and not arm.config.mask_same_item
    laws = draw_laws(names, AT_TRUTH, own_out)
    return enumerated_bias(arm, (n // len(names),) * len(names), laws, WORLDS)


@pytest.mark.parametrize("n", [2, 4, 6])
@pytest.mark.parametrize("name", ["in-batch+logq", "uniform-softmax"])
def test_at_the_truth_every_column_corrected_is_unbiased(name, n):
    assert exactly(name, n)[0].bias < 1e-6


def test_the_same_item_mask_leaves_a_bias_that_grows_with_n():
    zero = []
    for n in (2, 4, 6):
        arm = small_arm("in-batch+logq", n, masked=True)
        zero.append(exactly("in-batch+logq", n, arm)[0].bias)
    assert 0.01 < zero[0] < zero[1] < zero[2] < 0.3


@pytest.mark.parametrize("name", ["in-batch+logq", "importance", "leave-own-out"])
def test_away_from_the_truth_no_estimator_is_faithful_at_small_n(name):
    two, six = (exactly(name, n)[1] for n in (2, 6))
    assert two.bias > six.bias > 0.1
    assert two.cosine < six.cosine


def test_uncorrected_is_biased_everywhere():
    zero, faithful = exactly("in-batch", 6)
    assert zero.bias > 0.2
    assert faithful.bias > 0.5


@pytest.mark.parametrize(("name", "sign"), [("in-batch", 1), ("mixed-unigram-q", -1)])
def test_without_log_q_popular_items_are_pushed_down_and_by_the_wrong_q_up(name, sign):
    sources = ESTIMATORS[name].sources
    draws = (6 // len(sources),) * len(sources)
    laws = draw_laws(sources, AWAY)
    (mean, _) = expected_error(small_arm(name, 6), (AWAY,), draws, laws)[0]
    pushed = sign * mean.sum(axis=0)[np.argsort(-np.asarray(AWAY.pool.counts))]
    assert pushed[0] > 0 > pushed[-1]
    assert abs(pushed.sum()) < 1e-5  # a gradient of a softmax sums to zero


def test_multisets_stand_for_all_sequences():
    arm = small_arm("in-batch+logq", 2)
    laws = draw_laws(("in-batch",), AWAY)
    (mean, second) = expected_error(arm, (AWAY,), (2,), laws)[0]
    ids = np.array(list(itertools.product(range(6), repeat=2)), np.int32)
    chance = laws[0][0][ids].prod(axis=1)
    run = jax.jit(
        lambda s, p: score_gradient(arm, s, p, (jnp.asarray(ids),), AWAY.pool)
    )
    by_hand, square = np.zeros((3, 6)), 0.0
    for u, p in np.ndindex(3, 6):
        scores = jnp.broadcast_to(AWAY.scores[u], (len(ids), 6))
        g = np.asarray(run(scores, jnp.full(len(ids), p, jnp.int32)))
        full = np.exp(AWAY.scores[u]) / np.exp(AWAY.scores[u]).sum()
        error = g - (full - np.eye(6)[p])
        weight = AWAY.law[u, p] / 3 * chance
        by_hand[u] += weight @ error
        square += weight @ (error**2).sum(axis=1)
    np.testing.assert_allclose(mean, by_hand, atol=1e-6)
    assert second == pytest.approx(square, rel=1e-5)
    assert multisets(6, 6)[1].sum() == 6**6


def test_the_union_q_is_the_mixture_that_is_drawn():
    arm, pool = small_arm("mixed+logq", 6), AT_TRUTH.pool
    said = union_log_q(jnp.arange(6), arm.sources, arm.source_states, pool, 0)
    share, flat = draw_laws(("in-batch", "uniform"), AT_TRUTH)
    np.testing.assert_allclose(np.exp(said), (share[0] + flat[0]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", ["in-batch+logq", "importance", "leave-own-out"])
def test_sampled_draws_agree_with_enumeration_within_their_error(name):
    """Gradients of many rows of one user and positive, each with draws of its own."""
    arm, rows, positive = small_arm(name, 4), 20_000, 2
    own_out = arm.config.leave_own_out
    laws = draw_laws(("in-batch",), AWAY, own_out)
    world = AWAY._replace(scores=AWAY.scores[:1], law=np.eye(6)[[positive]])
    (mean, _) = expected_error(arm, (world,), (4,), laws)[0]

    counts = np.asarray(world.pool.counts).round().astype(int)
    candidate = jnp.asarray(np.repeat(np.arange(6, dtype=np.int32), counts))
    zero = jnp.zeros(len(candidate), jnp.int32)
    pairs = Pairs(zero, zero, candidate, jnp.ones(len(candidate)))
    own = jnp.full(rows, positive, jnp.int32)
    scores = jnp.broadcast_to(world.scores[0], (rows, 6))

    @jax.jit
    def gradients(key):
        ids = draw_rows(key, arm, pairs, own, world.pool, leave_own_out=own_out)
        return score_gradient(arm, scores, own, ids, world.pool)

    g = np.asarray(gradients(jax.random.key(0)))
    full = np.exp(world.scores[0]) / np.exp(world.scores[0]).sum() - np.eye(6)[positive]
    error = g.std(axis=0) / np.sqrt(rows)
    assert np.all(np.abs(g.mean(axis=0) - full - mean[0]) < 4 * error + 1e-6)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("in-batch+logq", {"logq": -1.0}),
        ("in-batch+logq", {"correct_positive": False}),
        ("mixed+logq", {"sources": "mixed-unigram-q"}),
    ],
)
def test_a_wrong_q_is_found_at_the_truth(name, changes):
    right = small_arm(name, 4)
    if wrong := changes.get("sources"):
        changes = {"sources": estimator_sources(wrong, right.config)}
    found = exactly(name, 4, small_arm(name, 4, **changes))[0]
    assert found.bias > 0.05 > 10 * exactly(name, 4, right)[0].bias


def draws_of(bias, noise, m=40, size=400, seed=0):
    """Draws of an error that is known, and the gradient that it is of."""
    error, full = np.eye(2, size)[::-1]
    noises = np.random.default_rng(seed).normal(size=(m, size))
    return bias * error + noise * noises, full


def test_no_bias_is_not_mistaken_for_noise():
    found = [estimate_bias(*draws_of(0.0, 0.05, seed=s)) for s in range(20)]
    noise_floor = 0.05 * np.sqrt(400 / 40)
    assert max(f.bias for f in found) < noise_floor / 2
    assert sum(f.bias <= 2 * f.error for f in found) >= 18


def test_a_bias_below_the_noise_is_found_within_its_error():
    found = [estimate_bias(*draws_of(0.3, 0.05, seed=s)) for s in range(20)]
    assert sum(abs(f.bias - 0.3) < 2 * f.error for f in found) >= 17
    _, _, cosine, variance = np.mean(found, axis=0)
    assert variance == pytest.approx(0.0025 * 400, rel=0.05)
    assert cosine == pytest.approx(1 / np.sqrt(1.09), rel=0.01)


def test_averaging_in_a_replicate_leaves_the_variance_of_one():
    errors, full = draws_of(0.3, 0.05, m=400)
    halves = errors.reshape(200, 2, -1).mean(axis=1)
    one = estimate_bias(errors, full)
    two = estimate_bias(halves, full, repeats=2)
    assert two.variance == pytest.approx(one.variance, rel=0.05)
    assert two.bias == pytest.approx(one.bias, rel=1e-2)


def test_an_enumeration_has_no_error():
    found = exact_bias(np.array([0.0, 0.5]), 0.3, np.array([1.0, 0.0]))
    assert found == pytest.approx((0.5, 0.0, 1 / np.sqrt(1.25), 0.05))


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="2 draws"):
        estimate_bias(*draws_of(0.0, 1.0, m=2))
