"""One candidate set a row: scores of all blocks, corrected, masked, side by side."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from research.config import Config
from research.logits import logits
from research.logits.corrections import (
    Known,
    LogQ,
    first_of_each,
    keep_columns,
    log_q_parts,
)
from research.logits.reducers import Dense, Negatives
from research.negatives.source import Batch, Drawn, Hyper, Pool, Source
from research.negatives.union import total_draws, union_log_inclusion, union_log_q
from research.positives import POSITIVES
from research.temperature.kinds import Temperature
from research.towers.inputs import ItemInput, ItemLookup, Rows


class Unencoded(NamedTuple):
    """Items too many to encode at once, in chunks [k, n] whose end may be padding."""

    lookup: ItemLookup
    rows: Rows
    encode: Callable[[ItemInput], Float[Array, "n d"]]


class Block(NamedTuple):
    """What one source gave in this step; vectors [c, d], or [b, k, d] a row its own."""

    source: Source
    memory: Any
    drawn: Drawn
    vectors: Float[Array, "..."] | Unencoded


def split_blocks(
    vectors: Float[Array, "n d"],
    sources: tuple[Source, ...],
    memories: tuple[Any, ...],
    drawn: tuple[Drawn, ...],
    size: int,
    wide: tuple[Unencoded | None, ...] = (),
) -> tuple[Block, ...]:
    """Each source's block out of one pass of the candidate tower.

    Args:
      vectors: of the positives (the first ``size``), then of each fresh block's ids.
      sources: of the blocks.
      memories: the sources' states.
      drawn: what they drew.
      size: number of positives.
      wide: for each source what is left to be encoded later, if anything is.
    """
    blocks, at = [], size
    wide = wide or (None,) * len(sources)
    for source, memory, block, later in zip(
        sources, memories, drawn, wide, strict=True
    ):
        own: Array | Unencoded
        if later is not None:
            own = later
        elif source.origin == "batch":
            own = vectors[:size]
        elif source.origin == "stored":
            assert block.vectors is not None
            own = block.vectors
        else:
            own = vectors[at : at + block.ids.size]
            own = own.reshape((*block.ids.shape, vectors.shape[-1]))
            at += block.ids.size
        blocks.append(Block(source, memory, block, own))
    return tuple(blocks)


def candidate_logits(
    config: Config,
    query: Float[Array, "b d"],
    positive: Float[Array, "b d"],
    blocks: tuple[Block, ...],
    batch: Batch,
    pool: Pool,
    known: Known | None,
    hyper: Hyper,
    temperature: Temperature | None = None,
) -> tuple[Float[Array, " b"], Dense]:
    """Logits of the positives [b], and of all blocks' columns with what is kept.

    Args:
      config: the switches of correction and masks.
      query: query vectors.
      positive: vectors of each row's positive.
      blocks: of all sources.
      batch: ids of the rows' queries and positives.
      pool: what the sources draw from.
      known: the rows' known positives where they are to be masked, else None.
      hyper: temperature and logq (the strength of the correction), traced.
      temperature: of the step; default the one in hyper, for every score.
    """
    parts = block_log_q(config, blocks, batch, pool)
    temperature = temperature or Temperature(hyper["temperature"])
    strength = hyper["logq"]
    score = jnp.sum(query * positive, axis=1)
    own = logits(score, temperature.own(batch.candidate), strength, parts.own)
    columns, keeps = [], []
    for block, log_q in zip(blocks, parts.columns, strict=True):
        columns.append(
            block_logits(query, block, log_q, parts.row, strength, temperature)
        )
        keeps.append(
            keep_columns(
                block.source,
                block.drawn,
                batch.candidate,
                known,
                config.mask_same_item,
                None if POSITIVES[config.positives].ranks_items else batch.query,
            )
        )
    keep = jnp.concatenate(keeps, axis=1)
    if config.duplicates == "inclusion":
        keep = keep & _distinct(blocks, batch.candidate.shape[0])
    return own, Dense(jnp.concatenate(columns, axis=1), keep)


def hardest(negatives: Dense, k: int) -> Dense:
    """The k negatives of highest logit of each row, among those kept: [b, k].

    Online hard negatives as in [huang2020]. Differs from the paper: they
    are taken from whatever was drawn, not from the batch alone. Which are chosen has
    no gradient; their logits have. A row with fewer than k kept has the rest masked.

    >>> z = jnp.array([[1.0, 3.0, 2.0, 9.0]])
    >>> hardest(Dense(z, jnp.array([[True, True, True, False]])), 2).z.tolist()
    [[3.0, 2.0]]
    """
    open_ = jnp.where(negatives.keep, jax.lax.stop_gradient(negatives.z), -jnp.inf)
    at = jax.lax.top_k(open_, k)[1]
    return Dense(
        jnp.take_along_axis(negatives.z, at, axis=1),
        jnp.take_along_axis(negatives.keep, at, axis=1),
    )


def block_logits(
    query: Float[Array, "b d"],
    block: Block,
    log_q: Float[Array, "..."],
    row: Float[Array, " b"],
    strength: Float[Array, ""],
    temperature: Temperature,
) -> Float[Array, "b c"]:
    """Logits of one block's columns, for its part of log q and the rows' shift."""
    assert not isinstance(block.vectors, Unencoded)
    if block.vectors.ndim == 2:
        score, log_q = query @ block.vectors.T, log_q[None, :]
    else:
        score = jnp.einsum("bd,bkd->bk", query, block.vectors)
    divisor = temperature.columns(block.drawn.ids)
    return logits(score, divisor, strength, log_q + row[:, None])


def masked_share(negatives: Negatives, blocks: tuple[Block, ...]) -> Array:
    """Share of a row's usable columns that it may not use, a mean over the rows.

    Its own column and, where columns are de-duplicated, repeats are among them; what
    can't be used by any mask's doing (a cold cache, a part left out) isn't counted.
    """
    usable = jnp.zeros(())
    for block in blocks:
        kept = block.drawn.kept
        if kept is None:
            usable = usable + float(block.drawn.ids.shape[-1])
        else:
            usable = usable + jnp.sum(kept) / (len(kept) if kept.ndim == 2 else 1)
    count = negatives.count()
    mean = jnp.sum(count) / count.shape[0]
    return 1.0 - jnp.where(usable > 0, mean / jnp.maximum(usable, 1.0), 1.0)


def _distinct(blocks: tuple[Block, ...], rows: int) -> Bool[Array, "b c"]:
    """True where a column is the first of its item that a row has drawn."""
    ids, usable, own, at = [], [], None, 0
    for block in blocks:
        wide, kept = block.drawn.ids, block.drawn.kept
        ids.append(wide)
        usable.append(jnp.ones(wide.shape, bool) if kept is None else kept)
        if block.source.own == "diagonal":
            own = at + jnp.arange(rows, dtype=jnp.int32)
        at += wide.shape[0]
    return first_of_each(jnp.concatenate(ids), jnp.concatenate(usable), own)


def block_log_q(
    config: Config, blocks: tuple[Block, ...], batch: Batch, pool: Pool
) -> LogQ:
    """log q of the positives and of each block's columns, in the config's form."""
    sources = tuple(block.source for block in blocks)
    memories = tuple(block.memory for block in blocks)
    size = batch.candidate.shape[0]

    union = union_log_inclusion if config.duplicates == "inclusion" else union_log_q
    # Where nobody knows q there is no correction (checks.py), so any number will do.
    known = all(source.log_q is not None for source in sources)

    def of(ids: Int[Array, "..."]) -> Float[Array, "..."]:
        if not known:
            return jnp.zeros(ids.shape)
        return union(ids, sources, memories, pool, size)

    return log_q_parts(
        tuple(
            of(block.drawn.ids) if block.drawn.log_q is None else block.drawn.log_q
            for block in blocks
        ),
        of(batch.candidate),
        total_draws(sources, memories, pool, size),
        config.correct_positive,
        config.leave_own_out,
        config.expected_count,
    )


def rows_known(known: Known, query: Int[Array, " b"]) -> Known:
    """The known positives of these queries."""
    return jax.tree.map(lambda rows: rows[query], known)


def push(
    config: Config, blocks: tuple[Block, ...], pool: Pool, batch_size: int
) -> tuple[Block, ...]:
    """The blocks with the gradient of their items' vectors as the config wants it.

    Scores, losses and the queries' gradients are the same under every choice.

    Args:
      config: item_push: drawn leaves the blocks alone; batch stops the gradient of
        every column that isn't the batch's; balanced does too, and weighs the batch's
        by push_weight.
      blocks: of all sources.
      pool: what the sources draw from.
      batch_size: number of rows.
    """
    if config.item_push == "drawn":
        return blocks
    pushed = []
    for block in blocks:
        assert not isinstance(block.vectors, Unencoded)  # push needs them whole
        still = jax.lax.stop_gradient(block.vectors)
        if block.source.origin != "batch":
            pushed.append(block._replace(vectors=still))
        elif config.item_push == "balanced":
            weight = push_weight(block.drawn.ids, blocks, pool, batch_size)[:, None]
            moving = still + weight * (block.vectors - still)
            pushed.append(block._replace(vectors=moving))
        else:
            pushed.append(block)
    return tuple(pushed)


def push_weight(
    ids: Int[Array, " c"], blocks: tuple[Block, ...], pool: Pool, batch_size: int
) -> Float[Array, " c"]:
    """N Q'(j) / (n q(j)): columns of j expected in all, over those in the batch.

    n and q are of the batch's draws, N and Q' of the union (negatives/mixture.py). For
    a FIFO, which draws as the batch does, it is N / n, and the mean gradient over the
    ways in which a set of columns can fall into batch and bank is that of encoding them
    all. For other sources that holds to O(1 / N), and the weight of an item that the
    batch seldom holds is large. Own form: the papers on caches [wang2020xbm, wang2021]
    leave the push out. While a cache is cold the weight is 1.
    """
    own = tuple(block for block in blocks if block.source.origin == "batch")

    def log_expected(of: tuple[Block, ...]) -> Array:
        union = (tuple(b.source for b in of), tuple(b.memory for b in of))
        draws = total_draws(*union, pool, batch_size)
        return jnp.log(draws) + union_log_q(ids, *union, pool, batch_size)

    return jnp.exp(log_expected(blocks) - log_expected(own))
