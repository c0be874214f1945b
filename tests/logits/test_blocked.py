"""Blocked negatives against dense ones: the same losses and the same gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.candidates import Block, candidate_logits
from research.logits.masks import UserPositives
from research.logits.reducers import WHOLE, Blocked, Dense, Plan
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.entry import DENSE
from research.losses.top_k import Thresholds
from research.negatives.laws import hyper_of, pool_of
from research.negatives.source import Drawn
from research.temperature.kinds import Temperature
from research.types import Pairs
from tests.negatives.small import ready

B, ITEMS, D = 13, 40, 5
DRAW = np.random.default_rng(3)
CANDIDATE = DRAW.integers(0, ITEMS, B)
UNIFORM = DRAW.integers(0, ITEMS, 29)
QUERY = DRAW.normal(0, 1, (B, D)).astype(np.float32)
VECTORS = DRAW.normal(0, 1, (ITEMS, D)).astype(np.float32)
WEIGHT = DRAW.uniform(0.2, 2, B).astype(np.float32)
POOL = pool_of(DRAW.integers(1, 30, ITEMS))
KEPT = DRAW.random(29) < 0.7
# Blocks of 8 columns or 8 rows, which divide neither 42 columns nor 13 rows.
SMALL = Plan(columns=8, row_block=1)


def known_of(form: str) -> UserPositives:
    """Three items a row, the positive among them: as bits, or as sorted ids."""
    own = np.sort(np.stack([(CANDIDATE + n) % ITEMS for n in (0, 3, 11)], axis=1))
    if form == "ids":
        return UserPositives(jnp.zeros((B, 0), jnp.uint32), jnp.asarray(own, jnp.int32))
    bits = np.zeros((B, -(-ITEMS // 32)), np.uint32)
    for row, item in zip(np.repeat(np.arange(B), 3), own.ravel(), strict=True):
        bits[row, item >> 5] |= np.uint32(1) << np.uint32(item & 31)
    return UserPositives(jnp.asarray(bits), jnp.zeros((B, 0), jnp.int32))


def both(
    config: Config,
    losses: tuple[str, ...] = ("sampled-softmax",),
    known: UserPositives | None = None,
    temperature: Temperature | None = None,
) -> list[Any]:
    """Losses, counts, and the gradients of the losses' sum: dense, then blocked."""
    sources, states = ready(config, POOL)
    columns = (CANDIDATE, UNIFORM, DRAW.integers(0, ITEMS, (B, 3)))
    batch = Pairs(
        *jnp.asarray(np.arange(2 * B).reshape(2, B), jnp.int32),
        jnp.asarray(CANDIDATE, jnp.int32),
        jnp.asarray(WEIGHT),
    )
    hyper = hyper_of(config) | {"items": jnp.float32(ITEMS)}
    for loss in losses:
        own = {n: v for n, (v, _) in LOSSES[loss].hyper.items()}
        own |= LOSSES[loss].trainable
        hyper |= {name: jnp.float32(value) for name, value in own.items()}
    divisor = temperature or Temperature(hyper["temperature"])

    def total(
        query: jax.Array, vectors: jax.Array, plan: Plan
    ) -> tuple[jax.Array, Any]:
        blocks = []
        for source, state, ids in zip(sources, states, columns):
            kept = jnp.asarray(KEPT) if len(ids) == len(KEPT) else None
            drawn = Drawn(jnp.asarray(ids, jnp.int32), kept=kept)
            blocks.append(Block(source, state, drawn, vectors[drawn.ids]))
        pair, made = (query, vectors[batch.candidate]), tuple(blocks)
        own, negatives = candidate_logits(
            config, *pair, made, batch, POOL, known, hyper, divisor, plan
        )
        catalogue = jax.lax.stop_gradient(query @ vectors.T) / hyper["temperature"]
        state = Thresholds(jnp.zeros(len(query)), jnp.zeros((len(query), 0), jnp.int32))
        context = Context(*pair, catalogue, state)
        values = {n: LOSSES[n](own, negatives, hyper, context) for n in losses}
        values["at half the scale"] = negatives.logsumexp(0.5)
        total = sum(jnp.mean(batch.weight * value) for value in values.values())
        return total, (values, negatives.count())

    found = []
    for plan in (WHOLE, SMALL):
        (_, values), grads = jax.jit(
            jax.value_and_grad(total, argnums=(0, 1), has_aux=True), static_argnums=2
        )(jnp.asarray(QUERY), jnp.asarray(VECTORS), plan)
        found.append((values, grads))
    return found


