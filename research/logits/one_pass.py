"""Reductions of many shared columns, a block of rows at a time.

For the log-sum-exp a block of rows is scored, reduced, and multiplied back into both
gradients while its logits lie in the cache; what is kept for the backward pass is as
small as the vectors.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from research.logits.masks import Columns, Rows, keep_columns, masked_ids

# Rounding error of a cotangent, relative to the largest one, at logits up to 64.
SAME = 1e-5
# How far below the bound an exponent may lie: exp(-80) is still a normal number.
NEAR = 80.0


class ExpectedCotangent(NamedTuple):
    """What the cotangent of a row's log-sum-exp is expected to be in proportion to.

    weight * exp(lse) / (exp(lse) + exp(anchor)), as in a softmax whose positive has the
    anchor for its logit. Where the actual one differs, the gradient is computed again:
    slower, with the right result in either case.
    """

    anchor: Float[Array, " b"]
    weight: Float[Array, " b"]


class _Reach(NamedTuple):
    """Bounds of all logits of usable columns, known before any logit is made."""

    longest: Float[Array, ""]  # norm of a vector
    most: Float[Array, ""]  # bias
    least: Float[Array, ""]


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def log_sum_exp(
    query: Float[Array, "b d"],
    vectors: Float[Array, "c d"],
    bias: Float[Array, " c"],
    rows: Rows,
    columns: Columns,
    expected: ExpectedCotangent,
    row_block: int,
) -> Float[Array, " b"]:
    """log sum over kept columns j of exp(<query_b, vectors_j> + bias_j); -inf for none.

    [b, c] never exists. Differentiable in query and vectors; bias is a constant.
    """
    reach = _reach(vectors, bias, columns)

    def body(none: None, block: Any) -> tuple[None, Array]:
        _, total, top = _exponentials(vectors, bias, columns, reach, *block)
        return none, log_of_total(total, top)

    b = query.shape[0]
    blocks = chunked((query, rows), rows_at_once(b, vectors.shape[0], row_block))
    return lax.scan(body, None, blocks)[1].reshape(-1)[:b]


def _forward(
    query: Array,
    vectors: Array,
    bias: Array,
    rows: Rows,
    columns: Columns,
    expected: ExpectedCotangent,
    row_block: int,
) -> tuple[Array, Any]:
    reach = _reach(vectors, bias, columns)
    # Transposed outside of the product, which then runs on all cores.
    across = lax.optimization_barrier(vectors.T)

    def body(to_vectors: Array, block: Any) -> tuple[Array, tuple[Array, ...]]:
        queries, row, (anchor, weight) = block
        p, total, top = _exponentials(vectors, bias, columns, reach, queries, row)
        value = log_of_total(total, top)
        one = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
        cotangent = weight * jnp.exp(value - jnp.logaddexp(anchor, value))
        cotangent = jnp.where(total > 0, cotangent, 0.0)
        to_query = (across @ p * one[None, :]).T
        to_vectors = to_vectors + p @ (queries * (one * cotangent)[:, None])
        return to_vectors, (value, cotangent, to_query)

    b = query.shape[0]
    n = rows_at_once(b, vectors.shape[0], row_block)
    blocks = chunked((query, rows, expected), n)
    to_vectors, rest = lax.scan(body, jnp.zeros_like(vectors), blocks)
    value, cotangent, to_query = (x.reshape(-1, *x.shape[2:])[:b] for x in rest)
    inputs = query, vectors, bias, rows, columns
    return value, (inputs, (value, cotangent, to_query, to_vectors))


def _backward(row_block: int, residuals: Any, cotangent: Array) -> tuple[Any, ...]:
    (query, vectors, bias, rows, columns), results = residuals
    value, expected, to_query, _ = results
    cotangent = jnp.where(jnp.isfinite(value), cotangent, 0.0)
    total = jnp.sum(expected)
    ratio = jnp.sum(cotangent) / jnp.where(total == 0, 1.0, total)
    off = jnp.max(jnp.abs(cotangent - ratio * expected))

    def again() -> Array:
        reach = _reach(vectors, bias, columns)

        def body(to_vectors: Array, block: Any) -> tuple[Array, None]:
            queries, row, weight = block
            p, total, _ = _exponentials(vectors, bias, columns, reach, queries, row)
            weight = weight / jnp.where(total > 0, total, 1.0)
            return to_vectors + p @ (queries * weight[:, None]), None

        n = rows_at_once(query.shape[0], vectors.shape[0], row_block)
        start = jnp.zeros_like(vectors)
        return lax.scan(body, start, chunked((query, rows, cotangent), n))[0]

    as_expected = off <= SAME * jnp.max(jnp.abs(cotangent))
    to_vectors = lax.cond(as_expected, lambda: results[-1] * ratio, again)
    return cotangent[:, None] * to_query, to_vectors, None, None, None, None


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
    """exp(z - top) as [c, n], which is faster than [n, c]; its sum; and top.

    top is at least the largest z: a bound by Cauchy and Schwarz where that leaves every
    exponent in range, which saves the search for the largest; else the largest itself.
    """
    usable = jnp.where(columns.usable, bias, -jnp.inf)
    product = vectors @ query.T

    def logits() -> Array:
        z = product + usable[:, None]
        masked = columns._replace(usable=jnp.ones_like(columns.usable))
        return jnp.where(keep_columns(rows, masked).T, z, -jnp.inf)

    def largest() -> Array:
        top = jnp.max(logits(), axis=0)
        return jnp.where(jnp.isfinite(top), top, 0.0)

    far = reach.longest * jnp.linalg.norm(query, axis=1)
    spread = reach.most - reach.least  # negative where no column is usable
    near = (spread >= 0) & (2 * jnp.max(far) + spread < NEAR)
    top = lax.cond(near, lambda: far + reach.most, largest)
    p = jnp.exp(logits() - top[None, :])
    return p, jnp.sum(p, axis=0), top


def kept_count(rows: Rows, columns: Columns, row_block: int) -> Float[Array, " b"]:
    """How many usable columns are a row's negatives."""
    if rows.known is None and rows.query is None:
        return _looked_up(rows, columns)

    def body(none: None, block: Rows) -> tuple[None, Array]:
        keep = keep_columns(block, columns)
        return none, jnp.sum(keep, axis=1, dtype=jnp.float32)

    b = rows.place.shape[0]
    n = rows_at_once(b, columns.ids.shape[0], row_block)
    return lax.scan(body, None, chunked(rows, n))[1].reshape(-1)[:b]


