"""One training step: draw, look up, encode, score, lose, move."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.candidates import Unencoded, split_blocks
from research.config import Config
from research.frequency import Estimate, log_share_estimate, observe
from research.losses import Context
from research.negatives import make_sources
from research.negatives.source import Hyper, Source
from research.push import push
from research.rng import stream
from research.temperature import Temperature, project, temperature_of
from research.towers.inputs import ItemInput
from research.towers.tables import Rows, look_up
from research.train.drawing import Drawing, draw, touched_rows
from research.train.model import Model, Params, make_model
from research.train.objective import make_lose
from research.train.optimiser import OPTIMISERS
from research.train.sides import encode
from research.train.world import World
from research.user_temperature import UserTemperatures, observe_users

__all__ = ["Step", "TrainState", "make_step"]

Diagnostics = dict[str, Float[Array, ""]]


class TrainState(NamedTuple):
    """What a step takes in and gives out; step counts from 0 over the whole run.

    frequency is empty where the click share is exact, temperatures where users have
    none of their own.
    """

    params: Params
    optimiser: Any
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
    optimiser = OPTIMISERS[config.optimiser]

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
        params, moments = optimiser.apply(
            state.params, net_grads, touched, state.optimiser, hyper
        )
        params["loss"] = project(params["loss"], hyper)
        memories = tuple(
            source.update(memory, drawing.batch, encoded, world.pool)
            for source, memory in zip(sources, state.sources, strict=True)
        )
        frequency = state.frequency
        if isinstance(frequency, Estimate):
            frequency = observe(
                frequency, drawing.batch.candidate, state.step, hyper["frequency_rate"]
            )
        temperatures = observe_users(state.temperatures, drawing.batch.query, lost)
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
    lose = make_lose(config)

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
        temperature = temperature_of(
            config,
            hyper,
            nets["loss"],
            state.temperatures,
            batch,
            world.pool,
            state.step.astype(jnp.float32) / jnp.maximum(steps - 1.0, 1.0),
        )
        pair = Context(query, vectors[:size])
        told = {**hyper, **nets["loss"]}
        values, masked = lose(pair, blocks, batch, world, told, temperature)
        lost = values
        if config.temperature_kind == "per-user":
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
