"""The gradient that one draw of negatives gives, and the exact one, row by row.

Everything is with respect to the logits' scores s = u . v / temperature, [b, i]: what
item vectors and towers get is linear in it (see bias). Logits, masks and the loss
are those of training, on scores in place of vectors.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.logits.candidates import Block, candidate_logits
from research.losses import LOSSES
from research.losses.entry import VECTORS
from research.negatives import make_sources
from research.negatives.source import Drawn, Hyper, Pool, Source
from research.train.run_state import traced_values
from research.types import Pairs

__all__ = ["Probed", "draw_rows", "full_gradient", "probed", "score_gradient"]


class Probed(NamedTuple):
    """An arm made ready: its sources as they look when each row draws its own."""

    config: Config
    sources: tuple[Source, ...]
    memories: tuple[Any, ...]
    hyper: Hyper


def probed(
    config: Config,
    pool: Pool,
    sources: tuple[Source, ...] | None = None,
    memories: tuple[Any, ...] | None = None,
) -> Probed:
    """Makes an arm's sources ready for draws that don't depend on the row.

    In-batch negatives become config.batch - 1 draws from the fitted pairs, so no column
    is the row's own and the number of draws is that of training.

    Args:
      config: the arm.
      pool: what the sources draw from.
      sources: those of the config unless given (a wrong log q, for instance).
      memories: the sources' states; default as before the first step.

    Raises:
      ValueError: the loss needs vectors, so it has no gradient by scores alone.
    """
    loss = LOSSES[config.loss]
    if VECTORS in loss.needs:
        raise ValueError(f"{config.loss} is no function of the scores alone")
    hyper = traced_values(config)
    sources = sources or make_sources(config.negatives, config)
    memories = memories or tuple(s.init(pool, hyper) for s in sources)
    ready = []
    for source, memory in zip(sources, memories, strict=True):
        draws = source.draws(memory, pool, config.batch)
        own: Literal["id", "none"] = "id" if source.own == "id" else "none"
        ready.append(source._replace(own=own, draws=_always(draws)))
    trainable = {n: jnp.float32(v) for n, v in loss.trainable.items()}
    items = {"items": jnp.float32(len(pool.counts))}
    return Probed(config, tuple(ready), memories, {**hyper, **items, **trainable})


def _always(draws: Float[Array, ""]) -> Callable[..., Float[Array, ""]]:
    return lambda state, pool, batch_size: draws


def draw_rows(
    key: Key[Array, ""],
    arm: Probed,
    pairs: Pairs,
    positive: Int[Array, " b"],
    pool: Pool,
    shared: bool = False,
    leave_own_out: bool = False,
) -> tuple[Int[Array, "b n"], ...]:
    """Draws of each source for each row, independent of the row: ids [b, n].

    Args:
      key: of this draw.
      arm: made by ``probed``.
      pairs: the fitted pairs, from which in-batch negatives are drawn one by one.
      positive: of each row.
      pool: what the sources draw from.
      shared: one draw for all rows, as in a batch; else each row its own.
      leave_own_out: draw anew what is the row's positive.
    """
    out = []
    for n, (source, memory) in enumerate(zip(arm.sources, arm.memories, strict=True)):

        def one(key: Key[Array, ""], source=source, memory=memory):  # type: ignore[no-untyped-def]
            size = arm.config.batch - 1 if source.origin == "batch" else 1
            index = jax.random.randint(key, (size,), 0, pairs.candidate.shape[0])
            batch = Pairs(*(column[index] for column in pairs))
            return source.draw(key, batch, memory, pool).ids.reshape(-1)

        def rows(key: Key[Array, ""], one=one):  # type: ignore[no-untyped-def]
            if not shared:
                return jax.vmap(one)(jax.random.split(key, positive.shape[0]))
            ids = one(key)
            return jnp.broadcast_to(ids, (positive.shape[0], ids.shape[0]))

        own = jax.random.fold_in(key, n)
        ids = rows(own)
        if leave_own_out and source.own != "id":
            ids = _without(own, ids, positive, rows)
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
    arm: Probed,
    scores: Float[Array, "b i"],
    positive: Int[Array, " b"],
    ids: tuple[Int[Array, "b n"], ...],
    pool: Pool,
) -> Float[Array, "b i"]:
    """d loss_b / d s_bi for the negatives drawn; s is the score over the temperature.

    For the softmax: sum over kept columns c of item i of softmax(z_b)_c, less 1 at the
    positive, plus the positive's own softmax.
    """
    loss, n = LOSSES[arm.config.loss], positive.shape[0]
    empty = jnp.zeros(n, jnp.int32)
    batch = Pairs(empty, empty, positive, jnp.ones(n))

    def total(scores: Float[Array, "b i"]) -> Float[Array, ""]:
        raw = scores * arm.hyper["temperature"]
        own = jnp.take_along_axis(raw, positive[:, None], axis=1)
        blocks = tuple(
            Block(s, m, Drawn(i), jnp.take_along_axis(raw, i, axis=1)[..., None])
            for s, m, i in zip(arm.sources, arm.memories, ids, strict=True)
        )
        one = jnp.ones((n, 1))  # a query of one dimension, so that vectors are scores
        values = candidate_logits(
            arm.config, one, own, blocks, batch, pool, None, arm.hyper
        )
        return jnp.sum(loss.fn(*values, arm.hyper))

    return jax.grad(total)(scores)


def full_gradient(
    scores: Float[Array, "b i"], positive: Int[Array, " b"]
) -> Float[Array, "b i"]:
    """d/ds of the exact softmax: softmax(s_b)_i - [i is the positive]."""
    own = jax.nn.one_hot(positive, scores.shape[1], dtype=scores.dtype)
    return jax.nn.softmax(scores, axis=1) - own
