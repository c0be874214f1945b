"""What a step draws: its pairs, their negatives, and the rows that all that needs."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from research.blocking import is_wide, width
from research.config import Config
from research.losses.columns import chunked
from research.negatives.source import Batch, Drawn, Source
from research.rng import stream
from research.towers.tables import ItemLookup, Rows, item_lookup
from research.train.model import Model
from research.train.sides import Lookup, candidate_lookup, query_lookup
from research.train.touched import Touched
from research.train.world import World

__all__ = ["Drawing", "draw", "touched_rows"]


class Drawing(NamedTuple):
    """A step's pairs, the negatives drawn for them, and which rows all that needs.

    wide has for each source, in chunks, the items that are encoded block by block.
    """

    batch: Batch
    drawn: tuple[Drawn, ...]
    queries: Lookup
    candidates: Lookup
    wide: tuple[ItemLookup | None, ...]


def draw(
    model: Model,
    sources: tuple[Source, ...],
    config: Config,
    memories: tuple[Any, ...],
    index: Int[Array, " b"],
    world: World,
    key: Key[Array, ""],
) -> Drawing:
    """Draws a step's negatives, and says which rows of which tables it all needs.

    Args:
      model: whose history is to be filled.
      sources: of negatives; each has a random stream of its own.
      config: the run's, which decides what is encoded in blocks.
      memories: the sources' states.
      index: of the step's pairs.
      world: where they are.
      key: of the step.
    """
    batch = Batch(*(column[index] for column in world.pairs))
    drawn = tuple(
        source.draw(stream(key, f"{n} {source.name}"), batch, memory, world.pool)
        for n, (source, memory) in enumerate(zip(sources, memories, strict=True))
    )
    fresh: list[Array] = []
    wide: list[ItemLookup | None] = []
    for source, block in zip(sources, drawn, strict=True):
        later = None
        if source.origin == "fresh":
            if block.ids.ndim == 1 and is_wide(config, len(index), len(block.ids)):
                chunks = chunked(block.ids, width(len(index)))
                later = item_lookup(world.items, chunks, world.timed, batch.position)
            else:
                fresh.append(block.ids.reshape(-1))
        wide.append(later)
    queries = query_lookup(model, world, batch.query, batch.position)
    wanted = jnp.concatenate([batch.candidate, *fresh])
    candidates = candidate_lookup(model, world, wanted, batch.position)
    return Drawing(batch, drawn, queries, candidates, tuple(wide))


def touched_rows(
    drawing: Drawing, queries: Rows, candidates: Rows, wide: tuple[Rows | None, ...]
) -> list[Touched]:
    """The gradients of all rows that the step looked up."""
    looked_up = [
        (drawing.queries.ids, queries),
        (drawing.candidates.ids, candidates),
    ]
    for lookup, rows in zip(drawing.wide, wide, strict=True):
        if lookup is not None and rows is not None:
            looked_up.append((lookup.ids, rows))
    return [
        Touched(table, ids[table], rows[table])
        for ids, rows in looked_up
        for table in rows
    ]
