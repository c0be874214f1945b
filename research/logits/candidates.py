"""The one path from vectors to logits: all columns scored, corrected and masked."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.config import Config
from research.logits.correction import LogQ, log_q_parts, logits
from research.logits.looked_up import looked_up, scores_of
from research.logits.masks import (
    Columns,
    Rows,
    UserPositives,
    first_of_each,
    keep_columns,
)
from research.logits.one_pass import ExpectedCotangent, chunked
from research.logits.reducers import (
    WHOLE,
    Blocked,
    Dense,
    Negatives,
    Plan,
    Shared,
    Union,
    by_rows,
)
from research.negatives.source import (
    Drawn,
    Hyper,
    Pool,
    Source,
    Sources,
    SourceState,
    SourceStates,
    total_draws,
    union_log_inclusion,
    union_log_q,
)
from research.positives import POSITIVES
from research.temperature.kinds import Temperature
from research.towers.inputs import ItemInput, ItemLookup, item_input
from research.towers.inputs import Rows as TableRows
from research.types import Pairs


class LazyItems(NamedTuple):
    """Items too many to encode at once, in chunks [k, n] whose end may be padding."""

    lookup: ItemLookup
    rows: TableRows
    encode: Callable[[ItemInput], Any]  # the tower: vectors [n, d]


class Block(NamedTuple):
    """Columns of one source in this step."""

    source: Source
    source_state: SourceState
    drawn: Drawn
    # [c, d]; of each row's own columns [b, k, d], or the whole catalogue's [i, d].
    vectors: Float[Array, "..."] | LazyItems


def split_blocks(
    vectors: Float[Array, "n d"],
    sources: Sources,
    source_states: SourceStates,
    drawn: tuple[Drawn, ...],
    size: int,
    lazy_items: Mapping[int, LazyItems] = MappingProxyType({}),
    looked_up: tuple[bool, ...] = (),
    items: int = 0,
) -> tuple[Block, ...]:
    """Each source's block out of one pass of the candidate tower."""
    blocks, at = [], size
    for n, (source, block) in enumerate(zip(sources, drawn, strict=True)):
        columns = lazy_items.get(n, block.vectors)
        if source.origin == "batch":
            columns = vectors[:size]
        elif columns is None and any(looked_up[n : n + 1]):
            columns = vectors[at : at + items]
            at += items
        elif columns is None:
            columns = vectors[at : at + block.ids.size]
            columns = columns.reshape((*block.ids.shape, vectors.shape[-1]))
            at += block.ids.size
        blocks.append(Block(source, source_states[n], block, columns))
    return tuple(blocks)


def candidate_logits(
    config: Config,
    query: Float[Array, "b d"],
    positive: Float[Array, "b d"],
    blocks: tuple[Block, ...],
    pairs: Pairs,
    pool: Pool,
    known: UserPositives | None,
    hyper: Hyper,
    temperature: Temperature | None = None,
    plan: Plan = WHOLE,
) -> tuple[Float[Array, " b"], Negatives]:
    """Logits of the positives [b], and those of the negatives through reducers."""
    log_q = _block_log_q(config, blocks, pairs, pool)
    temperature = temperature or Temperature(hyper["temperature"])
    strength, divisor = hyper["logq"], temperature.own(pairs.candidate)
    score = jnp.sum(query * positive, axis=1)
    positive_logits = logits(score, divisor, strength, log_q.positive)
    place = jnp.arange(query.shape[0], dtype=jnp.int32)
    ranks_items = POSITIVES.choose(config.positives).ranks_items
    entity = None if ranks_items else pairs.query
    rows = Rows(place, pairs.candidate, known, entity)
    batch = _Batch(query, rows, strength, log_q.shift, temperature)
    columns = [columns_of(b.source, b.drawn, config.mask_same_item) for b in blocks]
    vectors = [block.vectors for block in blocks]
    parts = list(zip(vectors, columns, log_q.columns, strict=True))
    anchor = positive_logits + strength * log_q.shift
    expected = ExpectedCotangent(anchor, pairs.weight)
    negatives = _negatives(batch, parts, expected, plan)
    if config.duplicates == "inclusion":
        assert isinstance(negatives, Dense)  # choose_plan sees to it
        negatives = Dense(negatives.z, negatives.keep & _distinct(blocks, columns))
    return positive_logits, negatives


