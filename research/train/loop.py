"""The one training loop: Python over a compiled epoch, for every arm."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from research.batches import epoch_batches
from research.config import Config, structure
from research.data.notices import say
from research.frequency import log_q_error
from research.losses.checks import check_loss
from research.negatives import make_sources
from research.negatives.source import Hyper
from research.positives import check_positives
from research.retrieval import Asked, asked
from research.search import check_search
from research.temperature import check_temperature, learned_end, narrow_range
from research.train.health import collapse, health
from research.train.mesh import Spread, spread_over
from research.train.model import Model, Params, make_model, serve_all
from research.train.start import check_weights, init_state, traced_values
from research.train.step import TrainState, make_step, with_estimate
from research.train.world import World, bare, build_world, resolve_features
from research.types import Fold
from research.user_temperature import UserTemperatures, refresh_users

__all__ = ["NotFinite", "Trained", "compiled_epoch", "traced_values", "train"]


class NotFinite(Exception):
    """A loss was not finite; the message names the step."""


class Trained(NamedTuple):
    """A finished run: vectors of fold.evaluated users and of all items; the way there.

    Where positives aren't user-item, they are of the queries and the candidates that
    the task asks for (research/retrieval.py).

    history has a row an epoch: epoch, step, loss, masked, temperature (at its end; a
    mean over rows where each has its own), the numbers of Health, log_q_error where the
    click share is estimated, and validation metrics where they were asked for. seconds
    counts training without the first epoch, which compiles; compile_seconds is that
    first epoch. temperature is what serving divides by.
    """

    config: Config
    params: Params
    user_vectors: Float[np.ndarray, "v d"]
    item_vectors: Float[np.ndarray, "i d"]
    history: list[dict[str, float]]
    compile_seconds: float
    seconds: float
    temperature: float


@functools.lru_cache(maxsize=64)
def compiled_epoch(shape: Config) -> Callable[..., tuple[TrainState, Any]]:
    """An epoch of that structure: a scan over [steps, batch], compiled once.

    (state, batches, hyper, world) -> (state, diagnostics [steps]). Everything swept is
    in hyper, so all temperatures and seeds of an arm share it.
    """
    step = make_step(shape)

    def epoch(
        state: TrainState, batches: Int[Array, "s b"], hyper: Hyper, world: World
    ) -> tuple[TrainState, dict[str, Float[Array, " s"]]]:
        return jax.lax.scan(
            lambda state, index: step(state, index, hyper, world), state, batches
        )

    return jax.jit(epoch, donate_argnums=0)


def train(
    config: Config,
    fold: Fold,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, row: None,
    validate: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None = None,
    devices: int = 1,
) -> Trained:
    """Trains one run and encodes the evaluated users and the whole catalogue.

    Args:
      config: the run; its features may be left to the data set.
      fold: the phase; only its fitted part is read here.
      on_epoch: told the epoch (from 1) and the row of history just made.
      validate: (user vectors, item vectors) -> metrics, called every evaluate_every
        epochs; the parameters with the best first metric are kept. Only for choosing.
      devices: how many share each batch (research/train/mesh.py).

    Raises:
      InputError: the config asks for what the fold lacks, or for a loss, a temperature
        or a number of devices that can't be meant.
      NotFinite: a loss was not finite.
    """
    for check in (check_loss, check_temperature, check_positives, check_search):
        check(config)
    config, spread = resolve_features(config, fold), spread_over(devices, config.batch)
    world, sizes = build_world(config, fold)
    check_weights(world)
    _warn(narrow_range(config, np.asarray(world.pool.counts)))
    task, model = asked(config, fold), make_model(config)
    epoch_of = compiled_epoch(structure(config))
    state = init_state(config, model, world, sizes)
    world, hyper = spread.world(world), traced_values(config)
    history: list[dict[str, float]] = []
    best, kept, alarm = -np.inf, None, None
    clock, first = time.perf_counter(), 0.0
    indices = (_batches(config, world, n + 1) for n in range(config.epochs))
    batches = next(indices)
    for epoch in range(1, config.epochs + 1):
        state = refreshed(config, model, spread.state(state), world)
        with spread.here():
            state, steps = epoch_of(state, spread.batches(batches), hyper, world)
        # The device is at work: the next epoch's indices are ready before it is done.
        later = next(indices, batches)
        row = _row(epoch, steps) | health(model, state.params, world, batches[-1])
        row |= _about(config, state, world, hyper)
        if alarm is None and (alarm := collapse(row)):
            say(alarm)
        if validate and config.evaluate_every and epoch % config.evaluate_every == 0:
            metrics = validate(*_served(model, state.params, world, task, spread))
            row |= metrics
            if (value := next(iter(metrics.values()))) > best:
                best, kept = value, jax.tree.map(jnp.copy, state.params)
        history.append(row)
        first = first or time.perf_counter() - clock
        on_epoch(epoch, row)
        batches = later
    params = state.params if kept is None else kept
    vectors = _served(model, params, world, task, spread)
    seconds = time.perf_counter() - clock - first
    served = learned_end(config, params["loss"])
    return Trained(config, params, *vectors, history, first, seconds, served)


def _served(
    model: Model, params: Params, world: World, task: Asked, spread: Spread
) -> tuple[np.ndarray, np.ndarray]:
    users, items = serve_task(model, params, world, task)
    return spread.host(users), spread.host(items)


def _batches(config: Config, world: World, epoch: int) -> Int[np.ndarray, "s b"]:
    window = None
    if config.batch_order == "time":
        window = np.asarray(world.timed.window[world.pairs.position])
    n = world.pairs.candidate.shape[0]
    return epoch_batches(n, config.batch, config.seed, epoch, window)


def serve_task(
    model: Model, params: Params, world: World, task: Asked
) -> tuple[Array, Array]:
    """Vectors of a task's queries and candidates, from the histories that it gives."""
    if task.histories is not None:
        item, offsets = (jnp.asarray(part, jnp.int32) for part in task.histories)
        users = bare(len(offsets) - 1)
        world = world._replace(item=item, offsets=offsets, users=users)
    queries = jnp.asarray(task.queries, jnp.int32)
    candidates = jnp.asarray(task.candidates, jnp.int32)
    if task.words is not None:
        # Training never had the rows at a user's end: what is searched for is held out.
        ends = world.offsets[queries + 1] + queries
        words = world.timed.words.at[ends].set(jnp.asarray(task.words))
        world = world._replace(timed=world.timed._replace(words=words))
    return serve_all(model, params, world, queries, candidates)


