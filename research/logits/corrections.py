"""What a row's negatives are corrected by, and which of them it may not use."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from research.negatives.source import Drawn, Source


class LogQ(NamedTuple):
    """log q of a candidate set in three parts that are added: never a ``[b, c]`` array.

    columns of each block, [c] or [b, k]; own [b], the positive's value; row [b], a
    shift of all of a row's negatives.
    """

    columns: tuple[Float[Array, "..."], ...]
    own: Float[Array, " b"]
    row: Float[Array, " b"]


class Known(NamedTuple):
    """Each query's fitted positives, in one of two forms; the other is empty.

    bits [u, w], one bit an item: the fast form, for a user-by-item table of bits that
    fits. ids [u, s], ascending, padded with the number of items: the small one.
    """

    bits: UInt32[Array, "u w"]
    ids: Int[Array, "u s"]


def log_q_parts(
    columns: tuple[Float[Array, "..."], ...],
    own: Float[Array, " b"],
    draws: Float[Array, ""],
    correct_positive: bool,
    leave_own_out: bool,
    expected_count: bool,
) -> LogQ:
    """Applies the switches on which the published corrections differ.

    Args:
      columns: log Q' of each block's ids.
      own: log Q' of each row's positive.
      draws: N, the number of draws that a row sees.
      correct_positive: subtract from the positive's logit too  [yi2019, eq. 4]; not
        doing so is the importance-sampling form  [yang2020, eq. 5].
      leave_own_out: negatives are drawn from what isn't the row's positive, so
        q = Q / (1 - Q_p)  [khrylchenko2025].
      expected_count: correct by N q, the count expected, which keeps the 1 / N of an
        estimate of the partition function.
    """
    row = jnp.zeros_like(own)
    if leave_own_out:
        row = row - jnp.log1p(-jnp.exp(own))
    if expected_count:
        row = row + jnp.log(draws)
    positive = own + row if correct_positive else jnp.zeros_like(own)
    return LogQ(columns, positive, row)


def keep_columns(
    source: Source,
    drawn: Drawn,
    candidate: Int[Array, " b"],
    known: Known | None,
    mask_same_item: bool,
    query: Int[Array, " b"] | None = None,
) -> Bool[Array, "b c"]:
    """True where a block's column is a negative of the row, and can be used.

    Args:
      source: the block's source; its ``own`` column is never a negative.
      drawn: the block.
      candidate: each row's positive.
      known: the rows' known positives, all but the candidate to be masked, or None.
      mask_same_item: mask every column that holds the row's own positive.
      query: each row's query where it is of one kind with the candidates: its list
        leaves it out, so no column that holds it is a negative.
    """
    b, ids = candidate.shape[0], drawn.ids
    wide = ids if ids.ndim == 2 else jnp.broadcast_to(ids[None, :], (b, ids.shape[0]))
    own = wide == candidate[:, None]
    keep = jnp.ones(wide.shape, bool)
    if source.own == "diagonal":
        keep = ~jnp.eye(b, dtype=bool)
    if source.own == "id" or mask_same_item:
        keep = keep & ~own
    if query is not None:
        keep = keep & (wide != query[:, None])
    if drawn.kept is not None:
        keep = keep & (drawn.kept if drawn.kept.ndim == 2 else drawn.kept[None, :])
    if known is not None:
        keep = keep & (own | ~is_known(known, wide if ids.ndim == 2 else ids))
    return keep


def first_of_each(
    ids: Int[Array, " c"], usable: Bool[Array, " c"], own: Int[Array, " b"] | None
) -> Bool[Array, "b c"]:
    """True for the first column of each id, as a row sees them; [1, c] without own.

    Args:
      ids: of all blocks' columns, shared by the rows.
      usable: a column that isn't stands for no id.
      own: each row's own column, which is no draw of the row: the first of its id is
        the next one.

    >>> ids, usable = jnp.array([7, 5, 7]), jnp.ones(3, bool)
    >>> first_of_each(ids, usable, jnp.array([0, 1])).tolist()
    [[True, True, True], [True, True, False]]
    """
    c = ids.shape[0]
    column = jnp.arange(c, dtype=jnp.int32)
    # An id of its own for what can't be used: below 0, where there are no others.
    order = jnp.argsort(jnp.where(usable, ids, -1 - column), stable=True)
    ordered = jnp.where(usable, ids, -1 - column)[order]
    again = ordered[1:] == ordered[:-1]
    repeat = jnp.concatenate([jnp.zeros(1, bool), again])
    third = jnp.concatenate([jnp.zeros(2, bool), again[1:] & again[:-1]])[:c]
    first = jnp.zeros(c, bool).at[order].set(~repeat)[None, :]
    if own is None:
        return first
    second = jnp.zeros(c, bool).at[order].set(repeat & ~third)
    before = jnp.zeros(c, jnp.int32).at[order].set(jnp.roll(order, 1).astype(jnp.int32))
    return first | (second[None, :] & (before[None, :] == own[:, None]))


def is_known(known: Known, ids: Int[Array, "..."]) -> Bool[Array, "b c"]:
    """True where a row has the item: ids [c], or [b, c] a row its own."""
    if known.bits.shape[1]:
        shared = ids.ndim == 1
        word, bit = ids >> 5, (ids & 31).astype(jnp.uint32)
        words = (
            known.bits[:, word]
            if shared
            else jnp.take_along_axis(known.bits, word, axis=1)
        )
        return (words >> (bit[None, :] if shared else bit)) & jnp.uint32(1) == 1
    wide = jnp.broadcast_to(ids, (known.ids.shape[0], ids.shape[-1]))
    return jax.vmap(_contains)(known.ids, wide)


def _contains(ids: Int[Array, " s"], wanted: Int[Array, " c"]) -> Bool[Array, " c"]:
    at = jnp.searchsorted(ids, wanted)
    return ids[jnp.minimum(at, ids.shape[0] - 1)] == wanted
