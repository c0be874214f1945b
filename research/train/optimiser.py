"""Updates of parameters: optax transformations of nets, tables and touched rows.

The optimiser owns the scatter of row gradients into tables.
"""

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from research.train.optimisers import Optimiser

Hyper = dict[str, Float[Array, ""]]
Scalar = Float[Array, ""] | float
EPSILON = 1e-8
FIRST, SECOND = 0.9, 0.999  # decay of Adam's moments
CHUNK = 256  # rows moved at once: few enough to stay in the cache meanwhile
PAST = jnp.iinfo(jnp.int32).max  # beyond any table: dropped when written


class Touched(NamedTuple):
    """Gradient with respect to the rows of one table that a step looked up."""

    table: str
    ids: Int[Array, "..."]
    grads: Float[Array, "... d"]


class TableState(NamedTuple):
    """State of a table of touched rows: optax's, and an index to merge equal ids."""

    chain: optax.OptState
    places: Int[Array, " rows"]


class OptimiserState(NamedTuple):
    """State of the nets, and of all tables; by table where only touched rows move."""

    nets: optax.OptState
    tables: Any


class RowAdamState(NamedTuple):
    """Steps so far, and both moments of a row side by side: one lookup reads both."""

    steps: Int[Array, ""]
    moments: Float[Array, "rows _"]


def scale_by_row_adam() -> optax.GradientTransformation:
    """Adam [kingma2015], as optax.scale_by_adam, with its state in one array.

    Moments of the rows that aren't touched stay as they are. Bias is corrected by the
    number of steps of the run, as in TensorFlow Addons' LazyAdam, so where every row is
    touched in every step this is Adam.
    """

    def init(table: Float[Array, "rows d"]) -> RowAdamState:
        rows, d = table.shape
        return RowAdamState(jnp.int32(0), jnp.zeros((rows, 2 * d)))

    def update(
        grads: Float[Array, "r d"], state: RowAdamState, _: Any = None
    ) -> tuple[Float[Array, "r d"], RowAdamState]:
        first, second = jnp.split(state.moments, 2, axis=1)
        first = FIRST * first + (1 - FIRST) * grads
        second = SECOND * second + (1 - SECOND) * jnp.square(grads)
        steps = state.steps + 1
        power = steps.astype(jnp.float32)
        mean, square = first / (1 - FIRST**power), second / (1 - SECOND**power)
        moments = jnp.concatenate([first, second], axis=1)
        return mean / (jnp.sqrt(square) + EPSILON), RowAdamState(steps, moments)

    return optax.GradientTransformation(init, update)


def scale_by_row_rss() -> optax.GradientTransformation:
    """Adagrad with one sum per row, of the row's mean squares [lerer2019].

    Sums start at 0. A row that isn't touched would not move if all rows were updated
    either.
    """

    def init(table: Float[Array, "rows d"]) -> Float[Array, "rows 1"]:
        return jnp.zeros((len(table), 1))

    def update(
        grads: Float[Array, "r d"], sums: Float[Array, "r 1"], _: Any = None
    ) -> tuple[Float[Array, "r d"], Float[Array, "r 1"]]:
        sums = sums + jnp.mean(jnp.square(grads), axis=1, keepdims=True)
        return grads / (jnp.sqrt(sums) + EPSILON), sums

    return optax.GradientTransformation(init, update)


def _chain(
    optimiser: Optimiser,
    direction: optax.GradientTransformation,
    rate: Scalar = 0.0,
    decay: Scalar = 0.0,
) -> optax.GradientTransformation:
    """Direction, weight decay, learning rate; traced values aren't in the state."""
    both = direction, optax.add_decayed_weights(decay)
    if optimiser.decay_first:
        both = both[::-1]
    return optax.chain(*both, optax.scale_by_learning_rate(rate))


def decayed_rate(
    rate: Float[Array, ""], end: float, progress: Float[Array, ""]
) -> Float[Array, ""]:
    """The learning rate of a step, which falls along a cosine."""
    return jnp.asarray(optax.cosine_decay_schedule(rate, 1, end)(progress))


def init_optimiser(optimiser: Optimiser, params: Any) -> OptimiserState:
    """The state before the first step."""
    nets = {name: group for name, group in params.items() if name != "tables"}
    tables = _chain(optimiser, optimiser.tables())
    with jax.numpy_dtype_promotion("standard"):
        net_state = _chain(optimiser, optimiser.nets()).init(nets)
        if not optimiser.touched_only:
            return OptimiserState(net_state, tables.init(params["tables"]))
        by_table = {
            name: TableState(tables.init(table), jnp.zeros(len(table), jnp.int32))
            for name, table in params["tables"].items()
        }
    return OptimiserState(net_state, by_table)


