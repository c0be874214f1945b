"""What a run begins with: its swept values on the device, and its first state."""

import jax.numpy as jnp
import numpy as np

from research import rng
from research.config import TRACED, Config
from research.frequency import init_estimate
from research.losses.checks import hyper_values
from research.negatives import make_sources
from research.negatives.source import Hyper
from research.temperature import learned_start
from research.train.model import Model
from research.train.optimiser import OPTIMISERS
from research.train.step import TrainState
from research.train.world import World
from research.types import InputError
from research.user_temperature import init_users

__all__ = ["check_weights", "init_state", "traced_values"]


def traced_values(config: Config) -> Hyper:
    """The swept fields and the loss's own as float32 scalars on the device."""
    values = {name: getattr(config, name) for name in TRACED}
    values |= hyper_values(config)
    values["epochs"] = config.epochs  # a schedule runs over all of them
    return {name: jnp.float32(value) for name, value in values.items()}


def init_state(
    config: Config, model: Model, world: World, sizes: dict[str, int]
) -> TrainState:
    """The state before the first step; the seed decides it."""
    key = rng.root(config.seed)
    params = model.init(rng.stream(key, "init"), sizes, world, config.loss)
    params["loss"] |= learned_start(config)
    hyper = traced_values(config)
    return TrainState(
        params=params,
        optimiser=OPTIMISERS[config.optimiser].init(params),
        sources=tuple(
            s.init(world.pool, hyper) for s in make_sources(config.negatives, config)
        ),
        frequency=init_estimate(config.hashes, config.buckets)
        if config.frequency == "streaming"
        else (),
        temperatures=init_users(config, world.offsets.shape[0] - 1),
        key=rng.stream(key, "steps"),
        step=jnp.int32(0),
    )


def check_weights(world: World) -> None:
    """Looks at the weights of the positives.

    Raises:
      InputError: one is negative, not finite, or all are 0.
    """
    weight = np.asarray(world.pairs.weight)
    bad = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if len(bad):
        raise InputError(
            f"the weight of pair {bad[0]} is {weight[bad[0]]}: it must be finite and "
            f"not below 0"
        )
    if not weight.any():
        raise InputError("all weights of the pairs are 0: there is nothing to learn")
