"""How a loss sees its negatives: through reducers over the columns that are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from research.logits.corrections import Known, is_known


@runtime_checkable
class Negatives(Protocol):
    """Logits of the negatives of b rows, through reducers over kept columns."""

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " b"]:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        ...

    def sum(self, f: Callable[[Array], Array]) -> Float[Array, " b"]:
        """Sum over kept columns of f(z), f elementwise."""
        ...

    def count(self) -> Float[Array, " b"]:
        """How many columns are kept."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """Logits z and mask keep, both ``[b, c]``, held whole."""

    z: Float[Array, "b c"]
    keep: Bool[Array, "b c"]

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " b"]:
        """log sum over kept columns of exp(scale * z); -inf where none is kept.

        A masked column has weight exactly 0 and gradient exactly 0; so has every
        column of a row with none kept.
        """
        z = jnp.where(self.keep, self.z * scale, -jnp.inf)
        top = lax.stop_gradient(jnp.max(z, axis=1, initial=-jnp.inf))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        total = jnp.sum(jnp.exp(z - top[:, None]), axis=1)
        some = total > 0
        return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + top, -jnp.inf)

    def sum(self, f: Callable[[Array], Array]) -> Float[Array, " b"]:
        """Sum over kept columns of f(z), f elementwise."""
        # f sees 0 in place of what is masked, so that no infinity reaches its gradient.
        return jnp.sum(
            jnp.where(self.keep, f(jnp.where(self.keep, self.z, 0.0)), 0.0), axis=1
        )

    def count(self) -> Float[Array, " b"]:
        """How many columns are kept."""
        return jnp.sum(self.keep, axis=1).astype(self.z.dtype)


# Logits of a block, 8 MiB: products of few rows are slow, and what is larger than the
# caches is too. Of 2^18 to 2^22 this was the fastest at 1,024, 4,096 and 8,192 rows.
CELLS = 1 << 21


class Columns(NamedTuple):
    """Columns that all rows share, of whichever source.

    place is the row whose own column it is (-1: nobody's); item is what the column
    holds where it is masked for rows with that positive (-1: for none). A column has
    one of them at most, and either is None where no column has any: comparing every
    row with every column is a good part of what a loss in blocks costs. ids is what
    the column holds anyway; usable is False for what no row may use.
    """

    place: Int[Array, "*c"] | None
    item: Int[Array, "*c"] | None
    ids: Int[Array, "*c"]
    usable: Bool[Array, "*c"]


class Rows(NamedTuple):
    """Rows: where they stand in the batch, their positives, and what they know."""

    place: Int[Array, " b"]
    candidate: Int[Array, " b"]
    known: Known | None


def keep_of(rows: Rows, columns: Columns) -> Bool[Array, "c b"]:
    """True where a column is a negative of the row, usable or not."""
    keep = jnp.ones((columns.ids.shape[0], rows.place.shape[0]), bool)
    for masks, own in _masks(rows, columns):
        keep = keep & (masks[:, None] != own[None, :])
    if rows.known is not None:
        same = columns.ids[:, None] == rows.candidate[None, :]
        keep = keep & (same | ~is_known(rows.known, columns.ids).T)
    return keep


def kept_count(rows: Rows, columns: Columns) -> Float[Array, " b"]:
    """How many usable columns are a row's negatives."""
    if rows.known is None:
        return _looked_up(rows, columns)

    def body(none: None, block: Rows) -> tuple[None, Array]:
        keep = keep_of(block, columns) & columns.usable[:, None]
        return none, jnp.sum(keep, axis=0, dtype=jnp.float32)

    b = rows.place.shape[0]
    n = rows_at_once(b, columns.ids.shape[0])
    return lax.scan(body, None, chunked(rows, n))[1].reshape(-1)[:b]


def rows_at_once(rows: int, columns: int) -> int:
    """Rows of a block: as even as it goes, so that the last one isn't filled up."""
    blocks = -(-rows // max(CELLS // columns, 8))
    return -(-rows // blocks)


def chunked(arrays: Any, n: int) -> Any:
    """Arrays [b, ...] as [blocks, n, ...]; zeros and False fill the last block."""

    def cut(x: Array) -> Array:
        steps, rest = -(-x.shape[0] // n), x.shape[1:]
        x = jnp.pad(x, [(0, steps * n - x.shape[0])] + [(0, 0)] * len(rest))
        return x.reshape(steps, n, *rest)

    return jax.tree.map(cut, arrays)


def _looked_up(rows: Rows, columns: Columns) -> Float[Array, " b"]:
    """The count where rows know nothing, without comparing all with all.

    What masks a column is put in order, and a row looks up how often it has its own.
    """
    kept = jnp.full(rows.place.shape, jnp.sum(columns.usable, dtype=jnp.int32))
    for masks, own in _masks(rows, columns):
        ordered = jnp.sort(jnp.where(columns.usable, masks, -1))
        ends = jnp.searchsorted(ordered, jnp.concatenate([own, own + 1]))
        first, past = jnp.split(ends, 2)
        kept = kept - (past - first)
    return kept.astype(jnp.float32)


def _masks(rows: Rows, columns: Columns) -> list[tuple[Array, Array]]:
    """What columns are masked by, and what rows have for it to be compared with."""
    pairs = ((columns.place, rows.place), (columns.item, rows.candidate))
    return [(masks, own) for masks, own in pairs if masks is not None]
