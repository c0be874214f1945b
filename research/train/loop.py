"""The one training loop: Python over a compiled epoch, for every arm."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from research import rng
from research.batches import epoch_batches
from research.config import TRACED, Config, structure
from research.losses import LOSSES
from research.negatives import make_sources
from research.negatives.source import Hyper
from research.train.model import Model, Params, make_model, serve_all
from research.train.optimiser import init_dense
from research.train.step import TrainState, make_step
from research.train.world import World, build_world, resolve_features
from research.types import Fold

__all__ = ["NotFinite", "Trained", "compiled_epoch", "train"]


class NotFinite(Exception):
    """A loss was not finite; the message names the step."""


class Trained(NamedTuple):
    """A finished run: vectors of fold.evaluated users and of all items; the way there.

    history has a row an epoch: epoch, step, loss, masked, and validation metrics where
    they were asked for. seconds counts training without the first epoch, which
    compiles; compile_seconds is that first epoch.
    """

    config: Config
    params: Params
    user_vectors: Float[np.ndarray, "v d"]
    item_vectors: Float[np.ndarray, "i d"]
    history: list[dict[str, float]]
    compile_seconds: float
    seconds: float


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


def traced_values(config: Config) -> Hyper:
    """The swept fields and the loss's own as float32 scalars on the device."""
    values = {name: getattr(config, name) for name in TRACED}
    values |= {
        name: default for name, (default, _) in LOSSES[config.loss].hyper.items()
    }
    return {name: jnp.float32(value) for name, value in values.items()}


def init_state(
    config: Config, model: Model, world: World, sizes: dict[str, int]
) -> TrainState:
    """The state before the first step; the seed decides it."""
    key = rng.root(config.seed)
    params = model.init(rng.stream(key, "init"), sizes, world, config.loss)
    hyper = traced_values(config)
    return TrainState(
        params=params,
        optimiser=init_dense(params),
        sources=tuple(
            s.init(world.pool, hyper) for s in make_sources(config.negatives)
        ),
        key=rng.stream(key, "steps"),
        step=jnp.int32(0),
    )


def train(
    config: Config,
    fold: Fold,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, row: None,
    validate: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None = None,
) -> Trained:
    """Trains one run and encodes the evaluated users and the whole catalogue.

    Args:
      config: the run; its features may be left to the data set.
      fold: the phase; only its fitted part is read here.
      on_epoch: told the epoch (from 1) and the row of history just made.
      validate: (user vectors, item vectors) -> metrics, called every evaluate_every
        epochs; the parameters with the best first metric are kept. Only for choosing.

    Raises:
      InputError: the config asks for what the fold lacks.
      NotFinite: a loss was not finite.
    """
    config = resolve_features(config, fold)
    world, sizes = build_world(config, fold)
    model = make_model(config)
    epoch_of = compiled_epoch(structure(config))
    state = init_state(config, model, world, sizes)
    hyper, entity = traced_values(config), jnp.asarray(fold.evaluated, dtype=jnp.int32)
    history: list[dict[str, float]] = []
    best, kept = -np.inf, None
    clock, first = time.perf_counter(), 0.0
    for epoch in range(1, config.epochs + 1):
        batches = epoch_batches(len(fold.fitted.item), config.batch, config.seed, epoch)
        state, steps = epoch_of(state, batches, hyper, world)
        row = _row(epoch, steps)
        if validate and config.evaluate_every and epoch % config.evaluate_every == 0:
            users, items = serve_all(model, state.params, world, entity)
            metrics = validate(np.asarray(users), np.asarray(items))
            row |= metrics
            if next(iter(metrics.values())) > best:
                best = next(iter(metrics.values()))
                kept = jax.tree.map(jnp.copy, state.params)
        history.append(row)
        if epoch == 1:
            first = time.perf_counter() - clock
        on_epoch(epoch, row)
    params = state.params if kept is None else kept
    users, items = serve_all(model, params, world, entity)
    vectors = np.asarray(users), np.asarray(items)
    seconds = time.perf_counter() - clock - first
    return Trained(config, params, *vectors, history, first, seconds)


def _row(epoch: int, steps: dict[str, Float[Array, " s"]]) -> dict[str, float]:
    values = {name: np.asarray(value) for name, value in steps.items()}
    n = len(values["loss"])
    bad = np.flatnonzero(~np.isfinite(values["loss"]))
    if len(bad):
        raise NotFinite(f"loss not finite at step {(epoch - 1) * n + int(bad[0])}")
    means = {name: float(value.mean()) for name, value in values.items()}
    return {"epoch": float(epoch), "step": float(epoch * n), **means}