class _Batch(NamedTuple):
    """What the logits of all blocks share; each method makes the logits of some."""

    query: Float[Array, "b d"]
    rows: Rows
    strength: Float[Array, ""]
    shift: Float[Array, " b"]
    temperature: Temperature

    def held(
        self, vectors: Array, columns: Columns, log_q: Array, plan: Plan = WHOLE
    ) -> Dense:
        """Logits that are held whole; vectors are as in Block."""
        if vectors.ndim == 3:
            score = jnp.einsum("bd,bkd->bk", self.query, vectors)
        elif columns.ids.ndim == 1:
            score, log_q = self.query @ vectors.T, log_q[None, :]
        elif len(self.query) * len(vectors) <= plan.row_block:
            score = looked_up(self.query, vectors, columns.ids)
        else:
            in_blocks = functools.partial(scores_of, row_block=plan.row_block)
            score = by_rows(in_blocks, "rwr")(self.query, vectors, columns.ids)
        divisor = self.temperature.columns(columns.ids)
        z = logits(score, divisor, self.strength, log_q + self.shift[:, None])
        return Dense(z, keep_columns(self.rows, columns))

    def encoded_inside(
        self, items: LazyItems, columns: Columns, log_q: Array
    ) -> Blocked:
        """Logits in blocks that encode their own items: never all vectors at once."""

        def block(chunk: Any) -> Dense:
            columns, log_q, lookup, table_rows = chunk
            vectors = items.encode(item_input(table_rows, lookup))
            return self.held(vectors, columns, log_q)

        chunks = chunked((columns, log_q), items.lookup.dense.shape[1])
        return Blocked(len(self.query), block, (*chunks, items.lookup, items.rows))

    def shared(
        self,
        parts: list[tuple[Array, Columns, Array]],
        expected: ExpectedCotangent,
        plan: Plan,
    ) -> Shared:
        """Logits of columns that all rows share, with the temperature in the vectors.

        As in ``logits``, the temperature divides the score and not log q.
        """
        vectors = jnp.concatenate([part[0] for part in parts])
        columns = _side_by_side([part[1] for part in parts])
        bias = -self.strength * jnp.concatenate([part[2] for part in parts])
        query, shift = self.query, -self.strength * self.shift
        row, item = self.temperature
        if item is not None:
            vectors = vectors / item[columns.ids][:, None]
        else:
            query = query / (row[:, None] if row.ndim else row)
        return Shared(query, vectors, bias, shift, self.rows, columns, expected, plan)


def _negatives(
    batch: _Batch,
    parts: list[tuple[Array | LazyItems, Columns, Array]],
    expected: ExpectedCotangent,
    plan: Plan,
) -> Negatives:
    """The negatives of all sources: held whole where the plan says so, else a union.

    In a union each row's own columns are held, as their vectors keep them few; of the
    columns that rows share there is no [b, c] array.
    """
    blocks: list[Negatives] = []
    shared: list[tuple[Array, Columns, Array]] = []
    for vectors, columns, log_q in parts:
        if isinstance(vectors, LazyItems):
            blocks.append(batch.encoded_inside(vectors, columns, log_q))
        elif plan.whole or columns.ids.ndim == 2 or columns.usable.ndim == 2:
            blocks.append(batch.held(vectors, columns, log_q, plan))
        else:
            shared.append((vectors, columns, log_q))
    if plan.whole:
        held = [block for block in blocks if isinstance(block, Dense)]
        z = jnp.concatenate([block.z for block in held], axis=1)
        return Dense(z, jnp.concatenate([block.keep for block in held], axis=1))
    if shared:
        blocks.append(batch.shared(shared, expected, plan))
    return Union(tuple(blocks))


def columns_of(source: Source, drawn: Drawn, mask_same_item: bool) -> Columns:
    """What a block's columns hold, and what they are masked by."""
    by_item = source.own == "id" or mask_same_item
    # Masked by item, a row's own column is masked with the others of that item.
    by_place = source.own == "diagonal" and not by_item
    place = jnp.arange(drawn.ids.shape[0], dtype=jnp.int32) if by_place else None
    usable = jnp.ones(drawn.ids.shape, bool) if drawn.kept is None else drawn.kept
    return Columns(drawn.ids, place, drawn.ids if by_item else None, usable)


