"""Blocked negatives against dense ones: the same losses and the same gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import blocking
from research.candidates import Block, candidate_logits
from research.config import Config
from research.corrections import Known
from research.losses import LOSSES, Context, columns, one_pass
from research.losses.columns import Columns, Rows
from research.negatives.source import Batch, Drawn
from research.temperature import Temperature
from tests.negatives.small import hyper_of, pool_of, ready

B, ITEMS, D = 13, 40, 5
DRAW = np.random.default_rng(3)
CANDIDATE = DRAW.integers(0, ITEMS, B)
UNIFORM = DRAW.integers(0, ITEMS, 29)
QUERY = DRAW.normal(0, 1, (B, D)).astype(np.float32)
VECTORS = DRAW.normal(0, 1, (ITEMS, D)).astype(np.float32)
WEIGHT = DRAW.uniform(0.2, 2, B).astype(np.float32)
POOL = pool_of(DRAW.integers(1, 30, ITEMS))
KEPT = DRAW.random(29) < 0.7


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 8 rows or 8 columns, which divide neither 13 rows nor 42 columns."""
    monkeypatch.setattr(columns, "CELLS", 1)
    monkeypatch.setattr(blocking, "width", lambda rows: 8)


def known_of(form: str) -> Known:
    """Three items a row, the positive among them: as bits, or as sorted ids."""
    own = np.sort(np.stack([(CANDIDATE + n) % ITEMS for n in (0, 3, 11)], axis=1))
    if form == "ids":
        return Known(jnp.zeros((B, 0), jnp.uint32), jnp.asarray(own, jnp.int32))
    bits = np.zeros((B, -(-ITEMS // 32)), np.uint32)
    for row, item in zip(np.repeat(np.arange(B), 3), own.ravel(), strict=True):
        bits[row, item >> 5] |= np.uint32(1) << np.uint32(item & 31)
    return Known(jnp.asarray(bits), jnp.zeros((B, 0), jnp.int32))


def both(
    config: Config,
    losses: tuple[str, ...] = ("sampled-softmax",),
    known: Known | None = None,
    temperature: Temperature | None = None,
) -> list[Any]:
    """Losses, counts, and the gradients of the losses' sum: dense, then blocked."""
    sources, states = ready(config, POOL)
    columns = (CANDIDATE, UNIFORM, DRAW.integers(0, ITEMS, (B, 3)))
    batch = Batch(
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
        query: jax.Array, vectors: jax.Array, blocked: bool
    ) -> tuple[jax.Array, Any]:
        blocks = []
        for source, state, ids in zip(sources, states, columns):
            kept = jnp.asarray(KEPT) if len(ids) == len(KEPT) else None
            drawn = Drawn(jnp.asarray(ids, jnp.int32), kept=kept)
            blocks.append(Block(source, state, drawn, vectors[drawn.ids]))
        make = blocking.blocked_logits if blocked else candidate_logits
        positive = vectors[batch.candidate]
        own, negatives = make(
            config, query, positive, tuple(blocks), batch, POOL, known, hyper, divisor
        )
        pair = Context(query, positive)
        values = {n: LOSSES[n](own, negatives, hyper, pair) for n in losses}
        total = sum(jnp.mean(batch.weight * value) for value in values.values())
        return total, (values, negatives.count())

    found = []
    for blocked in (False, True):
        (_, values), grads = jax.jit(
            jax.value_and_grad(total, argnums=(0, 1), has_aux=True), static_argnums=2
        )(jnp.asarray(QUERY), jnp.asarray(VECTORS), blocked)
        found.append((values, grads))
    return found


def agree(found: list[Any]) -> None:
    for dense, blocked in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(blocked, dense, rtol=1e-5, atol=1e-5)
    assert np.abs(found[0][1][1]).max() > 0.01  # there is a gradient to agree on


SHARED = Config(
    negatives=("in-batch", "uniform:29"), logq=1.0, temperature=0.4, batch=B, dim=D
)


def test_every_loss_agrees_with_the_dense_one():
    agree(both(SHARED, tuple(LOSSES)))


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
    agree(both(dataclasses.replace(SHARED, **changes)))


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


def test_a_row_with_nothing_kept_has_neither_loss_nor_gradient():
    query, vectors = jnp.asarray(QUERY), jnp.asarray(VECTORS)
    lost = jnp.arange(ITEMS, dtype=jnp.int32)
    columns = Columns(lost - 2 * lost, lost - lost, lost, lost >= 0)
    candidate = jnp.asarray(np.where(np.arange(B) == 5, 0, 1), jnp.int32)
    rows = Rows(jnp.arange(B, dtype=jnp.int32) + 1, candidate, None)
    told = one_pass.Foretold(jnp.zeros(B), jnp.ones(B))

    def total(query: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        bias = jnp.zeros(ITEMS)
        found = one_pass.log_sum_exp(query, vectors, bias, rows, columns, told)
        return jnp.sum(jnp.logaddexp(0.0, found)), found

    (_, found), (to_query, to_vectors) = jax.value_and_grad(
        total, argnums=(0, 1), has_aux=True
    )(query, vectors)
    assert np.isneginf(found[5])
    assert np.isfinite(np.delete(found, 5)).all()
    assert (to_query[5] == 0).all()
    assert np.isfinite(to_vectors).all()


@pytest.mark.parametrize("length", [0.1, 3.0, 30.0, 1e4])
def test_logits_may_lie_as_far_apart_as_they_like(length):
    """A bound on the logits stands in for the largest only where it is close enough.

    The last row's vector is opposite to all others, so that its logits lie twice its
    length below the bound.
    """
    along = jnp.abs(jnp.asarray(VECTORS))
    along = along / jnp.linalg.norm(along, axis=1, keepdims=True)
    query = length * jnp.concatenate([along[: B - 1], -along[:1]])
    ids = jnp.arange(len(VECTORS), dtype=jnp.int32)
    columns = Columns(None, ids, ids, ids != 3)
    candidate = jnp.arange(B, dtype=jnp.int32)
    rows = Rows(candidate, candidate, None)
    bias = -jnp.linspace(0.0, 9.0, len(VECTORS))
    told = one_pass.Foretold(jnp.zeros(B), jnp.ones(B))

    def in_blocks(query: jax.Array, vectors: jax.Array) -> jax.Array:
        return one_pass.log_sum_exp(query, vectors, bias, rows, columns, told)

    def dense(query: jax.Array, vectors: jax.Array) -> jax.Array:
        z = query @ vectors.T + bias[None, :]
        kept = (candidate[:, None] != ids[None, :]) & (ids != 3)[None, :]
        return jax.nn.logsumexp(jnp.where(kept, z, -jnp.inf), axis=1)

    given = jnp.linspace(-1.0, 2.0, B)
    found, pull = jax.vjp(in_blocks, query, along)
    wanted, pull_dense = jax.vjp(dense, query, along)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for one, other in zip(pull(given), pull_dense(given), strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=3e-5 * scale)


def test_without_a_usable_column_no_row_has_a_loss():
    none = jnp.zeros(ITEMS, jnp.int32)
    columns = Columns(None, none, none, none > 0)
    rows = Rows(jnp.arange(B), jnp.ones(B, jnp.int32), None)
    told = one_pass.Foretold(jnp.zeros(B), jnp.ones(B))
    found, pull = jax.vjp(
        lambda q, v: one_pass.log_sum_exp(q, v, jnp.zeros(ITEMS), rows, columns, told),
        jnp.asarray(QUERY),
        jnp.asarray(VECTORS),
    )
    assert np.isneginf(found).all()
    for gradient in pull(jnp.ones(B)):
        assert (gradient == 0).all()


def test_logits_are_never_held_whole():
    """The memory that a step asks for grows with the rows, not with rows by columns."""
    b, c, d = 1024, 1 << 15, 8
    ids = jnp.arange(c, dtype=jnp.int32)
    columns = Columns(ids - c, ids - c, ids, ids >= 0)
    place = jnp.arange(b, dtype=jnp.int32)
    rows = Rows(place, place, None)

    def total(query: jax.Array, vectors: jax.Array) -> jax.Array:
        told = one_pass.Foretold(jnp.zeros(b), jnp.ones(b))
        bias = jnp.zeros(c)
        found = one_pass.log_sum_exp(query, vectors, bias, rows, columns, told)
        return jnp.sum(found)

    compiled = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    given = jnp.ones((b, d)), jnp.ones((c, d))
    about = compiled.lower(*given).compile().memory_analysis()
    assert about.temp_size_in_bytes < 4 * b * c / 2


@dataclasses.dataclass
class Reduced:
    """Negatives of which nothing can be asked but the one log-sum-exp."""

    found: jax.Array

    def logsumexp(self, scale: float = 1.0) -> jax.Array:
        assert scale == 1.0
        return self.found

    def sum(self, f: Any) -> jax.Array:
        raise AssertionError("another pass")

    def count(self) -> jax.Array:
        raise AssertionError("another pass")


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if loss.one_pass])
def test_the_gradient_of_a_loss_in_one_pass_is_as_foretold(name):
    """Otherwise blocks are seen twice, and it had better be held whole for longer."""
    positive, found = jnp.asarray(DRAW.normal(0, 2, (2, B)), jnp.float32)

    context = Context(jnp.asarray(QUERY), jnp.asarray(QUERY))

    def total(found: jax.Array) -> jax.Array:
        values = LOSSES[name](positive, Reduced(found), {}, context)
        return jnp.sum(jnp.asarray(WEIGHT) * values)

    foretold = jnp.asarray(WEIGHT) * jax.nn.sigmoid(found - positive)
    ratio = jax.grad(total)(found) / foretold
    np.testing.assert_allclose(ratio, ratio[0], rtol=one_pass.SAME)
