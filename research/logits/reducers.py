"""How a loss sees its negatives: through reducers over the columns that are kept.

A loss written with reducers works with logits that are held whole and with logits too
many to hold: a block is made, reduced and dropped, and made again in the backward pass,
so that the memory needed is that of one block.
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float

from research.logits.masks import Columns, Rows, keep_columns
from research.logits.one_pass import (
    ExpectedCotangent,
    chunked,
    kept_count,
    log_of_total,
    log_sum_exp,
)


@dataclass(frozen=True)
class Limits:
    """Sizes from which logits come in blocks, and sizes of the blocks."""

    # Logits of a step (rows times columns) from which they come in blocks. Where the
    # loss needs one pass over them (Loss.one_pass), blocks are faster from fewer on.
    one_pass: int = 1 << 20
    several_passes: int = 1 << 23
    encoded: int = 1 << 16  # columns of a source above which the tower runs in a block
    column_block: int = 1 << 22  # logits of a block of columns
    fewest_columns: int = 128  # of such a block
    # Items per column of a row's own, up to which the catalogue is encoded once and
    # scores are looked up: with 1,000 columns that takes a tenth of the time of vectors
    # of each row's own at 1,700 items, a quarter at 8,000.
    looked_up: int = 16
    # Logits of a block of rows, 8 MiB: products of few rows are slow, and so are blocks
    # larger than the caches. Of 2^18 to 2^22 the fastest at 1,024 to 8,192 rows.
    row_block: int = 1 << 21


LIMITS = Limits()


class Plan(NamedTuple):
    """How a step's logits are made."""

    columns: int = 0  # of a block; 0: one block of all
    row_block: int = LIMITS.row_block  # logits at once where one pass is all it takes
    inside: tuple[bool, ...] = ()  # of each source: whether a block encodes its columns
    looked_up: tuple[bool, ...] = ()  # whether its scores are among the catalogue's

    @property
    def whole(self) -> bool:
        """Whether all logits are held at once, [b, c]."""
        return self.columns == 0


WHOLE = Plan()


