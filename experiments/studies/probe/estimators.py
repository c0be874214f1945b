"""The estimators that are compared, and their expected gradient by enumeration.

An estimator is a way to draw negatives and to correct the softmax over them: sources,
switches, a log q. Gradients are with respect to the scores s = u . v / temperature,
[b, i], row by row: what item vectors and towers get is linear in them. Logits, masks
and the loss are those of training, on scores in place of vectors.

By count, on synthetic data of a few items: draws from one source are exchangeable, so a
multiset of ids stands for all its orders: its probability is the multinomial one. 6
draws of 6 items are 462 multisets, not 46,656 sequences.
"""

import dataclasses
import itertools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy import ndarray
from scipy.special import factorial, softmax

from research.config import Config
from research.logits.candidates import Block, candidate_logits
from research.losses import LOSSES, start_values
from research.losses.entry import CONTEXT
from research.negatives import make_sources
from research.negatives.source import Drawn, Hyper, Pool, Source
from research.positives import log_share
from research.train.run_state import traced_values
from research.types import Pairs, choose


class Estimator(NamedTuple):
    """One way to correct one way to draw.

    Attributes:
      sources: names of sources without their numbers; n is shared out evenly.
      changes: switches of the config.
      exact: whether q is the distribution that the negatives were drawn from.
      unigram: correct every column by the click share alone, whatever drew it.
    """

    sources: tuple[str, ...]
    changes: dict[str, Any]
    exact: bool
    unigram: bool = False


_IMPORTANCE = {"logq": 1.0, "correct_positive": False, "expected_count": True}
_IN_BATCH = ("in-batch",)
_MIXED = ("in-batch", "uniform")

# Above each entry: the weight of a negative with score s in the softmax.
ESTIMATORS: dict[str, Estimator] = {
    # exp s
    "in-batch": Estimator(_IN_BATCH, {}, exact=False),
    # exp(s - log q), the positive's too [yi2019]
    "in-batch+logq": Estimator(_IN_BATCH, {"logq": 1.0}, exact=True),
    # exp(s - log(n q)), the positive exp(s_p)
    "importance": Estimator(_IN_BATCH, _IMPORTANCE, exact=True),
    # exp(s - log(n q / (1 - q_p))), the positive exp(s_p) [khrylchenko2025]
    "leave-own-out": Estimator(
        _IN_BATCH, {**_IMPORTANCE, "leave_own_out": True}, exact=True
    ),
    # exp(s - log(1 / I))
    "uniform-softmax": Estimator(("uniform",), {"logq": 1.0}, exact=True),
    # exp(s - log Q') [yang2020]
    "mixed+logq": Estimator(_MIXED, {"logq": 1.0}, exact=True),
    # exp(s - log q) on uniform draws too
    "mixed-unigram-q": Estimator(_MIXED, {"logq": 1.0}, exact=False, unigram=True),
    # exp(s - log q), the positive exp(s_p)
    "positive-forgotten": Estimator(
        _IN_BATCH, {"logq": 1.0, "correct_positive": False}, exact=False
    ),
}


def estimator_config(
    name: str, n: int, masked: bool = False, base: Config | None = None
) -> Config:
    """The config of an estimator with n draws per row.

    In-batch draws of a batch of B are B - 1, so the config's batch is that plus one.

    Raises:
      InputError: no estimator has that name.
      ValueError: n can't be shared out evenly.

    >>> config = estimator_config("mixed+logq", 64)
    >>> config.negatives, config.batch
    (('in-batch', 'uniform:32'), 33)
    """
    estimator = choose(name, ESTIMATORS, "estimator")
    each, left = divmod(n, len(estimator.sources))
    if left or n < 1:
        raise ValueError(f"{n} draws can't be shared out to {len(estimator.sources)}")
    specs = tuple(s if s == "in-batch" else f"{s}:{each}" for s in estimator.sources)
    return dataclasses.replace(
        base or Config(),
        negatives=specs,
        batch=each + 1,
        loss="sampled-softmax",
        mask_same_item=masked,
        **{"logq": 0.0, **estimator.changes},
    )


def estimator_sources(name: str, config: Config) -> tuple[Source, ...]:
    """The sources of an estimator; with a unigram q all report the click share."""
    sources = make_sources(config.negatives, config)
    if not choose(name, ESTIMATORS, "estimator").unigram:
        return sources
    (in_batch,) = make_sources(("in-batch",), config)
    return tuple(source._replace(log_q=in_batch.log_q) for source in sources)


class ProbedArm(NamedTuple):
    """A prepared arm: its sources as they look when each row has its own draws."""

    config: Config
    sources: tuple[Source, ...]
    source_states: tuple[Any, ...]
    hyper: Hyper


def probed_arm(
    config: Config, pool: Pool, sources: tuple[Source, ...] | None = None
) -> ProbedArm:
    """Prepares an arm's sources for draws that don't depend on the row.

    In-batch negatives become config.batch - 1 draws from the training pairs, so no
    column is the row's own and the number of draws is that of training.

    Raises:
      ValueError: the loss needs more than scores, or a source draws by the user.
    """
    if LOSSES.choose(config.loss).needs & CONTEXT:
        raise ValueError(f"{config.loss} is no function of the scores alone")
    hyper = traced_values(config)
    sources = sources or make_sources(config.negatives, config)
    if any(source.row_log_q is not None for source in sources):
        raise ValueError(f"{' '.join(config.negatives)}: draws depend on the row")
    states = tuple(source.init(pool, hyper) for source in sources)
    ready = []
    for source, state in zip(sources, states, strict=True):
        draws = source.draws(state, pool, config.batch)
        mask: Literal["id", "none"] = "id" if source.own == "id" else "none"
        ready.append(source._replace(own=mask, draws=lambda *_, draws=draws: draws))
    trainable = {n: jnp.float32(v) for n, v in start_values(config).items()}
    items = {"items": jnp.float32(len(pool.counts))}
    return ProbedArm(config, tuple(ready), states, {**hyper, **items, **trainable})


