"""The log-sum-exp of many columns, its gradient made in the same pass over them.

A block of rows is scored, reduced, and multiplied back into both gradients while its
logits lie in the cache; what is kept for the backward pass is as small as the vectors.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from research.logits.reducers import Columns, Rows, chunked, keep_of, rows_at_once

# Relative to the largest: what rounding moves a cotangent by, at logits up to 64.
SAME = 1e-5
# How far below the bound an exponent may lie: exp(-80) is no denormal number.
NEAR = 80.0


class ExpectedCotangent(NamedTuple):
    """What the cotangent of a row's log-sum-exp will be in proportion to.

    weight * exp(lse) / (exp(lse) + exp(anchor)), as a softmax with the positive's logit
    for an anchor has it. Where it turns out otherwise the gradient is computed again:
    that takes longer, and gives the same.
    """

    anchor: Float[Array, " b"]
    weight: Float[Array, " b"]


class _Reach(NamedTuple):
    """What is known of all logits before they are there: of usable columns only."""

    longest: Float[Array, ""]  # norm of a vector
    most: Float[Array, ""]  # bias
    least: Float[Array, ""]


@jax.custom_vjp
def log_sum_exp(
    query: Float[Array, "b d"],
    vectors: Float[Array, "c d"],
    bias: Float[Array, " c"],
    rows: Rows,
    columns: Columns,
    expected: ExpectedCotangent,
) -> Float[Array, " b"]:
    """log sum over kept columns j of exp(<query_b, vectors_j> + bias_j); -inf for none.

    [b, c] never exists. Differentiable in query and vectors; bias is a constant.

    Args:
      query: over the rows' temperature.
      vectors: over the columns' temperature, where they have one.
      bias: what else a logit holds that is the same in all rows: -strength log q.
      rows: see Rows.
      columns: see Columns.
      expected: see ExpectedCotangent; no value depends on it.
    """
    reach = _reach(vectors, bias, columns)

    def body(none: None, block: Any) -> tuple[None, Array]:
        _, total, top = _exponentials(vectors, bias, columns, reach, *block)
        return none, _log(total, top)

    n = rows_at_once(query.shape[0], vectors.shape[0])
    found = lax.scan(body, None, chunked((query, rows), n))[1]
    return found.reshape(-1)[: query.shape[0]]


def _forward(
    query: Array, vectors: Array, bias: Array, rows: Rows, columns: Columns, told: Any
) -> tuple[Array, Any]:
    reach = _reach(vectors, bias, columns)
    # Transposed apart from the product, which then runs on all cores.
    across = lax.optimization_barrier(vectors.T)

    def body(pushed: Array, block: Any) -> tuple[Array, tuple[Array, Array, Array]]:
        at, row, (anchor, weight) = block
        p, total, top = _exponentials(vectors, bias, columns, reach, at, row)
        found = _log(total, top)
        one = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
        expected = weight * jnp.exp(found - jnp.logaddexp(anchor, found))
        expected = jnp.where(total > 0, expected, 0.0)
        pulled = (across @ p * one[None, :]).T
        pushed = pushed + p @ (at * (one * expected)[:, None])
        return pushed, (found, expected, pulled)

    n = rows_at_once(query.shape[0], vectors.shape[0])
    pushed, rest = lax.scan(
        body, jnp.zeros_like(vectors), chunked((query, rows, told), n)
    )
    b = query.shape[0]
    found, expected, pulled = (x.reshape(-1, *x.shape[2:])[:b] for x in rest)
    return found, (
        (query, vectors, bias, rows, columns),
        (found, expected, pulled, pushed),
    )


def _backward(kept: Any, given: Array) -> tuple[Any, ...]:
    (query, vectors, bias, rows, columns), (found, expected, pulled, pushed) = kept
    given = jnp.where(jnp.isfinite(found), given, 0.0)
    total = jnp.sum(expected)
    ratio = jnp.sum(given) / jnp.where(total == 0, 1.0, total)
    off = jnp.max(jnp.abs(given - ratio * expected))

    def again() -> Array:
        reach = _reach(vectors, bias, columns)

        def body(pushed: Array, block: Any) -> tuple[Array, None]:
            at, row, weight = block
            p, total, _ = _exponentials(vectors, bias, columns, reach, at, row)
            weight = weight / jnp.where(total > 0, total, 1.0)
            return pushed + p @ (at * weight[:, None]), None

        n = rows_at_once(query.shape[0], vectors.shape[0])
        start = jnp.zeros_like(vectors)
        return lax.scan(body, start, chunked((query, rows, given), n))[0]

    as_told = off <= SAME * jnp.max(jnp.abs(given))
    to_vectors = lax.cond(as_told, lambda: pushed * ratio, again)
    return given[:, None] * pulled, to_vectors, None, None, None, None


log_sum_exp.defvjp(_forward, _backward)


def _reach(vectors: Array, bias: Array, columns: Columns) -> _Reach:
    squares = jnp.sum(jnp.square(vectors), axis=1)
    return _Reach(
        jnp.sqrt(jnp.max(jnp.where(columns.usable, squares, 0.0))),
        jnp.max(jnp.where(columns.usable, bias, -jnp.inf)),
        jnp.min(jnp.where(columns.usable, bias, jnp.inf)),
    )


def _exponentials(
    vectors: Array,
    bias: Array,
    columns: Columns,
    reach: _Reach,
    query: Array,
    rows: Rows,
) -> tuple[Float[Array, "c n"], Float[Array, " n"], Float[Array, " n"]]:
    """exp(z - top), its sum, and top. A column a row: that way round is the faster.

    top is no less than the largest z: by Cauchy and Schwarz where that leaves every
    exponent in range, which saves to look for it; else the largest itself.
    """
    usable = jnp.where(columns.usable, bias, -jnp.inf)
    product = vectors @ query.T

    def logits() -> Array:
        z = product + usable[:, None]
        return jnp.where(keep_of(rows, columns), z, -jnp.inf)

    def largest() -> Array:
        top = jnp.max(logits(), axis=0)
        return jnp.where(jnp.isfinite(top), top, 0.0)

    far = reach.longest * jnp.linalg.norm(query, axis=1)
    spread = reach.most - reach.least  # negative where no column is usable
    near = (spread >= 0) & (2 * jnp.max(far) + spread < NEAR)
    top = lax.cond(near, lambda: far + reach.most, largest)
    p = jnp.exp(logits() - top[None, :])
    return p, jnp.sum(p, axis=0), top


def _log(total: Array, top: Array) -> Array:
    some = total > 0
    return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + top, -jnp.inf)