def _side_by_side(parts: list[Columns]) -> Columns:
    """Shared columns of several blocks; a mask that none of them has stays None."""

    def joined(arrays: list[Array | None]) -> Array | None:
        if all(array is None for array in arrays):
            return None
        unmasked = [jnp.full_like(part.ids, -1) for part in parts]
        filled = [b if a is None else a for a, b in zip(arrays, unmasked, strict=True)]
        return jnp.concatenate(filled)

    return Columns(
        jnp.concatenate([part.ids for part in parts]),
        joined([part.place for part in parts]),
        joined([part.item for part in parts]),
        jnp.concatenate([part.usable for part in parts]),
    )


def masked_share(negatives: Negatives, blocks: tuple[Block, ...]) -> Array:
    """Share of the usable columns that are masked for a row, a mean over the rows.

    The row's own column and, where columns are de-duplicated, repeats are among them;
    columns that are not usable (a cold cache, a part left out) don't count.
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


def _distinct(blocks: tuple[Block, ...], columns: list[Columns]) -> Array:
    """True where a column is the first of its item that a row has drawn, [b, c]."""
    every, own, at = _side_by_side(columns), None, 0
    for block in blocks:
        count = block.drawn.ids.shape[0]
        if block.source.own == "diagonal":
            own = at + jnp.arange(count, dtype=jnp.int32)
        at += count
    return first_of_each(every.ids, every.usable, own)


def _block_log_q(
    config: Config, blocks: tuple[Block, ...], pairs: Pairs, pool: Pool
) -> LogQ:
    """log q of the positives and of each block's columns, by the config's switches."""
    sources = tuple(block.source for block in blocks)
    source_states = tuple(block.source_state for block in blocks)
    size = pairs.candidate.shape[0]

    union = union_log_inclusion if config.duplicates == "inclusion" else union_log_q
    # Where q is unknown there is no correction (check_negatives): any number will do.
    known = all(source.log_q is not None for source in sources)

    def of(ids: Int[Array, "..."]) -> Float[Array, "..."]:
        if not known:
            return jnp.zeros(ids.shape)
        return union(ids, sources, source_states, pool, size)

    columns = tuple(
        of(block.drawn.ids) if block.drawn.log_q is None else block.drawn.log_q
        for block in blocks
    )
    draws = total_draws(sources, source_states, pool, size)
    # A source with row_log_q is corrected only where it is alone (check_negatives).
    rows = [s.row_log_q(pairs, m, pool) for s, m, _, _ in blocks if s.row_log_q]
    row = rows[0] if rows else None
    return log_q_parts(config, columns, of(pairs.candidate), draws, row)


def push(
    config: Config, blocks: tuple[Block, ...], pool: Pool, batch_size: int
) -> tuple[Block, ...]:
    """The blocks, with the gradient on items' vectors that item_gradient asks for.

    Scores, losses and the queries' gradients are the same under every choice.
    Under item_gradient drawn the blocks stay as they are; under batch every column but
    the batch's has its gradient stopped; under balanced too, and the batch's is
    weighted by N Q'(j) / (n q(j)): the expected number of columns of j in all, divided
    by that in the batch.

    n and q are of the batch's draws, N and Q' of the union. For a FIFO, which draws as
    the batch does, the weight is N / n, and the mean gradient over the ways in which a
    set of columns can fall into batch and bank is that of encoding them all. For other
    sources that holds to O(1 / N), and the weight of an item that the batch seldom
    holds is large. It is this project's own: the papers on caches [wang2020xbm,
    wang2021] leave the repulsive gradient out. While a cache is cold the weight is 1.
    """
    if config.item_gradient == "drawn":
        return blocks

    def log_expected(ids: Array, union: list[Block]) -> Array:
        sources = tuple(b.source for b in union), tuple(b.source_state for b in union)
        draws = total_draws(*sources, pool, batch_size)
        return jnp.log(draws) + union_log_q(ids, *sources, pool, batch_size)

    in_batch = [block for block in blocks if block.source.origin == "batch"]
    pushed = []
    for block in blocks:
        assert not isinstance(block.vectors, LazyItems)  # choose_plan encodes them
        vectors = jax.lax.stop_gradient(block.vectors)
        if block.source.origin == "batch" and config.item_gradient == "balanced":
            ids = block.drawn.ids
            weight = log_expected(ids, [*blocks]) - log_expected(ids, in_batch)
            vectors = vectors + jnp.exp(weight)[:, None] * (block.vectors - vectors)
        elif block.source.origin == "batch":
            vectors = block.vectors
        pushed.append(block._replace(vectors=vectors))
    return tuple(pushed)
