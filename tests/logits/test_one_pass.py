"""The one pass over many columns: what it leaves out, and how far and wide it goes."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits import one_pass
from research.logits.masks import Columns, Rows
from research.logits.reducers import LIMITS, Negatives
from research.losses import LOSSES
from research.losses.context import Context
from tests.train.test_mesh import run_on

B, ITEMS, D = 13, 40, 5
DRAW = np.random.default_rng(3)
QUERY = DRAW.normal(0, 1, (B, D)).astype(np.float32)
VECTORS = DRAW.normal(0, 1, (ITEMS, D)).astype(np.float32)
WEIGHT = DRAW.uniform(0.2, 2, B).astype(np.float32)
SMALL = 1  # blocks of 8 rows, which don't divide 13


def test_a_row_with_nothing_kept_has_neither_loss_nor_gradient():
    query, vectors = jnp.asarray(QUERY), jnp.asarray(VECTORS)
    lost = jnp.arange(ITEMS, dtype=jnp.int32)
    columns = Columns(lost, lost - 2 * lost, lost - lost, lost >= 0)
    candidate = jnp.asarray(np.where(np.arange(B) == 5, 0, 1), jnp.int32)
    rows = Rows(jnp.arange(B, dtype=jnp.int32) + 1, candidate, None)
    expected = one_pass.ExpectedCotangent(jnp.zeros(B), jnp.ones(B))

    def total(query: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        bias = jnp.zeros(ITEMS)
        found = one_pass.log_sum_exp(
            query, vectors, bias, rows, columns, expected, SMALL
        )
        return jnp.sum(jnp.logaddexp(0.0, found)), found

    (_, found), (to_query, to_vectors) = jax.value_and_grad(
        total, argnums=(0, 1), has_aux=True
    )(query, vectors)
    assert np.isneginf(found[5])
    assert np.isfinite(np.delete(found, 5)).all()
    assert (to_query[5] == 0).all()
    assert np.isfinite(to_vectors).all()


@pytest.mark.parametrize("length", [0.1, 3.0, 30.0, 60.0, 1e4])
def test_logits_may_lie_as_far_apart_as_they_like(length):
    """A bound on the logits stands in for the largest only where it is close enough.

    The last row's vector is opposite to all others, so that its logits lie twice its
    length below the bound.
    """
    along = jnp.abs(jnp.asarray(VECTORS))
    along = along / jnp.linalg.norm(along, axis=1, keepdims=True)
    query = length * jnp.concatenate([along[: B - 1], -along[:1]])
    ids = jnp.arange(len(VECTORS), dtype=jnp.int32)
    columns = Columns(ids, None, ids, ids != 3)
    candidate = jnp.arange(B, dtype=jnp.int32)
    rows = Rows(candidate, candidate, None)
    bias = -jnp.linspace(0.0, 9.0, len(VECTORS))
    expected = one_pass.ExpectedCotangent(jnp.zeros(B), jnp.ones(B))

    def in_blocks(query: jax.Array, vectors: jax.Array) -> jax.Array:
        return one_pass.log_sum_exp(
            query, vectors, bias, rows, columns, expected, SMALL
        )

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


def test_logits_are_never_held_whole():
    """The memory that a step asks for grows with the rows, not with rows by columns."""
    b, c, d = 1024, 1 << 15, 8
    ids = jnp.arange(c, dtype=jnp.int32)
    columns = Columns(ids, ids - c, ids - c, ids >= 0)
    place = jnp.arange(b, dtype=jnp.int32)
    rows = Rows(place, place, None)

    def total(query: jax.Array, vectors: jax.Array) -> jax.Array:
        expected = one_pass.ExpectedCotangent(jnp.zeros(b), jnp.ones(b))
        bias = jnp.zeros(c)
        size = LIMITS.row_block
        return jnp.sum(
            one_pass.log_sum_exp(query, vectors, bias, rows, columns, expected, size)
        )

    compiled = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    given = jnp.ones((b, d)), jnp.ones((c, d))
    about = compiled.lower(*given).compile().memory_analysis()
    assert about.temp_size_in_bytes < 4 * b * c / 2


@dataclasses.dataclass
class Reduced(Negatives):
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
def test_the_gradient_of_a_loss_in_one_pass_is_as_expected(name):
    """Otherwise blocks are seen twice, and it had better be held whole for longer."""
    positive, found = jnp.asarray(DRAW.normal(0, 2, (2, B)), jnp.float32)

    context = Context(jnp.asarray(QUERY), jnp.asarray(QUERY))

    def total(found: jax.Array) -> jax.Array:
        values = LOSSES[name](positive, Reduced(found), {}, context)
        return jnp.sum(jnp.asarray(WEIGHT) * values)

    expected = jnp.asarray(WEIGHT) * jax.nn.sigmoid(found - positive)
    ratio = jax.grad(total)(found) / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=one_pass.SAME)


@pytest.mark.slow
def test_devices_loop_over_their_own_rows_alone():
    found = json.loads(run_on(8, "tests.logits.blocks_run"))
    left, told = found["False"], found["True"]
    assert left["talks"] > 0, "what the compiler does unless it is told"
    assert told["talks"] == 0
    assert told["apart"] < 1e-6