def _looked_up(rows: Rows, columns: Columns) -> Float[Array, " b"]:
    """``kept_count`` where no column has two masks, without comparing all with all.

    The columns' values are sorted, and each row looks up how many equal its own.
    """
    count = jnp.full(rows.place.shape, jnp.sum(columns.usable, dtype=jnp.int32))
    for ids, own in masked_ids(rows, columns):
        ordered = jnp.sort(jnp.where(columns.usable, ids, -1))
        ends = jnp.searchsorted(ordered, jnp.concatenate([own, own + 1]))
        first, past = jnp.split(ends, 2)
        count = count - (past - first)
    return count.astype(jnp.float32)


def rows_at_once(rows: int, columns: int, row_block: int) -> int:
    """Rows of a block: blocks are as even as can be, so that little is padded.

    >>> rows_at_once(1024, 8360, 1 << 21)
    205
    """
    blocks = -(-rows // max(row_block // columns, 8))
    return -(-rows // blocks)


def chunked(arrays: Any, n: int) -> Any:
    """Arrays [b, ...] as [blocks, n, ...]; zeros and False fill the last block."""

    def cut(x: Array) -> Array:
        steps, rest = -(-x.shape[0] // n), x.shape[1:]
        x = jnp.pad(x, [(0, steps * n - x.shape[0])] + [(0, 0)] * len(rest))
        return x.reshape(steps, n, *rest)

    return jax.tree.map(cut, arrays)


def log_of_total(
    total: Float[Array, " b"], top: Float[Array, " b"]
) -> Float[Array, " b"]:
    """log(total) + top, for a total of exp(z - top); -inf where the total is 0."""
    some = total > 0
    return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + top, -jnp.inf)
