"""How parameters move: the optimiser owns the scatter of row gradients into tables."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from research.registry import Registry

__all__ = [
    "LAZY_ADAM",
    "OPTIMISERS",
    "ROWWISE_ADAGRAD",
    "Hyper",
    "Optimiser",
    "RowRule",
    "Touched",
    "apply_dense",
    "apply_rows",
    "distinct",
    "init_dense",
    "init_rows",
]

Hyper = dict[str, Float[Array, ""]]


class Touched(NamedTuple):
    """Gradient with respect to the rows of one table that a step looked up."""

    table: str
    ids: Int[Array, "..."]
    grads: Float[Array, "... d"]


EPSILON = 1e-8
FIRST, SECOND = 0.9, 0.999  # decay of adam's moments

Rows = Float[Array, "r _"]


class RowRule(NamedTuple):
    """How a touched row moves.

    Its memory has width(d) numbers for a row of d. move takes the gradients and the
    memories of rows and the number of steps so far, this one included; it returns the
    memories and the updates, to be multiplied by the learning rate and subtracted.
    """

    width: Callable[[int], int]
    move: Callable[[Rows, Rows, Int[Array, ""]], tuple[Rows, Rows]]


def _adam(grads: Rows, memory: Rows, count: Int[Array, ""]) -> tuple[Rows, Rows]:
    first, second = jnp.split(memory, 2, axis=1)
    first = FIRST * first + (1 - FIRST) * grads
    second = SECOND * second + (1 - SECOND) * jnp.square(grads)
    steps = count.astype(jnp.float32)
    mean, square = first / (1 - FIRST**steps), second / (1 - SECOND**steps)
    update = mean / (jnp.sqrt(square) + EPSILON)
    return jnp.concatenate([first, second], axis=1), update


def _adagrad(grads: Rows, memory: Rows, _: Int[Array, ""]) -> tuple[Rows, Rows]:
    memory = memory + jnp.mean(jnp.square(grads), axis=1, keepdims=True)
    return memory, grads / (jnp.sqrt(memory) + EPSILON)


LAZY_ADAM = RowRule(lambda d: 2 * d, _adam)
"""Adam [kingma2015] on touched rows; moments of the others stay as they are.

Bias is corrected by the number of steps of the run, as in TensorFlow Addons' LazyAdam,
so where every row is touched in every step this is AdamW.
"""

ROWWISE_ADAGRAD = RowRule(lambda d: 1, _adagrad)
"""Adagrad with one sum of squares a row, their mean over it [lerer2019].

It starts from 0, and a row that isn't touched would not move in the dense form either.
"""


CHUNK = 256  # rows moved at once: few enough to stay in the cache meanwhile
WHOLE = 1  # rows a lookup up to which a table is moved whole
PAST = jnp.iinfo(jnp.int32).max  # beyond any table: dropped when written


class Table(NamedTuple):
    """What is kept for a table: a memory a row, and places that find doubles."""

    memory: Float[Array, "rows _"]
    places: Int[Array, " rows"]


class RowState(NamedTuple):
    """State of a row-sparse optimiser: adam's for the nets, one a table."""

    nets: optax.OptState
    tables: dict[str, Table]
    steps: Int[Array, ""]


def init_rows(rule: RowRule, params: Any) -> RowState:
    """The state before the first step."""
    nets = {name: group for name, group in params.items() if name != "tables"}
    tables = {
        name: Table(
            jnp.zeros((len(table), rule.width(table.shape[1]))),
            jnp.zeros(len(table), jnp.int32),
        )
        for name, table in params["tables"].items()
    }
    with jax.numpy_dtype_promotion("standard"):
        return RowState(optax.scale_by_adam().init(nets), tables, jnp.int32(0))


