"""Masks: which columns may be negatives of a row."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32


class UserPositives(NamedTuple):
    """The items of each query in the training part: as bits or as ids, never both."""

    bits: UInt32[Array, "u w"]  # one per item: fast, where the table of all fits
    ids: Int[Array, "u s"]  # ascending, padded with the number of items: small


def rows_known(known: UserPositives, query: Int[Array, " b"]) -> UserPositives:
    """The known positives of these queries."""
    return jax.tree.map(lambda rows: rows[query], known)


def is_known(known: UserPositives, ids: Int[Array, "..."]) -> Bool[Array, "b c"]:
    """True where an item is a known positive of a row."""
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


class Rows(NamedTuple):
    """What decides which columns may be negatives of a row."""

    place: Int[Array, " b"]  # in the batch
    positive: Int[Array, " b"]
    known: UserPositives | None = None  # items to be masked, all but the positive
    # Queries of the candidates' kind: a query is no negative of its own row.
    query: Int[Array, " b"] | None = None


class Columns(NamedTuple):
    """What columns hold: [c] if rows share them, [b, k] if each row has its own.

    place and item are None where they mask nothing, as comparing every row with every
    column is a good part of the cost of logits in blocks. A column has at most one of
    the two.
    """

    ids: Int[Array, "..."]
    place: Int[Array, " c"] | None  # of the row whose positive it is; -1: no row's
    item: Int[Array, "..."] | None  # masked for rows with that positive; -1: for none
    usable: Bool[Array, "..."]  # by any row; or [b, c], by that row


def keep_columns(rows: Rows, columns: Columns) -> Bool[Array, "b c"]:
    """True where a column can be used and is a negative of the row."""
    shape = rows.place.shape[0], columns.ids.shape[-1]
    keep = jnp.broadcast_to(_by_row(columns.usable), shape)
    for ids, own in masked_ids(rows, columns):
        keep = keep & (_by_row(ids) != own[:, None])
    if rows.known is not None:
        same = _by_row(columns.ids) == rows.positive[:, None]
        keep = keep & (same | ~is_known(rows.known, columns.ids))
    return keep


def masked_ids(rows: Rows, columns: Columns) -> list[tuple[Array, Array]]:
    """Values of columns, [c] or [b, k], that mask rows of the same value, [b]."""
    pairs = [(columns.place, rows.place), (columns.item, rows.positive)]
    if rows.query is not None:
        pairs.append((columns.ids, rows.query))
    return [(ids, own) for ids, own in pairs if ids is not None]


def _by_row(array: Array) -> Array:
    return array if array.ndim == 2 else array[None, :]


def first_of_each(
    ids: Int[Array, " c"], usable: Bool[Array, " c"], own: Int[Array, " b"] | None
) -> Bool[Array, "b c"]:
    """True for the first column of each id, as a row sees them; [1, c] without own.

    >>> ids, usable = jnp.array([7, 5, 7]), jnp.ones(3, bool)
    >>> first_of_each(ids, usable, jnp.array([0, 1])).tolist()
    [[True, True, True], [True, True, False]]
    """
    c = ids.shape[0]
    column = jnp.arange(c, dtype=jnp.int32)
    # Columns that can't be used get distinct ids below 0, where there are no others.
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
