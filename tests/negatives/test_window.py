"""Periodic counts: the share of the last whole window, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm
from research.entries import read
from research.negatives.frequencies import FREQUENCIES
from research.negatives.frequency import (
    init_gaps,
    init_window,
    log_share_of_gaps,
    log_share_of_window,
    observe_gaps,
    observe_window,
)
from research.negatives.laws import COUNTS, pool_of
from research.train.loop import compiled_epoch
from tests.train.begun import SMALL, begun

ITEMS, ROWS = len(COUNTS), 4
STEP = jax.jit(observe_window)


def shares_after(batches: np.ndarray, window: int, steps: int = 1) -> list[np.ndarray]:
    """q of all items before the first step and after each of these batches."""
    state = init_window({"window": window}, ITEMS, steps)
    found = []
    for step, ids in enumerate([None, *batches]):
        if ids is not None:
            state = STEP(state, jnp.asarray(ids, jnp.int32), jnp.int32(step - 1), {})
        log_q = log_share_of_window(state, pool_of(), jnp.int32(step), ROWS, {})
        found.append(np.exp(np.asarray(log_q, np.float64)))
    return found


def test_q_is_the_share_of_the_last_whole_window_and_changes_at_its_end_alone():
    batches = np.random.default_rng(0).integers(0, ITEMS, (11, ROWS))
    for window in (1, 3, 5):
        for steps, q in enumerate(shares_after(batches, window)):
            over = steps // window * window
            counted = batches[max(over - window, 0) : over].ravel()
            counts = np.bincount(counted, minlength=ITEMS)
            if not over:
                np.testing.assert_allclose(q, 1 / ITEMS, rtol=1e-6)
                continue
            held = counts > 0
            share = counts[held] / (window * ROWS)
            np.testing.assert_allclose(q[held], share, rtol=1e-5)
            np.testing.assert_allclose(q[~held], 0.3 / (window * ROWS), rtol=1e-5)


def test_an_item_twice_in_a_batch_counts_twice():
    """As a column of in-batch negatives that holds it does: q is of a draw."""
    q = shares_after(np.array([[3, 3, 3, 1]]), 1)[-1]
    np.testing.assert_allclose(q[[3, 1]], [0.75, 0.25], rtol=1e-6)


def test_after_a_shift_it_is_right_within_one_whole_window():
    """And as wrong as before until then; the streaming estimate still lags behind."""
    window, before, after = 10, 25, 15
    draw = np.random.default_rng(2)
    laws = np.array([[8, 4, 2, 1, 1, 0], [0, 1, 1, 2, 4, 8]]) / 16
    batches = np.concatenate(
        [
            draw.choice(ITEMS, (steps, 64), p=law)
            for steps, law in zip((before, after), laws, strict=True)
        ]
    )
    q = shares_after(batches, window)

    def gap(share: np.ndarray, law: np.ndarray) -> float:
        return float(np.abs(share - law).sum() / 2)

    assert gap(q[before], laws[0]) < 0.06
    # the window that holds the shift is half of either; the next is of the new law
    assert np.array_equal(q[29], q[before])
    assert gap(q[30], laws.mean(axis=0)) < 0.06
    assert np.array_equal(q[39], q[30])
    assert gap(q[40], laws[1]) < 0.06
    hyper = {"rate": jnp.float32(0.01)}
    estimate = init_gaps({"hashes": 1, "buckets": 1000}, ITEMS, 0)
    for step, ids in enumerate(batches):
        ids, at = jnp.asarray(ids, jnp.int32), jnp.int32(step)
        estimate = observe_gaps(estimate, ids, at, hyper)
    args = pool_of(), jnp.int32(len(batches)), 64, hyper
    streamed = np.exp(log_share_of_gaps(estimate, *args))
    assert streamed[0] > 10 * q[40][0]  # nothing is left of what no longer comes


def run_of(**changes):
    config = dataclasses.replace(arm("in-batch+logq-periodic", SMALL), **changes)
    return begun(config)


@pytest.mark.parametrize("window", [0, 3])
def test_an_epoch_counts_the_candidates_of_its_batches(window):
    """Of the pairs' candidates, in the compiled epoch; three windows and a step."""
    run, world, state, hyper = run_of(frequency=f"periodic,window={window}")
    order = np.random.default_rng(3).permutation(len(world.pairs.candidate))
    batches = order[: 10 * SMALL.batch].reshape(10, SMALL.batch).astype(np.int32)
    after, _ = compiled_epoch(run.config)(state, jnp.asarray(batches), hyper, world)
    candidates = np.asarray(world.pairs.candidate)[batches]
    items = len(world.pool.counts)
    parts = (candidates[9:], candidates[6:9]) if window else (candidates, [])
    for counts, part in zip(after.frequency[:2], parts, strict=True):
        ids = np.ravel(part).astype(int)
        assert np.array_equal(counts, np.bincount(ids, minlength=items))


def test_the_state_of_every_frequency_is_arrays():
    """What a checkpoint can keep; the exact share needs none."""
    for name, entry in FREQUENCIES.items():
        state = entry.init(read(name, FREQUENCIES).values, ITEMS, 7)
        leaves = jax.tree.leaves(state)
        assert all(isinstance(leaf, jax.Array) for leaf in leaves), name
        assert (entry.log_share is None) == (not leaves), name