def choose_plan(
    rows: int,
    columns: int,
    fresh: tuple[int, ...] = (),
    own: tuple[int, ...] = (),
    items: int = 0,
    *,
    whole: bool,
    one_pass: bool,
    limits: Limits = LIMITS,
) -> Plan:
    """The plan of a step.

    >>> choose_plan(4096, 4096, whole=False, one_pass=True).columns
    1024
    >>> choose_plan(4096, 4096, whole=True, one_pass=True) == WHOLE
    True
    """
    enough = limits.one_pass if one_pass else limits.several_passes
    looked_up = tuple(
        rows * n > items > 0 and items <= n * limits.looked_up for n in own
    )
    if whole or rows * columns < enough:
        return Plan(0, limits.row_block, (False,) * len(fresh), looked_up)
    # Blocks that encode their columns make logits twice, so one_pass doesn't matter.
    inside = tuple(
        rows * n >= limits.several_passes and n > limits.encoded for n in fresh
    )
    block = max(limits.column_block // rows, limits.fewest_columns)
    return Plan(block, limits.row_block, inside, looked_up)


Reduced = Float[Array, " b"]


class Negatives:
    """Logits of the negatives of b rows, through reducers over the kept columns."""

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        raise NotImplementedError

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""
        return self._total(lambda block: block.sum(f))

    def count(self) -> Reduced:
        """How many columns are kept."""
        return self._total(Dense.count)

    def _total(self, reduce: Callable[["Dense"], Reduced]) -> Reduced:
        """Sum over blocks of what becomes of each."""
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense(Negatives):
    """Logits z and mask keep, both [b, c], held whole."""

    z: Float[Array, "b c"]
    keep: Bool[Array, "b c"]

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept.

        A masked column has weight exactly 0 and gradient exactly 0; so has every
        column of a row with none kept.
        """
        z = jnp.where(self.keep, self.z * scale, -jnp.inf)
        top = lax.stop_gradient(jnp.max(z, axis=1, initial=-jnp.inf))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        return log_of_total(jnp.sum(jnp.exp(z - top[:, None]), axis=1), top)

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""
        # f sees 0 in place of what is masked, so that no infinity reaches its gradient.
        return jnp.sum(
            jnp.where(self.keep, f(jnp.where(self.keep, self.z, 0.0)), 0.0), axis=1
        )

    def count(self) -> Reduced:
        """How many columns are kept."""
        return jnp.sum(self.keep, axis=1).astype(self.z.dtype)


def hardest(negatives: Dense, k: int) -> Dense:
    """The k negatives of highest logit of each row, among those kept: [b, k].

    Online hard negatives as in [huang2020]. Differs from the paper: they
    are taken from whatever was drawn, not from the batch alone. Which are chosen has
    no gradient; their logits have. A row with fewer than k kept has the rest masked.

    >>> z = jnp.array([[1.0, 3.0, 2.0, 9.0]])
    >>> hardest(Dense(z, jnp.array([[True, True, True, False]])), 2).z.tolist()
    [[3.0, 2.0]]
    """
    ranked = jnp.where(negatives.keep, lax.stop_gradient(negatives.z), -jnp.inf)
    at = lax.top_k(ranked, k)[1]
    return Dense(
        jnp.take_along_axis(negatives.z, at, axis=1),
        jnp.take_along_axis(negatives.keep, at, axis=1),
    )


@dataclass(frozen=True)
class Blocked(Negatives):
    """Logits of columns in blocks.

    Attributes:
      rows: b.
      block: one slice of chunks -> its logits and mask.
      chunks: arrays with the blocks as their first axis.
    """

    rows: int
    block: Callable[[Any], Dense]
    chunks: Any

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""

        def add(so_far: tuple[Array, Array], chunk: Any) -> tuple[Array, Array]:
            old, total = so_far
            block = self.block(chunk)
            z = jnp.where(block.keep, block.z * scale, -jnp.inf)
            top = lax.stop_gradient(jnp.maximum(old, jnp.max(z, axis=1)))
            new = jnp.sum(jnp.exp(z - top[:, None]), axis=1)
            return top, total * jnp.exp(old - top) + new

        # The lowest number, and not -inf, so that no difference of tops is undefined.
        lowest = jnp.full(self.rows, jnp.finfo(jnp.float32).min)
        top, total = self._fold(add, (lowest, jnp.zeros(self.rows)))
        return log_of_total(total, top)

    def _total(self, reduce: Callable[[Dense], Reduced]) -> Reduced:
        def add(so_far: Array, chunk: Any) -> Array:
            return so_far + reduce(self.block(chunk))

        total: Array = self._fold(add, jnp.zeros(self.rows))
        return total

    def _fold(self, add: Callable[[Any, Any], Any], start: Any) -> Any:
        step = jax.checkpoint(add, prevent_cse=False)
        return lax.scan(lambda at, chunk: (step(at, chunk), None), start, self.chunks)[
            0
        ]


@dataclass(frozen=True)
class Shared(Negatives):
    """Columns that all rows share, whose vectors are at hand.

    z = <query, vectors> + bias + shift, with query, vectors and bias as in
    ``log_sum_exp``; shift is the rows' part of the correction.
    """

    query: Float[Array, "b d"]
    vectors: Float[Array, "c d"]
    bias: Float[Array, " c"]
    shift: Float[Array, " b"]
    rows: Rows
    columns: Columns
    expected: ExpectedCotangent
    plan: Plan

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        reduce = functools.partial(log_sum_exp, row_block=self.plan.row_block)
        unshifted = by_rows(reduce, "rwwrwr")(
            self.query * scale,
            self.vectors,
            self.bias * scale,
            self.rows,
            self.columns,
            self.expected,
        )
        return unshifted + scale * self.shift

    def count(self) -> Reduced:
        """How many columns are kept."""
        count = functools.partial(kept_count, row_block=self.plan.row_block)
        return by_rows(count, "rw")(self.rows, self.columns)

    def _total(self, reduce: Callable[[Dense], Reduced]) -> Reduced:
        def block(chunk: Any) -> Dense:
            vectors, bias, columns = chunk
            z = self.query @ vectors.T + (bias[None, :] + self.shift[:, None])
            return Dense(z, keep_columns(self.rows, columns))

        chunks = chunked((self.vectors, self.bias, self.columns), self.plan.columns)
        return Blocked(len(self.query), block, chunks)._total(reduce)


@dataclass(frozen=True)
class Union(Negatives):
    """Negatives of several kinds as one set."""

    parts: tuple[Negatives, ...]

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Reduced:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        each = jnp.stack([part.logsumexp(scale) for part in self.parts], axis=1)
        return Dense(each, jnp.isfinite(each)).logsumexp()

    def sum(self, f: Callable[[Array], Array]) -> Reduced:
        """Sum over kept columns of f(z), f elementwise."""
        return functools.reduce(operator.add, [part.sum(f) for part in self.parts])

    def count(self) -> Reduced:
        """How many columns are kept."""
        return functools.reduce(operator.add, [part.count() for part in self.parts])


ROWS = "data"  # the axis of the mesh along which a batch's rows are divided


def by_rows(function: Callable[..., Any], divided: str) -> Callable[..., Any]:
    """The function, on each device of the mesh in use for that device's rows.

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
