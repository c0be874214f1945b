"""The probe: how far an arm's expected gradient is from the exact softmax's.

Rows are fixed, negatives drawn anew: E is over draws, and over positives where these
are drawn from the model itself, the world in which the model is the truth.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy import ndarray

from experiments.studies.probe.estimates import Products, products
from experiments.studies.probe.gradients import (
    Probed,
    draw_rows,
    full_gradient,
    score_gradient,
)
from experiments.studies.probe.points import TARGETS, ProbePoint, project, signed
from research import rng
from research.negatives.source import Pool
from research.train.world import World

__all__ = ["Draws", "Prepared", "Probe", "draw_many", "make_drawer", "prepare", "probe"]

MAX_REPEATS = 8  # gradients averaged in one replicate where n is small


class Probe(NamedTuple):
    """Inner products by target, and the signed error by popularity decile [m, 10].

    A decile's entry is the mean over rows of the sum of (g - g_full) over its items:
    positive where scores are pushed down more than the exact softmax does.
    """

    products: dict[str, Products]
    signed: Float[ndarray, "m 10"]


class Draws(NamedTuple):
    """m draws for the rows of a point: positives, and wide blocks of ids by source.

    at_truth: the positives were drawn from the model's own softmax.
    """

    positive: list[Int[Array, " b"]]
    ids: list[tuple[Int[Array, "b w"], ...]]
    at_truth: bool


Drawer = Callable[..., tuple[Int[Array, " b"], tuple[Int[Array, "b w"], ...]]]


class Prepared(NamedTuple):
    """An arm and its compiled error: (scores, positive, wide ids, pool) -> [b, i]."""

    arm: Probed
    repeats: int
    error: Callable[..., Float[Array, "b i"]]


def make_drawer(
    arm: Probed, shared: bool = False, leave_own_out: bool = False
) -> Drawer:
    """Compiles the draws of a family of arms: those whose blocks are parts of this one.

    Args:
      arm: the one with the widest blocks.
      shared: one draw for all rows, else each row its own.
      leave_own_out: none of a row's draws is its positive.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def drawer(
        at_truth: bool,
        key: Key[Array, ""],
        scores: Float[Array, "b i"],
        positive: Int[Array, " b"],
        world: World,
    ) -> tuple[Int[Array, " b"], tuple[Int[Array, "b w"], ...]]:
        if at_truth:
            positive = jax.random.categorical(rng.stream(key, "positive"), scores)
            positive = positive.astype(jnp.int32)
        key = rng.stream(key, "negatives")
        given = (arm, world.pairs, positive, world.pool, shared, leave_own_out)
        return positive, draw_rows(key, *given)

    return drawer


def draw_many(
    point: ProbePoint, drawer: Drawer, m: int, at_truth: bool = False, seed: int = 0
) -> Draws:
    """Makes m independent draws; with one seed, arms of a family see the same ones.

    Args:
      point: the rows.
      drawer: as made by make_drawer.
      m: how many.
      at_truth: positives from the model's softmax, else those of the rows.
      seed: of the draws.
    """
    keys = jax.random.split(rng.stream(rng.root(seed), "probe"), m)
    drawn = [
        drawer(at_truth, k, point.scores, point.positive, point.world) for k in keys
    ]
    return Draws([p for p, _ in drawn], [ids for _, ids in drawn], at_truth)


def prepare(arm: Probed, width: int, max_repeats: int = MAX_REPEATS) -> Prepared:
    """Compiles an arm's error for blocks of ``width`` ids a source, used up in turns.

    An arm that needs n of them averages up to width / n gradients in one replicate.
    """
    needs = [
        int(s.draws(m, None, 0))  # type: ignore[arg-type]
        for s, m in zip(arm.sources, arm.memories, strict=True)
    ]
    repeats = max(1, min(width // max(needs), max_repeats))

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

    return Prepared(arm, repeats, error)


def probe(point: ProbePoint, prepared: Prepared, draws: Draws) -> Probe:
    """Measures an arm at a point over draws.

    The reference is the exact gradient of the rows. At the truth its expectation is
    zero: the same reference is kept, so that the two questions have one scale, and the
    exact gradient of the positives drawn is taken off each draw, which lowers the noise
    and not the mean. There the cosine means nothing.
    """
    rows = []
    by_decile = []
    for positive, ids in zip(draws.positive, draws.ids, strict=True):
        error = prepared.error(point.scores, positive, ids, point.world.pool)
        rows.append({k: np.asarray(v) for k, v in project(point, error).items()})
        by_decile.append(np.asarray(signed(point, error)))
    reference = project(point, full_gradient(point.scores, point.positive))
    return Probe(
        products={
            target: products(
                np.stack([row[target] for row in rows]),
                np.asarray(reference[target]),
                prepared.repeats,
            )
            for target in TARGETS
        },
        signed=np.stack(by_decile),
    )