def agree(found: list[Any]) -> None:
    for dense, blocked in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(blocked, dense, rtol=1e-5, atol=1e-5)
    assert np.abs(found[0][1][1]).max() > 0.01  # there is a gradient to agree on


SHARED = Config(
    negatives=("in-batch", "uniform:29"), logq=0.7, temperature=0.4, batch=B, dim=D
)


def test_every_loss_agrees_with_the_dense_one():
    agree(both(SHARED, tuple(n for n in LOSSES if DENSE not in LOSSES[n].needs)))


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_same_item": True},
        {"leave_own_out": True, "correct_positive": False},
        {"expected_count": True},
        {"negatives": ("in-batch", "uniform:29", "uniform-per-row:3")},
        {"negatives": ("in-batch-part:5", "uniform:29")},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_every_correction_and_source_agrees(changes):
    config = dataclasses.replace(SHARED, **changes)
    agree(both(config, ("sampled-softmax", "bpr")))


@pytest.mark.parametrize("logq", [0.7, 1.0])
def test_a_corrected_softmax_sees_each_block_once(logq):
    """The one pass knows the gradient of a row that has a shift of its own.

    Were it another, the blocks would be computed again: a third of the step's time.
    """
    config = dataclasses.replace(SHARED, logq=logq, expected_count=True)
    sources, states = ready(config, POOL)
    item = jnp.asarray(CANDIDATE, jnp.int32)
    drawn = [Drawn(item), Drawn(jnp.asarray(UNIFORM, jnp.int32))]
    vectors = jnp.asarray(VECTORS)
    blocks = tuple(
        Block(source, state, ids, vectors[ids.ids])
        for source, state, ids in zip(sources, states, drawn, strict=True)
    )
    weight = jnp.asarray(WEIGHT)
    batch = Pairs(item, jnp.arange(B, dtype=jnp.int32), item, weight)
    given = jnp.asarray(QUERY), vectors[item], blocks, batch, POOL, None
    positive, union = candidate_logits(config, *given, hyper_of(config), plan=SMALL)
    (shared,) = union.parts
    assert np.abs(shared.shift).min() > 0.5
    share = jax.nn.sigmoid(shared.logsumexp() - positive)  # of the negatives, in all
    unshifted = shared.logsumexp() - shared.shift
    expected = jax.nn.sigmoid(unshifted - shared.expected.anchor)
    np.testing.assert_allclose(expected, share, rtol=1e-5)


@pytest.mark.parametrize("form", ["bits", "ids"])
def test_the_users_positives_are_masked_in_blocks_too(form):
    found = both(SHARED, known=known_of(form))
    agree(found)
    assert (found[1][0][1] < both(SHARED)[1][0][1]).any()


@pytest.mark.parametrize("kind", ["row", "item"])
def test_a_temperature_of_each_row_or_item_agrees(kind):
    row = jnp.asarray(DRAW.uniform(0.2, 1, B), jnp.float32)
    item = jnp.asarray(DRAW.uniform(0.2, 1, ITEMS), jnp.float32)
    divisor = Temperature(row) if kind == "row" else Temperature(row[0], item)
    agree(both(SHARED, temperature=divisor))


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.5, -1.0])
def test_blocks_reduce_as_the_whole_does_at_every_scale(scale):
    """Five blocks of eight columns; the last row keeps none."""
    z = jnp.asarray(DRAW.normal(0, 3, (B, ITEMS)), jnp.float32)
    keep = jnp.asarray(DRAW.random((B, ITEMS)) < 0.5).at[-1].set(False)

    def cut(whole: jax.Array) -> jax.Array:
        return whole.reshape(B, 5, 8).swapaxes(0, 1)

    def in_blocks(z: jax.Array) -> jax.Array:
        chunks = cut(z), cut(keep)
        return Blocked(B, lambda chunk: Dense(*chunk), chunks).logsumexp(scale)

    found, pull = jax.vjp(in_blocks, z)
    wanted, pull_dense = jax.vjp(lambda z: Dense(z, keep).logsumexp(scale), z)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    given = jnp.linspace(-1.0, 2.0, B).at[-1].set(0.0)
    np.testing.assert_allclose(*pull(given), *pull_dense(given), rtol=1e-4, atol=1e-6)
