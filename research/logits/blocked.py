"""Negatives too many to hold: the reducers of Dense, over columns that come in blocks.

A loss that is written with reducers needs nothing changed. Each block is made, reduced
and forgotten, and made again in the backward pass, so memory is that of one block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float

from research.logits.one_pass import ExpectedCotangent, log_sum_exp
from research.logits.reducers import (
    Columns,
    Dense,
    Negatives,
    Rows,
    chunked,
    keep_of,
    kept_count,
)

ROWS = "data"  # the axis of the mesh along which a batch's rows are divided


def by_rows(function: Callable[..., Any], divided: str) -> Callable[..., Any]:
    """The function, on each device of the mesh in use for that device's rows.

    Args:
      function: its result has the rows first; no row depends on another.
      divided: a letter an argument: r where rows come first in it, w where every
        device needs the whole. Gradients of the latter are summed over the devices.

    Returns:
      The function itself where no mesh is in use (``jax.set_mesh``).
    """
    if jax.sharding.get_abstract_mesh().empty:
        return function
    specs = {"r": PartitionSpec(ROWS), "w": PartitionSpec()}
    return jax.shard_map(
        function,
        in_specs=tuple(specs[letter] for letter in divided),
        out_specs=specs["r"],
        check_vma=False,  # the sums that a loop starts with are the same everywhere
    )


Reduced = Float[Array, " b"]


@dataclass(frozen=True)
class Blocked:
    """Columns in blocks.

    Attributes:
      rows: b.
      block: one slice of chunks -> logits and mask, both [b, n].
      chunks: arrays with the blocks as their first axis.
    """

    rows: int
    block: Callable[[Any], tuple[Float[Array, "b n"], Bool[Array, "b n"]]]
    chunks: Any

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""

        def add(so_far: tuple[Array, Array], chunk: Any) -> tuple[Array, Array]:
            old, total = so_far
            z, keep = self.block(chunk)
            z = jnp.where(keep, z * scale, -jnp.inf)
            top = lax.stop_gradient(jnp.maximum(old, jnp.max(z, axis=1)))
            new = jnp.sum(jnp.exp(z - top[:, None]), axis=1)
            return top, total * jnp.exp(old - top) + new

        # The lowest number, and not -inf, so that no difference of tops is undefined.
        lowest = jnp.full(self.rows, jnp.finfo(jnp.float32).min)
        top, total = self._fold(add, (lowest, jnp.zeros(self.rows)))
        some = total > 0
        return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + top, -jnp.inf)

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""

        def add(so_far: Array, chunk: Any) -> Array:
            return so_far + Dense(*self.block(chunk)).sum(f)

        return self._fold(add, jnp.zeros(self.rows))

    def count(self) -> Reduced:
        """How many columns are kept."""

        def add(so_far: Array, chunk: Any) -> Array:
            return so_far + Dense(*self.block(chunk)).count()

        return self._fold(add, jnp.zeros(self.rows))

    def _fold(self, add: Callable[[Any, Any], Any], start: Any) -> Any:
        step = jax.checkpoint(add, prevent_cse=False)
        return lax.scan(lambda at, chunk: (step(at, chunk), None), start, self.chunks)[
            0
        ]


@dataclass(frozen=True)
class Wide:
    """Columns whose vectors are at hand and shared by all rows.

    z = <query, vectors> + bias + shift: query [b, d], vectors [c, d] and bias [c] as in
    ``log_sum_exp``; shift [b] is the rest of a row's correction.
    """

    query: Float[Array, "b d"]
    vectors: Float[Array, "c d"]
    bias: Float[Array, " c"]
    shift: Float[Array, " b"]
    rows: Rows
    columns: Columns
    expected: ExpectedCotangent
    width: int

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        found = by_rows(log_sum_exp, "rwwrwr")(
            self.query * scale,
            self.vectors,
            self.bias * scale,
            self.rows,
            self.columns,
            self.expected,
        )
        return found + scale * self.shift

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""
        return self._blocked().sum(f)

    def count(self) -> Reduced:
        """How many columns are kept."""
        return by_rows(kept_count, "rw")(self.rows, self.columns)

    def _blocked(self) -> Blocked:
        def block(chunk: Any) -> tuple[Array, Array]:
            vectors, bias, columns = chunk
            z = self.query @ vectors.T + (bias[None, :] + self.shift[:, None])
            return z, (keep_of(self.rows, columns) & columns.usable[:, None]).T

        given = (self.vectors, self.bias, self.columns)
        return Blocked(self.query.shape[0], block, chunked(given, self.width))


@dataclass(frozen=True)
class Union:
    """Negatives of several kinds as one set."""

    parts: tuple[Negatives, ...]

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        found = jnp.stack([part.logsumexp(scale) for part in self.parts], axis=1)
        return Dense(found, jnp.isfinite(found)).logsumexp()

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""
        total = self.parts[0].sum(f)
        for part in self.parts[1:]:
            total = total + part.sum(f)
        return total

    def count(self) -> Reduced:
        """How many columns are kept."""
        total = self.parts[0].count()
        for part in self.parts[1:]:
            total = total + part.count()
        return total