def apply_rows(
    rule: RowRule,
    params: Any,
    nets: Any,
    touched: list[Touched],
    state: RowState,
    hyper: Hyper,
) -> tuple[Any, RowState]:
    """One step: AdamW on the nets, the rule on touched rows.

    Rows decay only when they are touched. Arguments as in apply_dense; the tables'
    rate is table_rate times the learning rate.
    """
    rate, decay = hyper["learning_rate"], hyper["weight_decay"]
    table_rate = rate * hyper["table_rate"]
    with jax.numpy_dtype_promotion("standard"):
        updates, net_state = optax.scale_by_adam().update(nets, state.nets)
    moved = {
        name: jax.tree.map(
            lambda p, u: p - rate * (u + decay * p), params[name], updates[name]
        )
        for name in nets
    }
    count = state.steps + 1
    tables, kept = dict(params["tables"]), dict(state.tables)
    for name in tables:
        mine = [t for t in touched if t.table == name]
        if not mine:
            continue
        ids = jnp.concatenate([t.ids.reshape(-1) for t in mine])
        grads = jnp.concatenate(
            [t.grads.reshape(len(t.ids.reshape(-1)), -1) for t in mine]
        )
        tables[name], kept[name] = _moved(
            rule, tables[name], kept[name], ids, grads, count, table_rate, decay
        )
    return {**moved, "tables": tables}, RowState(net_state, kept, count)


def distinct(
    ids: Int[Array, " n"],
    grads: Float[Array, "n d"],
    index: Int[Array, " rows"],
    size: int,
) -> tuple[
    Int[Array, " size"], Float[Array, "size d"], Int[Array, ""], Int[Array, " rows"]
]:
    """Each row once, in front, with its gradients summed.

    Args:
      ids: rows looked up, some more than once.
      grads: the gradient of each lookup.
      index: of any content; where a row is looked up, it is written before it is read.
      size: of the first two results, n or more.

    Returns:
      (distinct ids, then fillers past any table; their gradients; how many; the index).
    """
    place = jnp.arange(ids.shape[0], dtype=jnp.int32)
    index = index.at[ids].set(place)
    leader = index[ids]  # one place for each row, whichever was written last
    leads = leader == place
    rank = jnp.cumsum(leads, dtype=jnp.int32) - 1
    sums = jnp.zeros((size, grads.shape[1])).at[rank[leader]].add(grads)
    rows = jnp.full(size, PAST, ids.dtype)
    rows = rows.at[jnp.where(leads, rank, PAST)].set(ids, mode="drop")
    return rows, sums, rank[-1] + 1, index


def _moved(
    rule: RowRule,
    table: Float[Array, "rows d"],
    kept: Table,
    ids: Int[Array, " n"],
    grads: Float[Array, "n d"],
    count: Int[Array, ""],
    rate: Float[Array, ""],
    decay: Float[Array, ""],
) -> tuple[Float[Array, "rows d"], Table]:
    def moved(grad: Array, row: Array, memory: Array) -> tuple[Array, Array]:
        memory, update = rule.move(grad, memory, count)
        return row - rate * (update + decay * row), memory

    if WHOLE * ids.shape[0] >= len(table):
        # Most rows are touched: they are moved where they stand.
        sums = jnp.zeros_like(table).at[ids].add(grads)
        new = moved(sums, table, kept.memory)
        used = jnp.any(sums != 0, axis=1, keepdims=True)
        table = jnp.where(used, new[0], table)
        return table, kept._replace(memory=jnp.where(used, new[1], kept.memory))

    size = -(-ids.shape[0] // CHUNK) * CHUNK
    rows, sums, number, index = distinct(ids, grads, kept.places, size)

    def move(chunk: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        table, memory = state
        at = jax.lax.dynamic_slice_in_dim(rows, chunk * CHUNK, CHUNK)
        grad = jax.lax.dynamic_slice_in_dim(sums, chunk * CHUNK, CHUNK)
        at = jnp.where(jnp.any(grad != 0, axis=1), at, PAST)
        old = memory.at[at].get(mode="fill", fill_value=0)
        row, new = moved(grad, table.at[at].get(mode="fill", fill_value=0), old)
        memory = memory.at[at].set(new, mode="drop")
        return table.at[at].set(row, mode="drop"), memory

    chunks = (number + CHUNK - 1) // CHUNK
    table, memory = jax.lax.fori_loop(0, chunks, move, (table, kept.memory))
    return table, Table(memory, index)


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


OPTIMISERS: Registry[Optimiser] = Registry(
    "optimiser",
    {
        "adamw": Optimiser(init_dense, apply_dense),
        "lazy-adam": _row_sparse(LAZY_ADAM),
        "rowwise-adagrad": _row_sparse(ROWWISE_ADAGRAD),
    },
)