def refreshed(
    config: Config, model: Model, state: TrainState, world: World
) -> TrainState:
    """The state before an epoch, with what follows the model made anew.

    That is the users' temperatures, and sources such as bands of ranks.
    """
    if isinstance(state.temperatures, UserTemperatures):
        state = state._replace(temperatures=refresh_users(state.temperatures, config))
    sources = make_sources(config.negatives, config)
    if all(source.refresh is None for source in sources):
        return state
    queries = jnp.arange(world.offsets.shape[0] - 1, dtype=jnp.int32)
    users, items = serve_all(model, state.params, world, queries)
    memories = tuple(
        memory if source.refresh is None else source.refresh(memory, users, items)
        for source, memory in zip(sources, state.sources, strict=True)
    )
    return state._replace(sources=memories)


def _about(
    config: Config, state: TrainState, world: World, hyper: Hyper
) -> dict[str, float]:
    """What an epoch left behind, of the things that only some runs learn."""
    found = {}
    if config.temperature_kind == "learned":
        found["temperature"] = learned_end(config, state.params["loss"])
    if config.frequency == "streaming":
        log_q = with_estimate(world, state, config.batch, hyper).pool.log_share
        found["log_q_error"] = float(log_q_error(log_q, world.pool.counts))
    return found


@functools.cache  # once a process, however many runs of a grid it concerns
def _warn(line: str | None) -> None:
    if line:
        say(line)


def _row(epoch: int, steps: dict[str, Float[Array, " s"]]) -> dict[str, float]:
    values = {name: np.asarray(value) for name, value in steps.items()}
    n = len(values["loss"])
    bad = np.flatnonzero(~np.isfinite(values["loss"]))
    if len(bad):
        raise NotFinite(f"loss not finite at step {(epoch - 1) * n + int(bad[0])}")
    row = {name: float(value.mean()) for name, value in values.items()}
    row["temperature"] = float(values["temperature"][-1])
    return {"epoch": float(epoch), "step": float(epoch * n), **row}
