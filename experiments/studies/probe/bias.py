"""How far an arm's expected gradient is from the full softmax's: by draws, by count.

By draws, at a model's point: rows are fixed and negatives drawn anew; E is over draws,
and over positives where these are drawn from the model itself, the case in which the
model is the truth. Gradients with respect to item vectors and to all parameters are
linear in the one with respect to the scores, so one draw of negatives gives all three.
The squared norm of a mean of noisy vectors is too large by the noise; the mean inner
product of two different draws is not. So what is stored of m draws e_1 .. e_m of the
error g - g_full is their inner products, whatever the size of the gradient.

By count, on synthetic data of a few items: draws from one source are exchangeable, so a
multiset of ids stands for all its orders: its probability is the multinomial one. 6
draws of 6 items are 462 multisets, not 46,656 sequences.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key
from numpy import ndarray
from scipy.special import factorial, softmax

from experiments.studies.probe.estimators import (
    ProbedArm,
    draw_rows,
    full_gradient,
    score_gradient,
)
from research import rng
from research.evaluate.record import DECILES, deciles
from research.negatives.source import Pool
from research.positives import log_share
from research.train.model import Model, Params
from research.train.world import World
from research.types import Pairs

SCORED = 256  # rows whose scores are stored one by one: the others add no precision
NEVER = -1e6  # a score whose weight is zero, far from what overflows
TARGETS = ("scores", "items", "towers")
MAX_REPEATS = 8  # gradients averaged in one replicate where n is small

Projected = dict[str, Float[Array, " p"]]


class Products(NamedTuple):
    """Inner products of m independent draws of an error e, and of a reference f.

    Attributes:
      squared: |e_m|^2.
      with_sum: <e_m, sum of all e>.
      with_reference: <e_m, f>.
      norm: |f|^2.
      repeats: how many independent gradients were averaged in each e_m.
    """

    squared: Float[ndarray, " m"]
    with_sum: Float[ndarray, " m"]
    with_reference: Float[ndarray, " m"]
    norm: float
    repeats: int


class BiasEstimate(NamedTuple):
    """How far an expected gradient is from the exact one, and how noisy a draw is.

    Attributes:
      bias: |E[g] - g_full| / |f|.
      error: one standard error of the bias.
      cosine: of E[g] and g_full; NaN where f isn't g_full.
      variance: trace of the covariance of one gradient, over |f|^2.
    """

    bias: float
    error: float
    cosine: float
    variance: float


def products(
    errors: Float[ndarray, "m p"], reference: Float[ndarray, " p"], repeats: int = 1
) -> Products:
    """The inner products that are stored of m draws of the error."""
    e, f = errors.astype(np.float64), reference.astype(np.float64)
    return Products(
        squared=np.einsum("mp,mp->m", e, e),
        with_sum=e @ e.sum(axis=0),
        with_reference=e @ f,
        norm=float(f @ f),
        repeats=repeats,
    )


def estimate_bias(inner: Products, against_full: bool = True) -> BiasEstimate:
    """Bias and variance, freed of the noise in the norm.

    bias^2 = sum_{a != b} <e_a, e_b> / (m (m - 1)) / |f|^2, a U-statistic, whose
    standard error is its jackknife [arvesen1969]; below zero it counts as zero. The
    error of the bias itself is how far it moves with bias^2 one such error up or down,
    whichever is more: it stays finite where the bias is zero.

    Raises:
      ValueError: fewer than 3 draws.
    """
    m = len(inner.squared)
    if m < 3:
        raise ValueError(f"{m} draws: an error needs at least 3")
    others = inner.with_sum - inner.squared
    square = others.sum() / (m * (m - 1))
    left_out = (others.sum() - 2 * others) / ((m - 1) * (m - 2))
    spread = _root((m - 1) / m * np.sum((left_out - left_out.mean()) ** 2))
    variance = max(float(inner.squared.mean() - square), 0.0) * inner.repeats
    bias = _root(square)
    up, down = _root(bias**2 + spread) - bias, bias - _root(bias**2 - spread)
    cosine = _cosine(inner.norm, float(inner.with_reference.mean()), square)
    scale = _root(inner.norm)
    return BiasEstimate(
        bias=bias / scale,
        error=max(up, down) / scale,
        cosine=cosine if against_full else float("nan"),
        variance=variance / inner.norm,
    )


def exact_bias(
    error: Float[ndarray, " p"],
    second: float,
    reference: Float[ndarray, " p"],
    against_full: bool = True,
) -> BiasEstimate:
    """Bias and variance from an enumeration, without an error."""
    e, f = error.astype(np.float64), reference.astype(np.float64)
    norm = float(f @ f)
    cosine = _cosine(norm, float(e @ f), float(e @ e))
    return BiasEstimate(
        bias=float(np.sqrt(e @ e / norm)),
        error=0.0,
        cosine=cosine if against_full else float("nan"),
        variance=max(second - float(e @ e), 0.0) / norm,
    )


def _root(value: float) -> float:
    return float(np.sqrt(max(value, 0.0)))


def _cosine(norm: float, along: float, square: float) -> float:
    """The cosine of f + e and f, from |f|^2, <e, f> and |e|^2; noise can't lift it."""
    length = max(norm + 2 * along + square, 1e-30)
    return float(np.clip((norm + along) / np.sqrt(norm * length), -1.0, 1.0))


