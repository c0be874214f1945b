"""Caches: what they hold, when they are warm, and that nothing flows back into them."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.candidates import Block, candidate_logits, masked_share
from research.negatives.caches import vector_cache
from research.negatives.laws import COUNTS, batch_of, pool_of
from research.train.loop import compiled_epoch
from research.train.run_state import traced_values
from tests.negatives.small import ready
from tests.train.begun import SMALL, begun

DIM = 3
ALL = jnp.arange(len(COUNTS), dtype=jnp.int32)


def config_of(*negatives: str, batch: int = 4, **changes) -> Config:
    return Config(batch=batch, dim=DIM, negatives=negatives, **changes)


def vectors_at(step: int, candidate: np.ndarray) -> jnp.ndarray:
    """A vector that says of which item it is, and when it was made."""
    about = np.stack([candidate, np.full(len(candidate), step)], axis=1)
    return jnp.asarray(np.pad(about, ((0, 0), (0, DIM - 2))), jnp.float32)


def filled(config: Config, candidates: np.ndarray, pool=None):
    """A cache after these batches [s, b]."""
    pool = pool or pool_of()
    (source,), (state,) = ready(config, pool)
    for step, row in enumerate(candidates):
        state = source.update(state, batch_of(row), vectors_at(step, row), pool)
    return source, state, pool


@pytest.mark.parametrize("size", [8, 10, 4])
def test_a_fifo_holds_the_last_positives_and_their_vectors(size):
    """Also where batches straddle the end of the ring."""
    draw = np.random.default_rng(0)
    candidates = draw.integers(0, len(COUNTS), (7, 4))
    source, state, pool = filled(config_of(f"fifo-cache:{size}"), candidates)
    drawn = source.draw(jax.random.key(0), batch_of([0]), state, pool)
    steps = np.repeat(np.arange(7), 4)
    last = list(zip(candidates.ravel(), steps, strict=True))[-size:]
    held = list(zip(np.asarray(drawn.ids), np.asarray(drawn.vectors)[:, 1]))
    assert sorted(held) == sorted(last)
    assert np.array_equal(drawn.vectors[:, 0], drawn.ids)


@pytest.mark.parametrize(
    ("spec", "warmup", "first"),
    [
        ("fifo-cache:10", 0, 3),  # full after 3 batches of 4
        ("fifo-cache:8", 0, 2),
        ("fifo-cache:8", 5, 5),
        ("vector-cache:5", 0, 2),
        ("vector-cache:5", 4, 4),
    ],
)
def test_a_cache_draws_nothing_until_it_is_warm(spec, warmup, first):
    candidates = np.array([[0, 1, 2, 3], [4, 5, 0, 1]] * 4)
    for steps in range(7):
        config = config_of(f"{spec},warmup={warmup}")
        source, state, pool = filled(config, candidates[:steps])
        drawn = source.draw(jax.random.key(0), batch_of([0]), state, pool)
        warm = steps >= first
        assert drawn.kept.tolist() == [warm] * len(drawn.ids), steps
        number = int(spec.partition(":")[2])
        assert float(source.draws(state, pool, 4)) == warm * number


@pytest.mark.parametrize("spec", ["fifo-cache:8", "vector-cache:5"])
def test_a_cold_cache_changes_no_logit_and_is_no_masked_cell(spec):
    """Weight 0 in the mixture without 0 / 0, no column kept."""
    rng = np.random.default_rng(1)
    pool, batch = pool_of(), batch_of([0, 5, 3, 5])
    query, items = rng.normal(size=(4, DIM)), rng.normal(size=(len(COUNTS), DIM))
    items = jnp.asarray(items, jnp.float32)

    def logits(*negatives: str):
        config = config_of(*negatives, logq=1.0, expected_count=True)
        sources, states = ready(config, pool)
        blocks = []
        for source, state in zip(sources, states, strict=True):
            drawn = source.draw(jax.random.key(0), batch, state, pool)
            blocks.append(Block(source, state, drawn, items[drawn.ids]))
        own, dense = candidate_logits(
            config, jnp.asarray(query, jnp.float32), items[batch.candidate],
            tuple(blocks), batch, pool, None, traced_values(config),
        )  # fmt: skip
        return own, dense.logsumexp(), masked_share(dense, tuple(blocks))

    for with_cache, without in zip(logits("in-batch", spec), logits("in-batch")):
        np.testing.assert_allclose(with_cache, without, rtol=1e-6)
    own, total, masked = logits(spec)  # nothing at all is drawn
    assert np.isfinite(own).all()
    assert (total == -np.inf).all()
    assert masked == 0.0


def test_a_vector_cache_keeps_the_latest_vector_of_each_item():
    candidates = np.array([[0, 1, 1, 3], [0, 5, 5, 5], [3, 3, 1, 1]])
    source, state, pool = filled(config_of("vector-cache:4"), candidates)
    assert state.held.tolist() == [True, True, False, True, False, True]
    many = vector_cache(100, Config(batch=4, dim=DIM))
    drawn = many.draw(jax.random.key(0), batch_of([0]), state, pool)
    stored = dict(
        zip(drawn.ids.tolist(), np.asarray(drawn.vectors)[:, :2], strict=True)
    )
    assert sorted(stored) == [0, 1, 3, 5]
    latest = {0: 1.0, 1: 2.0, 3: 2.0, 5: 1.0}
    for item, step in latest.items():
        assert stored[item].tolist() == [item, step]
    q = np.exp(source.log_q(ALL, state, pool))
    np.testing.assert_allclose(q, [0.25, 0.25, 0, 0.25, 0, 0.25], rtol=1e-6)


def test_nothing_flows_back_into_stored_vectors():
    """Neither when they are drawn nor when they are stored."""
    for spec in ("fifo-cache:12", "vector-cache:4"):  # with slots that nothing fills
        candidates = np.array([[0, 1, 3, 5]])
        source, state, pool = filled(config_of(spec), candidates)
        batch = batch_of(candidates[0])

        def total(stored, fresh, source=source, state=state, pool=pool, batch=batch):
            state = source.update(state._replace(vectors=stored), batch, fresh, pool)
            drawn = source.draw(jax.random.key(0), batch, state, pool)
            return jnp.sum(jnp.exp(drawn.vectors))

        fresh = vectors_at(1, candidates[0])
        grads = jax.grad(total, argnums=(0, 1))(state.vectors, fresh)
        assert all((g == 0.0).all() for g in grads)


def test_the_stored_q_is_that_of_when_it_was_stored():
    config = config_of("fifo-cache-stored:8")
    source, state, pool = filled(config, np.array([[0, 1, 3, 5], [5, 5, 0, 0]]))
    now = pool._replace(log_share=jnp.zeros(len(COUNTS)))
    drawn = source.draw(jax.random.key(0), batch_of([0]), state, now)
    np.testing.assert_allclose(drawn.log_q, pool.log_share[drawn.ids])
    assert (source.log_q(ALL, state, now) == 0.0).all()


def test_an_epoch_updates_the_bank_in_place():
    """No copy of it in what the compiler made of the scan."""
    negatives = "in-batch", "fifo-cache:192"
    run, world, state, hyper = begun(dataclasses.replace(SMALL, negatives=negatives))
    batches = jnp.zeros((3, 64), jnp.int32)
    lowered = compiled_epoch(run.config).lower(state, batches, hyper, world)
    text = lowered.compile().as_text()
    assert re.search(r"f32\[192,8\]\S* dynamic-update-slice\(", text)
    assert not re.search(r"f32\[192,8\]\S* copy\(", text)
