"""The expected gradient by enumeration of every draw, on worlds of a few items.

Draws from one source are exchangeable, so a multiset of ids stands for all its orders:
its probability is the multinomial one. 6 draws of 6 items are 462 multisets, not 46,656
sequences.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from experiments.studies.probe.estimates import Estimate, exact
from experiments.studies.probe.gradients import Probed, full_gradient, score_gradient
from research.negatives.source import Pool
from research.positives import log_share

__all__ = [
    "SmallWorld",
    "draw_laws",
    "enumerated",
    "expected",
    "multisets",
    "small_world",
]


class SmallWorld(NamedTuple):
    """Scores over temperature of a model [u, i], the law of positives [u, i], a pool.

    At the truth, law is softmax(scores). The pool's click share is the mean of the law
    over users, to three digits, so in-batch draws are from the world's own positives.
    """

    scores: Float[ndarray, "u i"]
    law: Float[ndarray, "u i"]
    pool: Pool


def small_world(
    at_truth: bool = True, users: int = 3, items: int = 6, seed: int = 0
) -> SmallWorld:
    """A world with a popular item or two; away from the truth, other scores."""
    draw = np.random.default_rng(seed)
    popular = np.linspace(1.0, -1.0, items)
    truth = popular + draw.normal(0, 1, (users, items))
    law = _softmax(truth)
    scores = truth if at_truth else draw.normal(0, 1, (users, items))
    counts = np.rint(1000 * law.mean(axis=0)).astype(np.int64)
    pool = Pool(jnp.asarray(counts, jnp.float32), jnp.asarray(log_share(counts)))
    return SmallWorld(scores.astype(np.float32), law, pool)


def multisets(n: int, items: int) -> tuple[Int[ndarray, "k n"], Float[ndarray, " k"]]:
    """Every multiset of n ids below items, and how many sequences are that multiset.

    >>> ids, orders = multisets(2, 3)
    >>> len(ids), int(orders.sum())
    (6, 9)
    """
    ids = np.array(
        list(itertools.combinations_with_replacement(range(items), n)), np.int32
    )
    orders = [
        math.factorial(n) // math.prod(math.factorial(c) for c in np.bincount(row))
        for row in ids
    ]
    return ids, np.array(orders, np.float64)


def expected(
    arm: Probed,
    worlds: tuple[SmallWorld, ...],
    draws: tuple[int, ...],
    laws: tuple[Float[ndarray, "i i"], ...],
) -> list[tuple[Float[ndarray, "u i"], float]]:
    """E[g - g_full] over positives and draws, [u, i], and E|g - g_full|^2, of a row.

    Args:
      arm: as made by gradients.probed.
      worlds: worlds that share their pool (one compilation serves them all).
      draws: how many of each source.
      laws: of each source, the probability of a draw [positive, item]: what is really
        drawn, whatever the arm believes.
    """
    items = worlds[0].scores.shape[1]
    every = [multisets(n, items) for n in draws]
    at = [c.ravel() for c in np.meshgrid(*(np.arange(len(o)) for _, o in every))]
    ids = tuple(jnp.asarray(i[a]) for (i, _), a in zip(every, at))
    run = jax.jit(lambda s, p: _error(arm, s, p, ids, worlds[0].pool))
    weight = np.ones((items, len(at[0])))
    for (i, orders), a, law in zip(every, at, laws):
        weight *= (orders * np.prod(law[:, i], axis=2))[:, a]
    out = []
    for scores, law, _ in worlds:
        mean, second = np.zeros(scores.shape), 0.0
        for u, p in np.ndindex(scores.shape):
            row = jnp.broadcast_to(scores[u], (len(at[0]), items))
            own = jnp.full(len(at[0]), p, jnp.int32)
            error = np.asarray(run(row, own), np.float64)
            share = law[u, p] / len(scores) * weight[p]
            mean[u] += share @ error
            second += float(share @ (error**2).sum(axis=1))
        out.append((mean, second))
    return out


def _error(
    arm: Probed,
    scores: Float[Array, "b i"],
    positive: Int[Array, " b"],
    ids: tuple[Int[Array, "b n"], ...],
    pool: Pool,
) -> Float[Array, "b i"]:
    sampled = score_gradient(arm, scores, positive, ids, pool)
    return sampled - full_gradient(scores, positive)


def draw_laws(
    names: tuple[str, ...], world: SmallWorld, leave_own_out: bool = False
) -> tuple[Float[ndarray, "i i"], ...]:
    """By what each source really draws, [positive, item]: written down here once more.

    in-batch draws by the click share, uniform evenly; without the row's own positive
    the rest is scaled up.

    >>> world = small_world()
    >>> float(draw_laws(("uniform",), world, leave_own_out=True)[0][0, 1])
    0.2
    """
    items = world.scores.shape[1]
    counts = np.asarray(world.pool.counts, np.float64)
    known = {"in-batch": counts / counts.sum(), "uniform": np.full(items, 1 / items)}
    out = []
    for name in names:
        law = np.tile(known[name], (items, 1))
        if leave_own_out:
            law = law * (1 - np.eye(items))
            law = law / law.sum(axis=1, keepdims=True)
        out.append(law)
    return tuple(out)


def enumerated(
    arm: Probed,
    draws: tuple[int, ...],
    laws: tuple[Float[ndarray, "i i"], ...],
    worlds: tuple[SmallWorld, SmallWorld] | None = None,
) -> tuple[Estimate, Estimate]:
    """Bias of an arm on a small world, at the truth and away from it, without error.

    The reference is the exact gradient; at the truth that is zero, and the reference is
    the pull alone, E[d(-s_p)/ds] = -law: the bias is the share of it that is left.

    Args:
      arm: as made by gradients.probed for the worlds' pool.
      draws: how many of each source.
      laws: as made by draw_laws.
      worlds: at the truth and away; default small_world().
    """
    truth, away = worlds or (small_world(True), small_world(False))
    at_truth, elsewhere = expected(arm, (truth, away), draws, laws)
    pull = truth.law / len(truth.law)
    full = _softmax(away.scores) / len(away.law) - away.law / len(away.law)
    return (
        exact(at_truth[0].ravel(), at_truth[1], pull.ravel(), against_full=False),
        exact(elsewhere[0].ravel(), elsewhere[1], full.ravel()),
    )


def _softmax(scores: Float[ndarray, "u i"]) -> Float[ndarray, "u i"]:
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float64)
