"""Embedding tables live outside the towers: a step looks rows up and hands them over.

The step differentiates with respect to rows, so the optimiser knows which rows were
touched, and decides itself how they are updated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from research.rng import stream
from research.towers.inputs import ItemInput, UserInput

__all__ = [
    "ItemLookup",
    "SideArrays",
    "UserLookup",
    "init_tables",
    "item_input",
    "item_lookup",
    "look_up",
    "user_input",
    "user_lookup",
]

INIT_SCALE = 0.05
CODE_DIM = 16  # width of the tables of the few-valued codes
HISTORY = "history"

Rows = dict[str, Float[Array, "..."]]


class SideArrays(NamedTuple):
    """One side's features on the device: codes[name] [n] and dense [n, f]."""

    codes: dict[str, Int[Array, " n"]]
    dense: Float[Array, "n f"]


class UserLookup(NamedTuple):
    """Which row of which table a batch of users needs, and what needs no table."""

    ids: dict[str, Int[Array, "..."]]
    keep: Bool[Array, "b l"]
    dense: Float[Array, "b f"]


class ItemLookup(NamedTuple):
    """Which row of which table a set of items needs, and what needs no table."""

    ids: dict[str, Int[Array, "*c"]]
    dense: Float[Array, "*c g"]


def init_tables(
    key: Key[Array, ""], sizes: dict[str, int], dim: int
) -> dict[str, Float[Array, "rows _"]]:
    """Normal rows of scale 0.05: user, item and history of width dim, codes of 16."""
    tables = {}
    for name, rows in sizes.items():
        width = dim if name in ("user", "item", HISTORY) else CODE_DIM
        tables[name] = INIT_SCALE * jax.random.normal(stream(key, name), (rows, width))
    return tables


def user_lookup(
    side: SideArrays,
    item: Int[Array, " e"],
    offsets: Int[Array, " u1"],
    entity: Int[Array, " b"],
    position: Int[Array, " b"],
    length: int,
) -> UserLookup:
    """The last ``length`` items before position, latest first, and the user's codes.

    Args:
      side: the user features.
      item: the item of each fitted event, sorted by user and time.
      offsets: where each user's events begin.
      entity: the user of each query.
      position: the event before which the history ends.
      length: how many items are looked back at.
    """
    back = jnp.arange(1, length + 1, dtype=position.dtype)
    at = position[:, None] - back[None, :]
    keep = at >= offsets[entity][:, None]
    ids = {name: code[entity] for name, code in side.codes.items()}
    if length:
        ids[HISTORY] = item[jnp.where(keep, at, 0)]
    return UserLookup(ids=ids, keep=keep, dense=side.dense[entity])


def item_lookup(side: SideArrays, ids: Int[Array, "*c"]) -> ItemLookup:
    """The codes and dense features of the items."""
    return ItemLookup({n: code[ids] for n, code in side.codes.items()}, side.dense[ids])


def look_up(tables: Rows, ids: dict[str, Int[Array, "..."]]) -> Rows:
    """The rows, by table."""
    return {name: tables[name][index] for name, index in ids.items()}


def user_input(rows: Rows, lookup: UserLookup, dim: int) -> UserInput:
    """What the user tower is given."""
    others = {name: row for name, row in rows.items() if name != HISTORY}
    empty = jnp.zeros((lookup.keep.shape[0], 0, dim))
    return UserInput(rows.get(HISTORY, empty), lookup.keep, others, lookup.dense)


def item_input(rows: Rows, lookup: ItemLookup) -> ItemInput:
    """What the item tower is given."""
    return ItemInput(rows, lookup.dense)
