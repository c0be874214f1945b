"""The estimators that are compared, and the gradient that one draw gives each of them.

An estimator is a way to draw negatives and to correct the softmax over them: sources,
switches, a log q. Gradients are with respect to the scores s = u . v / temperature,
[b, i], row by row: what item vectors and towers get is linear in them (see bias).
Logits, masks and the loss are those of training, on scores in place of vectors.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.logits.candidates import Block, candidate_logits
from research.losses import LOSSES, start_values
from research.losses.entry import CONTEXT
from research.negatives import make_sources
from research.negatives.source import Drawn, Hyper, Pool, Source
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
    shared: bool = False,
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
            if not shared:
                return jax.vmap(one_draw)(jax.random.split(key, positive.shape[0]))
            ids = one_draw(key)
            return jnp.broadcast_to(ids, (positive.shape[0], ids.shape[0]))

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