def move(
    optimiser: Optimiser,
    params: Any,
    nets: Any,
    touched: list[Touched],
    state: OptimiserState,
    hyper: Hyper,
) -> tuple[Any, OptimiserState]:
    """Parameters and state after one step."""
    rate, decay = hyper["learning_rate"], hyper["weight_decay"]
    old_nets = {name: params[name] for name in nets}
    with jax.numpy_dtype_promotion("standard"):
        chain = _chain(optimiser, optimiser.nets(), rate, decay)
        new_nets, net_state = _moved(chain, old_nets, nets, state.nets)
        table_rate = rate * hyper["table_rate"]
        chain = _chain(optimiser, optimiser.tables(), table_rate, decay)
        tables, table_states = params["tables"], state.tables
        by_table = {n: [t for t in touched if t.table == n] for n in tables}
        if optimiser.touched_only:
            after = {
                name: _move_rows(
                    chain, tables[name], mine, table_states[name], optimiser.whole
                )
                for name, mine in by_table.items()
                if mine
            }
            tables = tables | {name: table for name, (table, _) in after.items()}
            table_states = table_states | {
                name: rest for name, (_, rest) in after.items()
            }
        else:
            grads = {name: _summed(tables[name], by_table[name]) for name in tables}
            tables, table_states = _moved(chain, tables, grads, table_states)
    return {**new_nets, "tables": tables}, OptimiserState(net_state, table_states)


def _moved(
    chain: optax.GradientTransformation, params: Any, grads: Any, state: Any
) -> tuple[Any, Any]:
    updates, state = chain.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def _summed(
    table: Float[Array, "rows d"], touched: list[Touched]
) -> Float[Array, "rows d"]:
    """The gradient of a whole table."""
    return reduce(
        lambda sums, t: sums.at[t.ids.reshape(-1)].add(
            t.grads.reshape(-1, t.grads.shape[-1])
        ),
        touched,
        jnp.zeros_like(table),
    )


def distinct(
    ids: Int[Array, " n"],
    grads: Float[Array, "n d"],
    index: Int[Array, " rows"],
    size: int,
) -> tuple[
    Int[Array, " size"], Float[Array, "size d"], Int[Array, ""], Int[Array, " rows"]
]:
    """The distinct rows, each with its gradients summed.

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


def _move_rows(
    chain: optax.GradientTransformation,
    table: Float[Array, "rows d"],
    touched: list[Touched],
    state: TableState,
    whole: int,
) -> tuple[Float[Array, "rows d"], TableState]:
    """Moves the rows with a gradient; scalars of the chain's state count every step."""
    if whole * sum(t.ids.size for t in touched) >= len(table):
        # Most rows are touched: they are moved where they stand.
        sums = _summed(table, touched)
        used = jnp.any(sums != 0, axis=1, keepdims=True)
        table, inner = jax.tree.map(
            lambda new, old: jnp.where(used, new, old) if old.ndim else new,
            _moved(chain, table, sums, state.chain),
            (table, state.chain),
        )
        return table, state._replace(chain=inner)

    ids = jnp.concatenate([t.ids.reshape(-1) for t in touched])
    grads = jnp.concatenate([t.grads.reshape(-1, table.shape[1]) for t in touched])
    size = -(-ids.shape[0] // CHUNK) * CHUNK
    rows, sums, number, places = distinct(ids, grads, state.places, size)

    def move_chunk(chunk: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        at = jax.lax.dynamic_slice_in_dim(rows, chunk * CHUNK, CHUNK)
        grad = jax.lax.dynamic_slice_in_dim(sums, chunk * CHUNK, CHUNK)
        at = jnp.where(jnp.any(grad != 0, axis=1), at, PAST)
        row, inner = jax.tree.map(
            lambda all_rows, before: (
                all_rows.at[at].get(mode="fill", fill_value=0)
                if all_rows.ndim
                else before
            ),
            carry,
            (table, state.chain),
        )
        moved: tuple[Array, Any] = jax.tree.map(
            lambda all_rows, new: (
                all_rows.at[at].set(new, mode="drop") if all_rows.ndim else new
            ),
            carry,
            _moved(chain, row, grad, inner),
        )
        return moved

    chunks = (number + CHUNK - 1) // CHUNK
    table, inner = jax.lax.fori_loop(0, chunks, move_chunk, (table, state.chain))
    return table, TableState(inner, places)
