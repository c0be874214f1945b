"""The streaming estimate: the published algorithms, their traps, what they reach."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm
from research.negatives.frequency import (
    Estimate,
    at_least_one,
    buckets_of,
    init_gaps,
    log_q_error,
    log_share_of_gaps,
    observe_gaps,
    per_draw,
)
from research.negatives.source import Pool
from research.train.loop import train
from research.types import UNSEEN
from tests.train.begun import SMALL
from tests.world import made_fold

HYPER = {"rate": jnp.float32(0.1)}
STEP = jax.jit(observe_gaps)


def start(hashes: int, buckets: int) -> Estimate:
    return init_gaps({"hashes": hashes, "buckets": buckets}, 0, 0)


def observed(estimate: Estimate, batches) -> Estimate:
    for t, ids in enumerate(batches):
        estimate = STEP(estimate, jnp.asarray(ids, jnp.int32), jnp.int32(t), HYPER)
    return estimate


def test_the_average_gap_is_that_of_the_published_loop():
    """Algorithm 2 in plain Python, an item once a step, begun at its first gap."""
    draw = np.random.default_rng(0)
    batches = [draw.integers(0, 8, 6) for _ in range(60)]
    last, gap = {}, {}
    for t, ids in enumerate(batches):
        for y in set(ids.tolist()):
            if y in gap:
                gap[y] = 0.9 * gap[y] + 0.1 * (t - last[y])
            elif y in last:
                gap[y] = float(t - last[y])
            last[y] = t
    estimate = observed(start(1, 100_003), batches)
    ids = jnp.arange(8, dtype=jnp.int32)
    assert len(set(buckets_of(ids, estimate)[0].tolist())) == 8
    p = at_least_one(estimate, ids, jnp.int32(60))
    np.testing.assert_allclose(p, [1 / gap[y] for y in range(8)], rtol=1e-5)


def test_the_estimate_starts_at_the_first_observed_gap():
    """And not at the time before an item was ever seen."""
    estimate = observed(start(1, 1000), [[9]] * 50 + [[4], [9], [4]])
    ids = jnp.array([4, 9, 7], jnp.int32)
    p = at_least_one(estimate, ids, jnp.int32(53))
    gap_of_9 = 0.9 * 1 + 0.1 * 2
    np.testing.assert_allclose(p, [1 / 2, 1 / gap_of_9, 1 / 53], rtol=1e-5)


def test_several_hashes_take_the_longest_gap():
    """Algorithm 3: a collision shortens a gap."""
    estimate = start(3, 300)
    ids = jnp.array([11], jnp.int32)
    at = buckets_of(ids, estimate)[:, 0]
    gap = estimate.gap.at[jnp.arange(3), at].set(jnp.array([4.0, 10.0, 2.0]))
    p = at_least_one(estimate._replace(gap=gap), ids, jnp.int32(99))
    np.testing.assert_allclose(p, [0.1], rtol=1e-6)


def test_buckets_are_over_all_hashes_and_hashes_differ():
    estimate = start(4, 5000)
    assert estimate.gap.shape == (4, 1250)
    at = np.asarray(buckets_of(jnp.arange(5000, dtype=jnp.int32), estimate))
    assert at.min() >= 0
    assert at.max() < 1250
    for row in at:  # near the 1 - 1 / e of a random function, per bucket
        assert np.bincount(row, minlength=1250).max() < 25
    assert np.mean(at[0] == at[1]) < 0.01


def test_p_of_a_batch_and_q_of_a_draw_convert_into_each_other():
    q = np.array([0.5, 0.01, 1e-4, 1e-7])
    p = 1 - (1 - q) ** 512
    np.testing.assert_allclose(per_draw(jnp.asarray(p, jnp.float32), 512)[1:3],
                               q[1:3], rtol=2e-3)  # fmt: skip
    assert abs(float(per_draw(jnp.array([0.0]), 512)[0])) == 0.0


def test_an_item_that_never_comes_up_does_not_sink_below_the_floor():
    """Its estimate falls with the steps, as if nothing were known of the pool."""
    estimate = observed(start(1, 100), [[0]] * 3)
    counts = jnp.array([3e5, 0.0])
    pool, floor = Pool(counts, counts), jnp.log(UNSEEN / 3e5)
    steps = [jnp.int32(step) for step in (10**3, 10**6, 10**9)]
    log_q = [log_share_of_gaps(estimate, pool, at, 4, HYPER)[1] for at in steps]
    assert log_q[0] > floor
    assert log_q[1] == log_q[2] == pytest.approx(float(floor), rel=1e-6)


def test_the_error_of_log_q_is_a_mean_over_pairs():
    counts = jnp.array([3.0, 1.0, 0.0])
    off = jnp.log(jnp.array([0.75, 0.25, 0.1])) + jnp.array([0.0, 1.0, 5.0])
    assert float(log_q_error(off, counts)) == pytest.approx(0.25)


def test_the_estimate_nears_the_exact_share():
    """Pairs in batches of 32, drawn from a fixed law: an error below 0.1 nats."""
    share = 1 / np.arange(10, 210)
    share /= share.sum()
    draw = np.random.default_rng(0)
    batches = jnp.asarray(draw.choice(200, size=(4000, 32), p=share), jnp.int32)
    hyper = {"rate": jnp.float32(0.01)}

    def step(estimate, row):
        return observe_gaps(estimate, row[1], row[0], hyper), None

    times = jnp.arange(4000, dtype=jnp.int32)
    estimate, _ = jax.lax.scan(step, start(2, 20_000), (times, batches))
    counts = jnp.asarray(share * 1e6, jnp.float32)
    log_q = log_share_of_gaps(estimate, Pool(counts, counts), times[-1] + 1, 32, hyper)
    error = float(log_q_error(log_q, counts))
    assert error < 0.1
    # p of being in a batch, taken for q of a draw, is another law.
    p = at_least_one(estimate, jnp.arange(200, dtype=jnp.int32), jnp.int32(4000))
    assert float(log_q_error(jnp.log(p), counts)) > 2.0


def test_it_runs_inside_the_loop_and_its_error_is_logged():
    small = dataclasses.replace(SMALL, epochs=4)
    config = arm("in-batch+logq-streaming", small)
    config = dataclasses.replace(config, frequency="streaming,rate=0.05")
    done = train(config, made_fold())
    errors = [row["log_q_error"] for row in done.history]
    assert errors[-1] < 0.4
    assert errors[-1] < errors[0]
    exact = train(arm("in-batch+logq", small), made_fold())
    assert "log_q_error" not in exact.history[0]
