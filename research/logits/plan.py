"""When logits are too many to be held, and how they are then had: block by block."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from research.config import Config
from research.logits import logits
from research.logits.blocked import Blocked, Union, Wide
from research.logits.candidates import Block, Unencoded, block_log_q, block_logits
from research.logits.corrections import Known, LogQ, keep_columns
from research.logits.one_pass import ExpectedCotangent
from research.logits.reducers import Columns, Dense, Negatives, Rows, chunked, keep_of
from research.losses import LOSSES
from research.negatives import held_whole
from research.negatives.source import Batch, Hyper, Pool
from research.temperature.kinds import Temperature
from research.towers.inputs import item_input

# Logits of a step from which they come in blocks: from the first where the loss has all
# it needs of them in one pass (Loss.one_pass), which is then the faster way.
ONE_PASS, CELLS = 1 << 20, 1 << 23
ENCODED = 1 << 16  # columns of a source above which the tower runs inside a block
AT_ONCE = 1 << 22  # logits of one such block


def is_blocked(config: Config, rows: int, columns: int) -> bool:
    """Whether a step's logits come in blocks."""
    enough = ONE_PASS if LOSSES[config.loss].one_pass else CELLS
    return held_whole(config) is None and rows * columns >= enough


def is_wide(config: Config, rows: int, columns: int) -> bool:
    """Whether one source's fresh columns, shared by the rows, are encoded in blocks.

    Then a block's logits are made twice, so one pass is no reason for it.
    """
    many = rows * columns >= CELLS and columns > ENCODED
    return many and held_whole(config) is None


def width(rows: int) -> int:
    """Columns of a block of so many rows."""
    return max(AT_ONCE // rows, 128)


def blocked_logits(
    config: Config,
    query: Float[Array, "b d"],
    positive: Float[Array, "b d"],
    blocks: tuple[Block, ...],
    batch: Batch,
    pool: Pool,
    known: Known | None,
    hyper: Hyper,
    temperature: Temperature,
) -> tuple[Float[Array, " b"], Union]:
    """What ``candidate_logits`` gives, without a [b, c] array of the shared columns.

    Arguments are as there. Blocks with columns of each row's own are held whole: they
    are as narrow as their vectors allow.
    """
    parts = block_log_q(config, blocks, batch, pool)
    strength = hyper["logq"]
    score = jnp.sum(query * positive, axis=1)
    own = logits(score, temperature.own(batch.candidate), strength, parts.own)
    rows = Rows(jnp.arange(len(query), dtype=jnp.int32), batch.candidate, known)
    found: list[Negatives] = []
    shared: list[tuple[Block, Array]] = []
    for block, log_q in zip(blocks, parts.columns, strict=True):
        if isinstance(block.vectors, Unencoded):
            encoded = block, block.vectors, log_q
            found.append(
                _unencoded(config, query, *encoded, rows, parts, strength, temperature)
            )
        elif _own_columns(block):
            z = block_logits(query, block, log_q, parts.row, strength, temperature)
            same = config.mask_same_item
            keep = keep_columns(block.source, block.drawn, batch.candidate, known, same)
            found.append(Dense(z, keep))
        else:
            shared.append((block, log_q))
    if shared:
        told = ExpectedCotangent(own + strength * parts.row, batch.weight)
        shift = -strength * parts.row
        given = _folded(query, shared, strength, temperature)
        columns = _columns(config, [block for block, _ in shared])
        found.append(Wide(*given, shift, rows, columns, told, width(len(query))))
    return own, Union(tuple(found))


def _own_columns(block: Block) -> bool:
    """Whether rows differ in what they may use of it, beyond masks by id and place."""
    kept = block.drawn.kept
    return block.drawn.ids.ndim == 2 or (kept is not None and kept.ndim == 2)


def _folded(
    query: Array,
    shared: list[tuple[Block, Array]],
    strength: Array,
    temperature: Temperature,
) -> tuple[Array, Array, Array]:
    """Query, vectors and bias with <query, vectors> + bias the logits, but for a shift.

    The order is that of ``logits``: the temperature divides the score, not log q.
    """
    vectors = jnp.concatenate([block.vectors for block, _ in shared])  # type: ignore[misc]
    log_q = jnp.concatenate([log_q for _, log_q in shared])
    if temperature.item is not None:
        ids = jnp.concatenate([block.drawn.ids for block, _ in shared])
        vectors = vectors / temperature.item[ids][:, None]
    else:
        row = temperature.row
        query = query / (row[:, None] if row.ndim else row)
    return query, vectors, -strength * log_q


def _columns(config: Config, blocks: list[Block]) -> Columns:
    """Blocks side by side, without the kind of mask that none of them needs."""
    same, drawn = config.mask_same_item, [block.drawn for block in blocks]
    own = [block.source.own for block in blocks]
    nobody = [jnp.full_like(part.ids, -1) for part in drawn]
    place = item = None
    if "diagonal" in own and not same:  # same masks a row's own column with the others
        places = [jnp.arange(len(part.ids), dtype=jnp.int32) for part in drawn]
        place = _where([kind == "diagonal" for kind in own], places, nobody)
    if "id" in own or same:
        ids = [part.ids for part in drawn]
        item = _where([kind == "id" or same for kind in own], ids, nobody)
    usable = [
        jnp.ones(part.ids.shape, bool) if part.kept is None else part.kept
        for part in drawn
    ]
    held = jnp.concatenate([part.ids for part in drawn])
    return Columns(place, item, held, jnp.concatenate(usable))


def _where(chosen: list[bool], some: list[Array], others: list[Array]) -> Array:
    return jnp.concatenate([a if c else b for c, a, b in zip(chosen, some, others)])


def _unencoded(
    config: Config,
    query: Array,
    block: Block,
    items: Unencoded,
    log_q: Array,
    rows: Rows,
    parts: LogQ,
    strength: Array,
    temperature: Temperature,
) -> Blocked:
    """Columns with the item tower inside a block: their vectors never lie together."""

    def one(chunk: Any) -> tuple[Array, Array]:
        columns, log_q, lookup, table_rows = chunk
        vectors = items.encode(item_input(table_rows, lookup))
        wide = log_q[None, :] + parts.row[:, None]
        divisor = temperature.columns(columns.ids)
        z = logits(query @ vectors.T, divisor, strength, wide)
        return z, (keep_of(rows, columns) & columns.usable[:, None]).T

    n = items.lookup.dense.shape[1]
    columns = chunked((_columns(config, [block]), log_q), n)
    return Blocked(len(query), one, (*columns, items.lookup, items.rows))
