"""Which tower encodes queries and which candidates: looked up and encoded by side."""

from typing import Any

import jax
from jaxtyping import Array, Float, Int

from research.towers.tables import (
    ItemLookup,
    Rows,
    UserLookup,
    item_input,
    item_lookup,
    user_input,
)
from research.train.model import Model, Params
from research.train.world import World

__all__ = ["Lookup", "candidate_lookup", "encode", "query_lookup"]

Lookup = UserLookup | ItemLookup


def query_lookup(
    model: Model, world: World, ids: Int[Array, " b"], position: Int[Array, " b"]
) -> Lookup:
    """Which rows the queries need; a user's history is what stands before position."""
    if model.query == "item":
        return item_lookup(world.items, ids)
    return model.look_at(world, ids, position)


def candidate_lookup(
    model: Model, world: World, ids: Int[Array, " c"], position: Int[Array, " b"]
) -> Lookup:
    """Which rows the candidates need, at the time of the batch's events.

    Of a candidate that is a user, the whole history.
    """
    if model.candidate == "item":
        return item_lookup(world.items, ids, world.timed, position)
    return model.look_at(world, ids, world.offsets[ids + 1])


def encode(
    model: Model,
    nets: Params,
    rows: Rows,
    lookup: Lookup,
    dropout: Float[Array, ""] | float,
    key: jax.Array | None,
) -> Float[Array, "n d"]:
    """Vectors by the tower that the lookup is for; only the user's drops its input."""
    vectors: Any
    if isinstance(lookup, UserLookup):
        given = user_input(rows, lookup, model.dim)
        vectors = model.user.apply(nets["user"], given, dropout, key)
    else:
        vectors = model.item.apply(nets["item"], item_input(rows, lookup))
    found: Float[Array, "n d"] = vectors
    return found
