"""How far an arm's expected gradient is from the full softmax's, at a model's point.

Rows are fixed and negatives drawn anew: E is over draws, and over positives where these
are drawn from the model itself, the case in which the model is the truth. Gradients
with respect to item vectors and to all parameters are linear in the one with respect to
the scores, so one draw of negatives gives all three.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key
from numpy import ndarray

from experiments.studies.probe.estimates import Products, products
from experiments.studies.probe.estimators import (
    ProbedArm,
    draw_rows,
    full_gradient,
    score_gradient,
)
from research import rng
from research.evaluate.record import DECILES, deciles
from research.negatives.source import Pool
from research.train.model import Model, Params
from research.train.world import World
from research.types import Pairs

SCORED = 256  # rows whose scores are stored one by one: the others add no precision
NEVER = -1e6  # a score whose weight is zero, far from what overflows
TARGETS = ("scores", "items", "towers")
MAX_REPEATS = 8  # gradients averaged in one replicate where n is small

Projected = dict[str, Float[Array, " p"]]


class ProbePoint(NamedTuple):
    """A model at fixed rows: vectors, scores over temperature, and the way back.

    pull(cotangent of user and of item vectors) is the gradient of all parameters.
    """

    users: Float[Array, "b d"]
    items: Float[Array, "i d"]
    scores: Float[Array, "b i"]
    positive: Int[Array, " b"]
    temperature: float
    pull: Any
    decile: Int[Array, " i"]
    world: World


def make_point(
    model: Model,
    params: Params,
    world: World,
    temperature: float,
    rows: int,
    seed: int = 0,
    only_fitted: bool = False,
) -> ProbePoint:
    """The model at a sample of the training pairs, as it serves: without dropout."""
    n = world.pairs.candidate.shape[0]
    chosen = rng.generator(seed, "probe").choice(n, min(rows, n), replace=False)
    batch = Pairs(*(column[jnp.asarray(np.sort(chosen))] for column in world.pairs))
    every = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)

    def towers(params: Params) -> tuple[Float[Array, "b d"], Float[Array, "i d"]]:
        return (
            model.serve_users(params, world, batch.query, batch.position),
            model.serve_items(params, world, every),
        )

    (users, items), back = jax.vjp(towers, params)
    scores = users @ items.T / temperature
    if only_fitted:
        scores = jnp.where(world.pool.counts[None, :] > 0, scores, NEVER)
    return ProbePoint(
        users=users,
        items=items,
        scores=scores,
        positive=batch.candidate,
        temperature=temperature,
        pull=back,
        decile=jnp.asarray(deciles(np.asarray(world.pool.counts, np.int64))),
        world=world,
    )


@jax.jit
def project(point: ProbePoint, gradient: Float[Array, "b i"]) -> Projected:
    """One gradient with respect to the scores as one to each target, mean over rows."""
    mean = gradient / gradient.shape[0]
    to_users = mean @ point.items / point.temperature
    to_items = mean.T @ point.users / point.temperature
    (to_params,) = point.pull((to_users, to_items))
    return {
        "scores": gradient[:SCORED].ravel() / min(SCORED, gradient.shape[0]),
        "items": to_items.ravel(),
        "towers": ravel_pytree(to_params)[0],
    }


@jax.jit
def signed(point: ProbePoint, gradient: Float[Array, "b i"]) -> Float[Array, "10"]:
    """By popularity decile: the sum over its items, mean over rows."""
    return jax.ops.segment_sum(gradient.mean(axis=0), point.decile, DECILES)


class Probe(NamedTuple):
    """Inner products by target, and the signed error by popularity decile [m, 10].

    A decile's entry is the mean over rows of the sum of (g - g_full) over its items:
    positive where scores are pushed down more than by the full softmax.
    """

    products: dict[str, Products]
    signed: Float[ndarray, "m 10"]


# One draw for the rows of a point: positives, and a wide block of ids per source.
Draw = tuple[Int[Array, " b"], tuple[Int[Array, "b w"], ...]]
Drawer = Callable[..., Draw]


class CompiledError(NamedTuple):
    """An arm's error, (scores, positive, wide ids, pool) -> [b, i].

    repeats is the number of gradients that it averages.
    """

    repeats: int
    error: Callable[..., Float[Array, "b i"]]


def make_drawer(
    arm: ProbedArm, shared: bool = False, leave_own_out: bool = False
) -> Drawer:
    """Compiles the draws of all arms whose blocks are parts of this one."""

    @functools.partial(jax.jit, static_argnums=0)
    def drawer(
        at_truth: bool,
        key: Key[Array, ""],
        scores: Float[Array, "b i"],
        positive: Int[Array, " b"],
        world: World,
    ) -> Draw:
        if at_truth:
            positive = jax.random.categorical(rng.stream(key, "positive"), scores)
            positive = positive.astype(jnp.int32)
        key = rng.stream(key, "negatives")
        return positive, draw_rows(
            key, arm, world.pairs, positive, world.pool, shared, leave_own_out
        )

    return drawer


def draw_many(
    point: ProbePoint, drawer: Drawer, m: int, at_truth: bool = False
) -> list[Draw]:
    """Makes m independent draws, always the same ones for all arms of a family."""
    keys = jax.random.split(rng.stream(rng.root(0), "probe"), m)
    rows = point.scores, point.positive, point.world
    return [drawer(at_truth, key, *rows) for key in keys]


def compile_error(arm: ProbedArm, width: int) -> CompiledError:
    """Compiles an arm's error for wide blocks of ids, used up in turns.

    An arm that needs n of ``width`` ids per source and row averages up to width / n
    gradients in one replicate.
    """
    needs = [
        int(s.draws(m, None, 0))  # type: ignore[arg-type]
        for s, m in zip(arm.sources, arm.source_states, strict=True)
    ]
    repeats = max(1, min(width // max(needs), MAX_REPEATS))

    @jax.jit
    def error(
        scores: Float[Array, "b i"],
        positive: Int[Array, " b"],
        wide: tuple[Int[Array, "b w"], ...],
        pool: Pool,
    ) -> Float[Array, "b i"]:
        def add(total: Float[Array, "b i"], turn: Int[Array, ""]):  # type: ignore[no-untyped-def]
            ids = tuple(
                jax.lax.dynamic_slice_in_dim(block, turn * n, n, axis=1)
                for block, n in zip(wide, needs, strict=True)
            )
            return total + score_gradient(arm, scores, positive, ids, pool), None

        turns = jnp.arange(repeats, dtype=jnp.int32)
        total = jax.lax.scan(add, jnp.zeros_like(scores), turns)[0]
        return total / repeats - full_gradient(scores, positive)

    return CompiledError(repeats, error)


def probe(point: ProbePoint, compiled: CompiledError, draws: list[Draw]) -> Probe:
    """Measures an arm at a point over draws.

    The reference is the exact gradient of the rows, at the truth too, where its
    expectation is zero: so the two questions have one scale. There the exact gradient
    of the sampled positives is subtracted from each draw, which lowers the noise and
    not the mean, and the cosine means nothing.
    """
    rows, by_decile = [], []
    for positive, ids in draws:
        error = compiled.error(point.scores, positive, ids, point.world.pool)
        rows.append(jax.device_get(project(point, error)))
        by_decile.append(np.asarray(signed(point, error)))
    reference = project(point, full_gradient(point.scores, point.positive))
    inner = {
        target: products(
            np.stack([row[target] for row in rows]),
            np.asarray(reference[target]),
            compiled.repeats,
        )
        for target in TARGETS
    }
    return Probe(inner, np.stack(by_decile))
