"""Negatives drawn evenly from the items that a user does not have."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from research.config import REFERENCE, Config
from research.negatives.source import (
    Drawn,
    Pool,
    Source,
    SourceState,
    UserItems,
    uniform,
)
from research.types import Pairs


def uniform_outside(draws: int, config: Config = REFERENCE) -> Source:
    """Draws for each row from the items that its user does not have, evenly.

    q_u(j) = 1 / (I - m_u) for an item outside the m_u distinct items of the user's
    training part, with replacement: the negatives of [rendle2009, section 4.1] and of
    the code of [yang2024psl]. Items of other parts are drawn too. log_q is -log I for
    every id, and row_log_q adds the rest of the row's own log q. The positive, which is
    never drawn, is corrected like the columns.
    """

    def draw(
        key: Key[Array, ""], batch: Pairs, state: SourceState, pool: Pool
    ) -> Drawn:
        first, owned = _owned(batch, pool)
        shape = (batch.query.shape[0], draws)
        rank = jax.random.randint(key, shape, 0, _outside(owned, pool)[:, None])
        return Drawn(nth_outside(rank, first, owned, _of(pool).item))

    def row_log_q(batch: Pairs, state: SourceState, pool: Pool) -> Float[Array, " b"]:
        outside = _outside(_owned(batch, pool)[1], pool).astype(jnp.float32)
        return jnp.log(float(pool.counts.shape[0])) - jnp.log(outside)

    return uniform(draws)._replace(
        name="uniform-outside", draw=draw, row_log_q=row_log_q
    )


def _of(pool: Pool) -> UserItems:
    assert pool.owned is not None  # the entry of the registry asks for it
    return pool.owned


def _owned(batch: Pairs, pool: Pool) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """Where the items of each row's user begin, and how many they are."""
    offsets = _of(pool).offsets
    first = offsets[batch.query]
    return first, offsets[batch.query + 1] - first


def _outside(owned: Int[Array, " b"], pool: Pool) -> Int[Array, " b"]:
    return jnp.int32(pool.counts.shape[0]) - owned


def nth_outside(
    rank: Int[Array, "b k"],
    first: Int[Array, " b"],
    owned: Int[Array, " b"],
    item: Int[Array, " e"],
) -> Int[Array, "b k"]:
    """The items of these ranks, from 0, among those that a row does not have.

    With a_0 < a_1 < ... for the row's items, a_k - k items below a_k are not its own,
    so the item of rank r is r plus the number of k with a_k - k <= r.

    >>> ranks, none = jnp.array([[0, 1, 2, 3]]), jnp.array([0])
    >>> nth_outside(ranks, none, jnp.array([3]), jnp.array([1, 2, 5])).tolist()
    [[0, 3, 4, 6]]
    """

    last = item.shape[0] - 1
    # Halvings that the longest row needs; a shorter one stays as it is in some.
    halvings = 32 - lax.clz(jnp.max(owned))

    def halve(n: Array, below: Array) -> Array:
        k = below + (jnp.int32(1) << (halvings - 1 - n)) - 1
        value = item[jnp.minimum(first[:, None] + k, last)]
        return jnp.where((k < owned[:, None]) & (value - k <= rank), k + 1, below)

    return rank + lax.fori_loop(0, halvings, halve, jnp.zeros_like(rank))
