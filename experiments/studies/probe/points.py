"""Where a gradient is looked at: a model at fixed rows, and three things it moves.

Gradients with respect to item vectors and to all parameters are linear in the one with
respect to the scores, so one draw of negatives gives all three.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from numpy import ndarray

from research import rng
from research.train.model import Model, Params
from research.train.world import World
from research.types import Pairs

__all__ = [
    "DECILES",
    "TARGETS",
    "ProbePoint",
    "deciles",
    "make_point",
    "project",
    "signed",
]

DECILES = 10
SCORED = 256  # rows whose scores are kept one by one: the others add no precision
NEVER = -1e6  # a score whose weight is zero, far from what overflows
TARGETS = ("scores", "items", "towers")

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


def deciles(counts: Int[ndarray, " i"]) -> Int[ndarray, " i"]:
    """Tenths of the items by fitted clicks, 0 the most clicked; ties to the lower id.

    >>> deciles(np.arange(20)).tolist()[:4]
    [9, 9, 8, 8]
    """
    rank = np.empty(len(counts), np.int32)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return (rank * DECILES // len(counts)).astype(np.int32)


def make_point(
    model: Model,
    params: Params,
    world: World,
    temperature: float,
    rows: int = 1024,
    seed: int = 0,
    only_fitted: bool = False,
) -> ProbePoint:
    """The model at a sample of the fitted pairs, as it serves: without dropout.

    Args:
      model: the towers.
      params: their parameters.
      world: the fold.
      temperature: of the logits.
      rows: how many pairs.
      seed: of the sample.
      only_fitted: the library is what has a fitted click: all others score -1e6. What
        was never clicked is never an in-batch negative, whatever the correction, so
        its mass under the model is a bias of its own.
    """
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
