"""Weighted sums over a history, by column or whole: the sum, and its own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.towers.inputs import SHORT, pooled, rows_of


@pytest.mark.parametrize("length", [1, 5, SHORT, SHORT + 1])
def test_the_sum_and_both_gradients_are_those_of_the_definition(length):
    draw = np.random.default_rng(0)
    table = jnp.asarray(draw.normal(size=(9, 4)), jnp.float32)
    ids = jnp.asarray(draw.integers(0, 9, (3, length)), jnp.int32)
    weight = jnp.asarray(draw.normal(size=(3, length)), jnp.float32)
    np.testing.assert_array_equal(rows_of(table, ids), table[ids])

    def defined(weight: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sum(weight[:, :, None] * rows, axis=1) ** 2)

    def found(weight: jax.Array, rows: jax.Array) -> jax.Array:
        return jnp.sum(pooled(weight, rows) ** 2)

    given = weight, table[ids]
    both = (jax.value_and_grad(f, argnums=(0, 1))(*given) for f in (found, defined))
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
