"""How parameters move: the optimiser owns the scatter of row gradients into tables."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from research.train.row_rules import LAZY_ADAM, ROWWISE_ADAGRAD, RowRule
from research.train.row_sparse import apply_rows, init_rows
from research.train.touched import Hyper, Touched

__all__ = ["OPTIMISERS", "Optimiser", "apply_dense", "init_dense"]


class Optimiser(NamedTuple):
    """init(params) makes the state; apply is one step, as in apply_dense."""

    init: Callable[[Any], Any]
    apply: Callable[[Any, Any, list[Touched], Any, Hyper], tuple[Any, Any]]


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
      hyper: learning_rate, weight_decay and table_rate, traced.
    """
    tables = {n: jnp.zeros_like(t) for n, t in params["tables"].items()}
    for t in touched:
        rows = t.grads.reshape(-1, t.grads.shape[-1])
        tables[t.table] = tables[t.table].at[t.ids.reshape(-1)].add(rows)
    grads = {**nets, "tables": tables}
    rate, decay = hyper["learning_rate"], hyper["weight_decay"]
    with jax.numpy_dtype_promotion("standard"):
        updates, state = optax.scale_by_adam().update(grads, state)
    rates = dict.fromkeys(nets, rate) | {"tables": rate * hyper["table_rate"]}
    moved = {
        name: jax.tree.map(
            lambda p, u, r=rates[name]: p - r * (u + decay * p),
            params[name],
            updates[name],
        )
        for name in rates
    }
    return moved, state


def _row_sparse(rule: RowRule) -> Optimiser:
    return Optimiser(partial(init_rows, rule), partial(apply_rows, rule))


OPTIMISERS: dict[str, Optimiser] = {
    "adamw": Optimiser(init_dense, apply_dense),
    "lazy-adam": _row_sparse(LAZY_ADAM),
    "rowwise-adagrad": _row_sparse(ROWWISE_ADAGRAD),
}
