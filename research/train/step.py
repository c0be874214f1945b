"""One training step: draw, encode, score, correct, mask, lose, move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.corrections import LogQ, keep_columns, log_q_parts
from research.logits import logits
from research.losses import LOSSES
from research.losses.negatives import Dense
from research.negatives import make_sources
from research.negatives.mixture import total_draws, union_log_q
from research.negatives.source import Batch, Drawn, Source
from research.rng import stream
from research.towers.tables import (
    item_input,
    item_lookup,
    look_up,
    user_input,
    user_lookup,
)
from research.train.model import Params, make_model
from research.train.optimiser import Touched, apply_dense
from research.train.world import World

__all__ = ["Hyper", "TrainState", "make_step"]

Hyper = dict[str, Float[Array, ""]]


class TrainState(NamedTuple):
    """What a step takes in and gives out; step counts from 0 over the whole run."""

    params: Params
    optimiser: Any
    sources: tuple[Any, ...]
    key: Key[Array, ""]
    step: Int[Array, ""]


Step = Callable[
    [TrainState, Int[Array, " b"], Hyper, World],
    tuple[TrainState, dict[str, Float[Array, ""]]],
]


def make_step(config: Config) -> Step:
    """The step of a config's structure: (state, pair indices [b], hyper, world) -> ."""
    model, sources = make_model(config), make_sources(config.negatives)

    def step(
        state: TrainState, index: Int[Array, " b"], hyper: Hyper, world: World
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        key = jax.random.fold_in(state.key, state.step)
        batch = Batch(*(column[index] for column in world.pairs))
        drawn = tuple(
            source.draw(stream(key, f"{b} {source.name}"), batch, memory, world.pool)
            for b, (source, memory) in enumerate(zip(sources, state.sources))
        )
        fresh = [
            d.ids.reshape(-1) for s, d in zip(sources, drawn) if s.origin == "fresh"
        ]
        candidates = jnp.concatenate([batch.candidate, *fresh])
        users = user_lookup(
            world.users, world.item, world.offsets, batch.query, batch.position,
            model.history,
        )  # fmt: skip
        items = item_lookup(world.items, candidates)
        tables = state.params["tables"]
        rows = look_up(tables, users.ids), look_up(tables, items.ids)
        nets = {name: state.params[name] for name in ("user", "item", "loss")}

        def objective(nets: Params, rows: Any) -> tuple[Float[Array, ""], Any]:
            query = model.user.apply(
                nets["user"],
                user_input(rows[0], users, model.dim),
                hyper["dropout"],
                stream(key, "dropout"),
            )
            vectors = model.item.apply(nets["item"], item_input(rows[1], items))
            blocks = _split(vectors, sources, drawn, index.shape[0])
            positive, negatives = candidate_logits(
                config,
                sources,
                state.sources,
                batch,
                drawn,
                query,
                blocks,
                hyper,
                world,
            )
            values = LOSSES[config.loss].fn(
                positive, negatives, {**hyper, **nets["loss"]}
            )
            loss = jnp.mean(batch.weight * values)
            masked = 1.0 - jnp.mean(negatives.count()) / negatives.z.shape[1]
            return loss, (vectors[: index.shape[0]], masked)

        (loss, (encoded, masked)), grads = jax.value_and_grad(
            objective, argnums=(0, 1), has_aux=True
        )(nets, rows)
        touched = [
            Touched(table, lookup.ids[table], side[table])
            for lookup, side in zip((users, items), grads[1])
            for table in side
        ]
        params, optimiser = apply_dense(
            state.params, grads[0], touched, state.optimiser, hyper
        )
        memories = tuple(
            source.update(memory, batch, encoded)
            for source, memory in zip(sources, state.sources)
        )
        after = TrainState(params, optimiser, memories, state.key, state.step + 1)
        return after, {"loss": loss, "masked": masked}

    return step


def candidate_logits(
    config: Config,
    sources: tuple[Source, ...],
    memories: tuple[Any, ...],
    batch: Batch,
    drawn: tuple[Drawn, ...],
    query: Float[Array, "b d"],
    blocks: tuple[Float[Array, "..."], ...],
    hyper: Hyper,
    world: World,
) -> tuple[Float[Array, " b"], Dense]:
    """Logits of the positives [b] and of all blocks' columns.

    blocks[0] holds the positives' vectors [b, d]; blocks[1 + n] those of source n,
    [c, d] or [b, k, d].
    """
    size = batch.candidate.shape[0]
    parts = _log_q(config, sources, memories, batch, drawn, world)
    temperature, strength = hyper["temperature"], hyper["logq"]
    score = jnp.sum(query * blocks[0], axis=1)
    positive = logits(score, temperature, strength, parts.own)
    known = None
    if config.mask_user_positives:
        known = jax.tree.map(lambda rows: rows[batch.query], world.known)
    columns, keeps = [], []
    for source, block, vectors, log_q in zip(sources, drawn, blocks[1:], parts.columns):
        shared = vectors.ndim == 2
        score = (
            query @ vectors.T if shared else jnp.einsum("bd,bkd->bk", query, vectors)
        )
        wide = log_q[None, :] if shared else log_q
        columns.append(logits(score, temperature, strength, wide + parts.row[:, None]))
        keeps.append(
            keep_columns(source, block, batch.candidate, known, config.mask_same_item)
        )
    assert positive.shape == (size,)
    return positive, Dense(jnp.concatenate(columns, 1), jnp.concatenate(keeps, 1))


def _log_q(
    config: Config,
    sources: tuple[Source, ...],
    memories: tuple[Any, ...],
    batch: Batch,
    drawn: tuple[Drawn, ...],
    world: World,
) -> LogQ:
    size = batch.candidate.shape[0]

    def of(ids: Int[Array, "..."]) -> Float[Array, "..."]:
        return union_log_q(ids, sources, memories, world.pool, size)

    return log_q_parts(
        tuple(of(block.ids) for block in drawn),
        of(batch.candidate),
        total_draws(sources, memories, world.pool, size),
        config.correct_positive,
        config.leave_own_out,
        config.expected_count,
    )


def _split(
    vectors: Float[Array, "n d"],
    sources: tuple[Source, ...],
    drawn: tuple[Drawn, ...],
    size: int,
) -> tuple[Float[Array, "..."], ...]:
    """The positives' vectors, then each source's, out of one pass of the item tower."""
    blocks, at = [vectors[:size]], size
    for source, block in zip(sources, drawn):
        if source.origin == "batch":
            blocks.append(vectors[:size])
        elif source.origin == "stored":
            assert block.vectors is not None
            blocks.append(block.vectors)
        else:
            n = block.ids.size
            shape = (*block.ids.shape, vectors.shape[-1])
            blocks.append(vectors[at : at + n].reshape(shape))
            at += n
    return tuple(blocks)
