"""How parameters move: the optimiser owns the scatter of row gradients into tables."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

__all__ = ["Touched", "apply_dense", "init_dense"]

Hyper = dict[str, Float[Array, ""]]


class Touched(NamedTuple):
    """Gradient with respect to the rows of one table that a step looked up."""

    table: str
    ids: Int[Array, "..."]
    grads: Float[Array, "... d"]


def init_dense(params: Any) -> optax.OptState:
    """State of adam over all parameters, tables included."""
    with jax.numpy_dtype_promotion("standard"):
        return optax.scale_by_adam().init(params)


def apply_dense(
    params: Any,
    nets: Any,
    touched: list[Touched],
    state: optax.OptState,
    hyper: Hyper,
) -> tuple[Any, optax.OptState]:
    """One step of AdamW [loshchilov2019] on every parameter.

    Args:
      params: {"tables": ..., other groups}.
      nets: gradients of the other groups.
      touched: row gradients; rows looked up twice are summed first.
      state: of init_dense.
      hyper: learning_rate and weight_decay, traced.
    """
    tables = {n: jnp.zeros_like(t) for n, t in params["tables"].items()}
    for t in touched:
        rows = t.grads.reshape(-1, t.grads.shape[-1])
        tables[t.table] = tables[t.table].at[t.ids.reshape(-1)].add(rows)
    grads = {**nets, "tables": tables}
    rate, decay = hyper["learning_rate"], hyper["weight_decay"]
    with jax.numpy_dtype_promotion("standard"):
        updates, state = optax.scale_by_adam().update(grads, state)
    params = jax.tree.map(lambda p, u: p - rate * (u + decay * p), params, updates)
    return params, state
