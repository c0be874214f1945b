"""One candidate set a row: scores of all blocks, corrected, masked, side by side."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.config import Config
from research.corrections import Known, LogQ, keep_columns, log_q_parts
from research.logits import logits
from research.losses.negatives import Dense
from research.negatives.mixture import total_draws, union_log_q
from research.negatives.source import Batch, Drawn, Hyper, Pool, Source

__all__ = ["Block", "candidate_logits", "rows_known", "split_blocks"]


class Block(NamedTuple):
    """What one source gave in this step; vectors [c, d], or [b, k, d] a row its own."""

    source: Source
    memory: Any
    drawn: Drawn
    vectors: Float[Array, "..."]


def split_blocks(
    vectors: Float[Array, "n d"],
    sources: tuple[Source, ...],
    memories: tuple[Any, ...],
    drawn: tuple[Drawn, ...],
    size: int,
) -> tuple[Block, ...]:
    """Each source's block out of one pass of the candidate tower.

    Args:
      vectors: of the positives (the first ``size``), then of each fresh block's ids.
      sources: of the blocks.
      memories: the sources' states.
      drawn: what they drew.
      size: number of positives.
    """
    blocks, at = [], size
    for source, memory, block in zip(sources, memories, drawn, strict=True):
        if source.origin == "batch":
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
    """
    parts = _log_q(config, blocks, batch, pool)
    temperature, strength = hyper["temperature"], hyper["logq"]
    own = logits(jnp.sum(query * positive, axis=1), temperature, strength, parts.own)
    columns, keeps = [], []
    for block, log_q in zip(blocks, parts.columns, strict=True):
        if block.vectors.ndim == 2:
            score, log_q = query @ block.vectors.T, log_q[None, :]
        else:
            score = jnp.einsum("bd,bkd->bk", query, block.vectors)
        wide = log_q + parts.row[:, None]
        columns.append(logits(score, temperature, strength, wide))
        keeps.append(
            keep_columns(
                block.source, block.drawn, batch.candidate, known, config.mask_same_item
            )
        )
    return own, Dense(jnp.concatenate(columns, axis=1), jnp.concatenate(keeps, axis=1))


def _log_q(config: Config, blocks: tuple[Block, ...], batch: Batch, pool: Pool) -> LogQ:
    sources = tuple(block.source for block in blocks)
    memories = tuple(block.memory for block in blocks)
    size = batch.candidate.shape[0]

    def of(ids: Int[Array, "..."]) -> Float[Array, "..."]:
        return union_log_q(ids, sources, memories, pool, size)

    return log_q_parts(
        tuple(of(block.drawn.ids) for block in blocks),
        of(batch.candidate),
        total_draws(sources, memories, pool, size),
        config.correct_positive,
        config.leave_own_out,
        config.expected_count,
    )


def rows_known(known: Known, query: Int[Array, " b"]) -> Known:
    """The known positives of these queries."""
    return jax.tree.map(lambda rows: rows[query], known)
