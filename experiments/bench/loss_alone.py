"""The loss alone, forward and backward: dense, in blocks, and its matrix products."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.bench.protocol import Answers
from experiments.bench.work import TOWERS, work_of
from research import rng
from research.blocking import blocked_logits, is_blocked
from research.candidates import Block, candidate_logits
from research.config import Config
from research.losses import LOSSES, Context
from research.negatives import make_sources
from research.negatives.source import Batch, Pool
from research.temperature import Temperature
from research.towers.towers import normalise
from research.train.start import traced_values
from research.train.world import build_world

__all__ = ["loss_portions"]

LARGE = 2048  # rows of the square product whose speed is called full


def loss_portions(told: dict[str, Any]) -> Answers:
    """Milliseconds of each form of the loss, one after the other, at a batch."""
    config = dataclasses.replace(TOWERS, batch=told["batch"])
    work = work_of(told["dataset"], told["made"], told["data_dir"])
    world, _ = build_world(config, work.fold)
    # The examples in steps of a prime, so that a batch isn't one user's.
    index = jnp.arange(config.batch, dtype=jnp.int32) * 7919
    index = index % len(world.pairs.candidate)
    batch = Batch(*(column[index] for column in world.pairs))
    keys = jax.random.split(rng.root(0), 3)
    shape = (config.batch, config.dim)
    query, vectors = (normalise(jax.random.normal(key, shape)) for key in keys[:2])
    side = min(LARGE, 8 * config.batch)
    square = jax.random.normal(keys[2], (side, side))
    dense, blocked = (
        _gradient(config, batch, world.pool, make)
        for make in (candidate_logits, blocked_logits)
    )
    forms: dict[str, tuple[Callable[..., Any], Array, Array]] = {
        "dense": (dense, query, vectors),
        "blocked": (blocked, query, vectors),
        "products": (_products, query, vectors),
        "large": (jax.jit(jnp.matmul), square, square),
    }
    clock = time.perf_counter()
    for run, left, right in forms.values():
        jax.block_until_ready(run(left, right))
    chosen = is_blocked(config, config.batch, config.batch)
    flops = 3 * 2 * config.batch**2 * config.dim
    yield {
        "compile_seconds": time.perf_counter() - clock,
        "chosen": "blocked" if chosen else "dense",
        "full_speed": flops / (2 * side**3),  # of the large product's time
    }
    while True:
        found = {}
        for name, (run, left, right) in forms.items():
            clock = time.perf_counter()
            jax.block_until_ready(run(left, right))
            found[name] = time.perf_counter() - clock
        yield found


def _gradient(
    config: Config, batch: Batch, pool: Pool, make: Callable[..., Any]
) -> Callable[..., Any]:
    """(query, vectors) -> mean loss and both gradients, with logits made that way."""
    (source,), hyper = make_sources(config.negatives, config), traced_values(config)
    memory = source.init(pool, hyper)
    drawn = source.draw(rng.root(0), batch, memory, pool)
    temperature = Temperature(hyper["temperature"])

    def lose(
        query: Float[Array, "b d"], vectors: Float[Array, "b d"]
    ) -> Float[Array, ""]:
        blocks = (Block(source, memory, drawn, vectors),)
        given = (query, vectors, blocks, batch, pool, None, hyper, temperature)
        positive, negatives = make(config, *given)
        told = {**hyper, "items": jnp.float32(pool.counts.shape[0])}
        pair = Context(query, vectors)
        return jnp.mean(LOSSES[config.loss](positive, negatives, told, pair))

    return jax.jit(jax.value_and_grad(lose, argnums=(0, 1)))


@jax.jit
def _products(
    query: Float[Array, "b d"], vectors: Float[Array, "b d"]
) -> tuple[Array, Array, Array]:
    """The logits, and what multiplies them back into both gradients."""
    # The barrier keeps the compiler from multiplying the small matrices first.
    logits = jax.lax.optimization_barrier(query @ vectors.T)
    return logits, logits @ vectors, logits.T @ query