def draw_rows(
    key: Key[Array, ""],
    arm: ProbedArm,
    pairs: Pairs,
    positive: Int[Array, " b"],
    pool: Pool,
    leave_own_out: bool = False,
) -> tuple[Int[Array, "b n"], ...]:
    """Draws of each source for each row, independent of the row: ids [b, n]."""
    out = []
    sources = zip(arm.sources, arm.source_states, strict=True)
    for n, (source, state) in enumerate(sources):

        def one_draw(key: Key[Array, ""], source=source, state=state):  # type: ignore[no-untyped-def]
            size = arm.config.batch - 1 if source.origin == "batch" else 1
            index = jax.random.randint(key, (size,), 0, pairs.candidate.shape[0])
            batch = Pairs(*(column[index] for column in pairs))
            return source.draw(key, batch, state, pool).ids.reshape(-1)

        def rows(key: Key[Array, ""], one_draw=one_draw):  # type: ignore[no-untyped-def]
            return jax.vmap(one_draw)(jax.random.split(key, positive.shape[0]))

        source_key = jax.random.fold_in(key, n)
        ids = rows(source_key)
        if leave_own_out and source.own != "id":
            ids = _without(source_key, ids, positive, rows)
        out.append(ids)
    return tuple(out)


def _without(key, ids, positive, rows):  # type: ignore[no-untyped-def]
    """Rejection: draws that hold the row's positive are drawn again until none does."""

    def again(carry):  # type: ignore[no-untyped-def]
        ids, t = carry
        new = rows(jax.random.fold_in(key, t))
        return jnp.where(ids == positive[:, None], new, ids), t + 1

    def some(carry):  # type: ignore[no-untyped-def]
        return jnp.any(carry[0] == positive[:, None])

    return jax.lax.while_loop(some, again, (ids, jnp.int32(1)))[0]


def score_gradient(
    arm: ProbedArm,
    scores: Float[Array, "b i"],
    positive: Int[Array, " b"],
    ids: tuple[Int[Array, "b n"], ...],
    pool: Pool,
) -> Float[Array, "b i"]:
    """d loss_b / d s_bi for the negatives drawn; s is the score over the temperature.

    For the softmax: sum over kept columns c of item i of softmax(z_b)_c, less 1 at the
    positive, plus the positive's own softmax.
    """
    loss, n = LOSSES.choose(arm.config.loss), positive.shape[0]
    empty = jnp.zeros(n, jnp.int32)
    batch = Pairs(empty, empty, positive, jnp.ones(n))

    def total(scores: Float[Array, "b i"]) -> Float[Array, ""]:
        raw = scores * arm.hyper["temperature"]
        positives = jnp.take_along_axis(raw, positive[:, None], axis=1)
        blocks = tuple(
            Block(s, m, Drawn(i), jnp.take_along_axis(raw, i, axis=1)[..., None])
            for s, m, i in zip(arm.sources, arm.source_states, ids, strict=True)
        )
        one = jnp.ones((n, 1))  # a query of one dimension, so that vectors are scores
        values = candidate_logits(
            arm.config, one, positives, blocks, batch, pool, None, arm.hyper
        )
        return jnp.sum(loss.fn(*values, arm.hyper))

    return jax.grad(total)(scores)


def full_gradient(
    scores: Float[Array, "b i"], positive: Int[Array, " b"]
) -> Float[Array, "b i"]:
    """d/ds of the full softmax: softmax(s_b)_i - [i is the positive]."""
    label = jax.nn.one_hot(positive, scores.shape[1], dtype=scores.dtype)
    return jax.nn.softmax(scores, axis=1) - label


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


def estimate_bias(
    errors: Float[ndarray, "m p"],
    reference: Float[ndarray, " p"],
    repeats: int = 1,
    against_full: bool = True,
) -> BiasEstimate:
    """Bias and variance from m draws of the error, freed of the noise in the norm.

    bias^2 = sum_{a != b} <e_a, e_b> / (m (m - 1)) / |f|^2, a U-statistic, whose
    standard error is its jackknife [arvesen1969]; below zero it counts as zero. The
    error of the bias itself is how far it moves with bias^2 one such error up or down,
    whichever is more: it stays finite where the bias is zero. Each error is the mean of
    ``repeats`` independent gradients, less g_full.

    Raises:
      ValueError: fewer than 3 draws.
    """
    m = len(errors)
    if m < 3:
        raise ValueError(f"{m} draws: an error needs at least 3")
    e, f = errors.astype(np.float64), reference.astype(np.float64)
    squared, norm = np.einsum("mp,mp->m", e, e), float(f @ f)
    others = e @ e.sum(axis=0) - squared
    square = others.sum() / (m * (m - 1))
    left_out = (others.sum() - 2 * others) / ((m - 1) * (m - 2))
    spread = _root((m - 1) / m * np.sum((left_out - left_out.mean()) ** 2))
    variance = max(float(squared.mean() - square), 0.0) * repeats
    bias = _root(square)
    up, down = _root(bias**2 + spread) - bias, bias - _root(bias**2 - spread)
    cosine = _cosine(norm, float((e @ f).mean()), square)
    return BiasEstimate(
        bias=bias / _root(norm),
        error=max(up, down) / _root(norm),
        cosine=cosine if against_full else float("nan"),
        variance=variance / norm,
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