Laws = tuple[Float[ndarray, "i i"], ...]  # of a source each: [positive, item]


class SmallWorld(NamedTuple):
    """Scores over temperature of a model [u, i], the law of positives [u, i], a pool.

    At the truth, law is softmax(scores). The pool's click share is the mean of the law
    over users, to three digits, so in-batch draws are from its own positives.
    """

    scores: Float[ndarray, "u i"]
    law: Float[ndarray, "u i"]
    pool: Pool


def small_world(at_truth: bool = True) -> SmallWorld:
    """Synthetic data of 3 users and 6 items, a popular one or two among them."""
    draw = np.random.default_rng(0)
    truth = np.linspace(1.0, -1.0, 6) + draw.normal(0, 1, (3, 6))
    law = softmax(truth, axis=1)
    scores = truth if at_truth else draw.normal(0, 1, (3, 6))
    counts = np.rint(1000 * law.mean(axis=0)).astype(np.int64)
    pool = Pool(jnp.asarray(counts, jnp.float32), jnp.asarray(log_share(counts)))
    return SmallWorld(scores.astype(np.float32), law, pool)


def multisets(n: int, items: int) -> tuple[Int[ndarray, "k n"], Float[ndarray, " k"]]:
    """Every multiset of n ids below items, and how many sequences are that multiset.

    >>> ids, orders = multisets(2, 3)
    >>> len(ids), int(orders.sum())
    (6, 9)
    """
    every = itertools.combinations_with_replacement(range(items), n)
    ids = np.array(list(every), np.int32)
    repeats = np.sum(ids[:, :, None] == np.arange(items), axis=1)  # [k, items]
    return ids, factorial(n) / factorial(repeats).prod(axis=1)


def expected_error(
    arm: ProbedArm, worlds: tuple[SmallWorld, ...], draws: tuple[int, ...], laws: Laws
) -> list[tuple[Float[ndarray, "u i"], float]]:
    """E[g - g_full] over positives and draws, [u, i], and E|g - g_full|^2, of a row."""
    items = worlds[0].scores.shape[1]
    every = [multisets(n, items) for n in draws]
    at = [c.ravel() for c in np.meshgrid(*(np.arange(len(o)) for _, o in every))]
    ids = tuple(jnp.asarray(i[a]) for (i, _), a in zip(every, at))

    @jax.jit
    def error_of(
        scores: Float[Array, "b i"], positive: Int[Array, " b"]
    ) -> Float[Array, "b i"]:
        sampled = score_gradient(arm, scores, positive, ids, worlds[0].pool)
        return sampled - full_gradient(scores, positive)

    weight = np.ones((items, len(at[0])))
    for (i, orders), a, law in zip(every, at, laws):
        weight *= (orders * np.prod(law[:, i], axis=2))[:, a]
    moments = []
    for scores, law, _ in worlds:
        mean, second = np.zeros(scores.shape), 0.0
        for u, p in np.ndindex(scores.shape):
            row = jnp.broadcast_to(scores[u], (len(at[0]), items))
            positive = jnp.full(len(at[0]), p, jnp.int32)
            error = np.asarray(error_of(row, positive), np.float64)
            share = law[u, p] / len(scores) * weight[p]
            mean[u] += share @ error
            second += float(share @ (error**2).sum(axis=1))
        moments.append((mean, second))
    return moments


def draw_laws(
    names: tuple[str, ...], world: SmallWorld, leave_own_out: bool = False
) -> Laws:
    """The law of each source's draws, [positive, item], independent of its own code.

    in-batch draws by the click share, uniform evenly; without the row's own positive
    the rest is scaled up.

    >>> world = small_world()
    >>> float(draw_laws(("uniform",), world, leave_own_out=True)[0][0, 1])
    0.2
    """
    items = world.scores.shape[1]
    counts = np.asarray(world.pool.counts, np.float64)
    laws = {"in-batch": counts / counts.sum(), "uniform": np.full(items, 1 / items)}
    tables = [np.tile(laws[name], (items, 1)) for name in names]
    if leave_own_out:
        rest = [law * (1 - np.eye(items)) for law in tables]
        tables = [law / law.sum(axis=1, keepdims=True) for law in rest]
    return tuple(tables)


def enumerated_bias(
    arm: ProbedArm,
    draws: tuple[int, ...],
    laws: Laws,
    worlds: tuple[SmallWorld, SmallWorld],
) -> tuple[BiasEstimate, BiasEstimate]:
    """Bias of an arm on the small data set, at the truth and away, without error.

    The reference is the exact gradient; at the truth that is zero, and the reference is
    the pull alone, E[d(-s_p)/ds] = -law: the bias is the share of it that is left.
    """
    truth, away = worlds
    at_truth, elsewhere = expected_error(arm, (truth, away), draws, laws)
    pull = truth.law / len(truth.law)
    n = len(away.law)
    full = softmax(away.scores, axis=1).astype(np.float64) / n - away.law / n
    return (
        exact_bias(at_truth[0].ravel(), at_truth[1], pull.ravel(), against_full=False),
        exact_bias(elsewhere[0].ravel(), elsewhere[1], full.ravel()),
    )


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
