"""One training step: draw, look up, encode, score, lose, move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.logits.candidates import (
    Block,
    Unencoded,
    candidate_logits,
    hardest,
    masked_share,
    push,
    rows_known,
    split_blocks,
)
from research.logits.plan import blocked_logits, is_blocked, is_wide, width
from research.logits.reducers import Dense, Negatives, chunked
from research.losses import LOSSES
from research.losses.square import PairVectors
from research.negatives import make_sources
from research.negatives.frequency import Estimate, log_share_estimate, observe
from research.negatives.source import Batch, Drawn, Hyper, Source
from research.rng import stream
from research.temperature import kind_of
from research.temperature.kinds import Moment, Temperature, UserTemperatures
from research.towers.inputs import ItemInput, ItemLookup, Rows, item_lookup, look_up
from research.train.model import (
    Lookup,
    Model,
    Params,
    candidate_lookup,
    encode,
    make_model,
    query_lookup,
)
from research.train.optimiser import OptimiserState, Touched, move
from research.train.optimisers import OPTIMISERS
from research.train.world import World


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


def make_lose(
    config: Config,
) -> Callable[..., tuple[Float[Array, " b"], Float[Array, ""]]]:
    """(pair, blocks, batch, world, hyper, temperature) -> losses [b], share masked.

    pair and blocks hold the vectors; hyper is what is traced and what the loss learns.
    """
    loss = LOSSES[config.loss]

    def lose(
        pair: PairVectors,
        blocks: tuple[Block, ...],
        batch: Batch,
        world: World,
        hyper: Hyper,
        temperature: Temperature,
    ) -> tuple[Float[Array, " b"], Float[Array, ""]]:
        known = None
        if config.mask_user_positives:
            known = rows_known(world.known, batch.query)
        columns = sum(block.drawn.ids.shape[-1] for block in blocks)
        given = (*pair, blocks, batch, world.pool, known, hyper, temperature)
        negatives: Negatives
        if is_blocked(config, batch.candidate.shape[0], columns):
            positive, negatives = blocked_logits(config, *given)
        else:
            positive, negatives = candidate_logits(config, *given)
        masked = masked_share(negatives, blocks)
        if config.hardest:
            assert isinstance(negatives, Dense)
            negatives = hardest(negatives, config.hardest)
        common = jax.lax.stop_gradient(jnp.mean(temperature.row))
        items = jnp.float32(world.pool.counts.shape[0])
        told = {**hyper, "temperature": common, "items": items}
        return loss(positive, negatives, told, pair), masked

    return lose


Diagnostics = dict[str, Float[Array, ""]]


class TrainState(NamedTuple):
    """What a step takes in and gives out; step counts from 0 over the whole run.

    frequency is empty where the click share is exact, temperatures where users have
    none of their own.
    """

    params: Params
    optimiser: OptimiserState
    sources: tuple[Any, ...]
    frequency: Estimate | tuple[()]
    temperatures: UserTemperatures | tuple[()]
    key: Key[Array, ""]
    step: Int[Array, ""]


Step = Callable[
    [TrainState, Int[Array, " b"], Hyper, World], tuple[TrainState, Diagnostics]
]


def make_step(config: Config) -> Step:
    """The step of a config's structure: (state, indices [b] of pairs, hyper, world).

    It differentiates with respect to the nets and to the rows looked up, so that the
    optimiser knows which rows of the tables were touched.
    """
    model, sources = make_model(config), make_sources(config.negatives, config)
    objective = _make_objective(config, model, sources)
    optimiser, kind = OPTIMISERS[config.optimiser], kind_of(config)

    def step(
        state: TrainState, index: Int[Array, " b"], hyper: Hyper, world: World
    ) -> tuple[TrainState, Diagnostics]:
        key = jax.random.fold_in(state.key, state.step)
        world = with_estimate(world, state, len(index), hyper)
        drawing = draw(model, sources, config, state.sources, index, world, key)
        # Drawn once: the compiler would look histories up again for the optimiser.
        drawing = jax.lax.optimization_barrier(drawing)
        tables = state.params["tables"]
        query_rows = look_up(tables, drawing.queries.ids)
        candidate_rows = look_up(tables, drawing.candidates.ids)
        wide_rows = tuple(w and look_up(tables, w.ids) for w in drawing.wide)
        nets = {name: state.params[name] for name in ("user", "item", "loss")}
        rows = query_rows, candidate_rows, wide_rows
        (_, (seen, encoded, lost)), (net_grads, *row_grads) = jax.value_and_grad(
            objective, argnums=(0, 1, 2, 3), has_aux=True
        )(nets, *rows, drawing, state, hyper, world, key)
        touched = touched_rows(drawing, *row_grads)
        params, moments = move(
            optimiser, state.params, net_grads, touched, state.optimiser, hyper
        )
        params["loss"] = kind.project(params["loss"], hyper)
        memories = tuple(
            source.update(memory, drawing.batch, encoded, world.pool)
            for source, memory in zip(sources, state.sources, strict=True)
        )
        frequency = state.frequency
        if isinstance(frequency, Estimate):
            frequency = observe(
                frequency, drawing.batch.candidate, state.step, hyper["frequency_rate"]
            )
        temperatures = state.temperatures
        if kind.observe is not None:
            temperatures = kind.observe(temperatures, drawing.batch.query, lost)
        after = (params, moments, memories, frequency, temperatures)
        return TrainState(*after, state.key, state.step + 1), seen

    return step


def with_estimate(world: World, state: TrainState, batch: int, hyper: Hyper) -> World:
    """The world with its click share as estimated before this step, if it is to be."""
    if not isinstance(state.frequency, Estimate):
        return world
    pool, rate = world.pool, hyper["frequency_rate"]
    log_share = log_share_estimate(
        state.frequency, len(pool.counts), state.step, batch, rate, pool.floor
    )
    return world._replace(pool=pool._replace(log_share=log_share))


def _make_objective(
    config: Config, model: Model, sources: tuple[Source, ...]
) -> Callable[..., tuple[Float[Array, ""], Any]]:
    lose, kind = make_lose(config), kind_of(config)

    def objective(
        nets: Params,
        query_rows: Rows,
        candidate_rows: Rows,
        wide_rows: tuple[Rows | None, ...],
        drawing: Drawing,
        state: TrainState,
        hyper: Hyper,
        world: World,
        key: Key[Array, ""],
    ) -> tuple[
        Float[Array, ""], tuple[Diagnostics, Float[Array, "b d"], Float[Array, " b"]]
    ]:
        batch = drawing.batch
        rate, first, second = hyper["dropout"], None, None
        if config.dropout:  # the structure's: 0 only where it is never dropped
            first, second = stream(key, "dropout"), stream(key, "candidate dropout")
        query = encode(model, nets, query_rows, drawing.queries, rate, first)
        vectors = encode(model, nets, candidate_rows, drawing.candidates, rate, second)
        size = batch.candidate.shape[0]
        later = _unencoded(model, nets["item"], wide_rows, drawing)
        blocks = split_blocks(
            vectors, sources, state.sources, drawing.drawn, size, later
        )
        blocks = push(config, blocks, world.pool, size)
        steps = hyper["epochs"] * (world.pairs.candidate.shape[0] // size)
        progress = state.step.astype(jnp.float32) / jnp.maximum(steps - 1.0, 1.0)
        learned, users = nets["loss"], state.temperatures
        moment = Moment(config, learned, users, batch, world.pool, progress)
        temperature = kind.at(moment, hyper)
        pair = PairVectors(query, vectors[:size])
        told = {**hyper, **nets["loss"]}
        values, masked = lose(pair, blocks, batch, world, told, temperature)
        lost = values
        if kind.observe is not None:
            # Users are compared at one temperature, whatever they have now.
            common = Temperature(hyper["temperature"])
            lost, _ = lose(pair, blocks, batch, world, told, common)
        mean = jnp.mean(batch.weight * values)
        seen = {
            "loss": mean,
            "masked": masked,
            "temperature": jnp.mean(temperature.row),
        }
        return mean, (seen, vectors[:size], lost)

    return objective


def _unencoded(
    model: Model, net: Params, wide_rows: tuple[Rows | None, ...], drawing: Drawing
) -> tuple[Unencoded | None, ...]:
    """For each source the items that are encoded block by block, if any are."""

    def encode_items(items: ItemInput) -> Float[Array, "n d"]:
        return model.item.apply(net, items)  # type: ignore[return-value]

    return tuple(
        Unencoded(lookup, rows, encode_items) if lookup and rows is not None else None
        for lookup, rows in zip(drawing.wide, wide_rows, strict=True)
    )
