"""The small world's arms, and estimates of them by sampling."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.probe.estimators import (
    ESTIMATORS,
    BiasEstimate,
    ProbedArm,
    SmallWorld,
    draw_laws,
    draw_rows,
    enumerated_bias,
    estimator_config,
    estimator_sources,
    probed_arm,
    score_gradient,
)
from research.config import Config
from research.negatives.source import Source
from research.types import Pairs

Ids = tuple[jax.Array, ...]


def small_arm(
    world: SmallWorld,
    name: str,
    n: int,
    masked: bool = False,
    sources: tuple[Source, ...] | None = None,
    **changes: float,
) -> ProbedArm:
    """An estimator on the small world, with a mutation of its config or its sources."""
    config = estimator_config(name, n, masked)
    if changes:
        config = Config(**{**config.__dict__, **changes})
    return probed_arm(config, world.pool, sources or estimator_sources(name, config))


def exactly(
    worlds: tuple[SmallWorld, SmallWorld], name: str, n: int, arm: ProbedArm
) -> tuple[BiasEstimate, BiasEstimate]:
    """The arm's bias at the truth and away, by enumeration of its draws."""
    names = ESTIMATORS[name].sources
    own_out = arm.config.leave_own_out and not arm.config.mask_same_item
    laws = draw_laws(names, worlds[0], own_out)
    return enumerated_bias(arm, (n // len(names),) * len(names), laws, worlds)


def pairs_of(world: SmallWorld) -> Pairs:
    """Pairs whose candidates have the pool's counts, rounded."""
    counts = np.asarray(world.pool.counts).round().astype(int)
    candidate = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    zero = jnp.zeros(len(candidate), jnp.int32)
    return Pairs(zero, zero, jnp.asarray(candidate), jnp.ones(len(candidate)))


def sampled_gradient(
    world: SmallWorld,
    arm: ProbedArm,
    user: int,
    positive: int,
    rows: int,
    seed: int = 0,
) -> np.ndarray:
    """Gradients of many rows of one user and positive, each with draws of its own."""
    own = jnp.full(rows, positive, jnp.int32)
    scores = jnp.broadcast_to(world.scores[user], (rows, world.scores.shape[1]))

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        ids = draw_rows(
            key, arm, pairs_of(world), own, world.pool,
            leave_own_out=arm.config.leave_own_out,
        )  # fmt: skip
        return score_gradient(arm, scores, own, ids, world.pool)

    return np.asarray(run(jax.random.key(seed)))
