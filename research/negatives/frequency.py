"""How often an item is drawn, estimated or counted while training.

There are two ways to tell from a stream of pairs: the gaps between an item's
appearances, and the counts of the last window. Each has three functions for the
registry (frequencies.py): before a step, after a step, and log q.

An item that comes up once in g steps has a probability 1 / g to be in a batch; its gap
g is averaged over time in hashed arrays  [yi2019, algorithms 2 and 3]. That is
P(at least one in a batch), p = 1 - (1 - q)^B, and not the probability q of one draw.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.negatives.source import Pool
from research.rng import mix32
from research.types import UNSEEN, Hyper

UNKNOWN = 0.0  # in place of a gap, as long as none was observed
NEVER = -1  # in place of the last step, as long as there is none


class Estimate(NamedTuple):
    """For each of m hashes and h buckets the last step seen, and the average gap.

    The arrays A and B of [yi2019, algorithm 2], m times.
    """

    last: Int[Array, "m h"]
    gap: Float[Array, "m h"]


def init_gaps(values: Mapping[str, Any], items: int, steps: int) -> Estimate:
    """The state before the first step; ``buckets`` is over all hashes together.

    Differs from the paper: its start (last 0, gap 100) takes the time before an item
    was first seen for a gap; here the average starts with the first observed gap.
    """
    shape = (values["hashes"], values["buckets"] // values["hashes"])
    last = jnp.full(shape, NEVER, jnp.int32)
    return Estimate(last, jnp.full(shape, UNKNOWN, jnp.float32))


def buckets_of(ids: Int[Array, " n"], estimate: Estimate) -> Int[Array, "m n"]:
    """The bucket of each id under each hash."""
    hashes, buckets = estimate.last.shape
    salt = jnp.arange(1, hashes + 1, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    x = ids.astype(jnp.uint32)[None, :] + salt[:, None]
    at: Array = (mix32(x) % jnp.uint32(buckets)).astype(jnp.int32)
    return at


def observe_gaps(
    estimate: Estimate, ids: Int[Array, " b"], step: Int[Array, ""], hyper: Hyper
) -> Estimate:
    """The state after a step that held these ids, with the rate hyper["rate"].

    B[h] <- (1 - rate) B[h] + rate (t - A[h]),  A[h] <- t   [yi2019, algorithm 2]

    Differs from the paper: an item twice in a step, or two in one bucket, count once,
    as all read the state before the step; a second gap of 0 would pull B down. An
    item's first observed gap is taken whole.
    """
    at, rate = buckets_of(ids, estimate), hyper["rate"]
    rows = jnp.arange(at.shape[0], dtype=jnp.int32)[:, None]
    last, gap = estimate.last[rows, at], estimate.gap[rows, at]
    new = (step - last).astype(jnp.float32)
    average = jnp.where(gap == UNKNOWN, new, (1.0 - rate) * gap + rate * new)
    average = jnp.where(last == NEVER, UNKNOWN, average)
    return Estimate(
        estimate.last.at[rows, at].set(step), estimate.gap.at[rows, at].set(average)
    )


def at_least_one(
    estimate: Estimate, ids: Int[Array, " n"], step: Int[Array, ""]
) -> Float[Array, " n"]:
    """The probability p of each id to be in a batch  [yi2019, algorithm 3].

    p = 1 / max over hashes of B: a collision shortens a gap, so the longest is the
    least wrong. ``step`` counts from 0: an id with no observed gap came up at most once
    in as many steps, so its p is 1 / step.
    """
    at = buckets_of(ids, estimate)
    rows = jnp.arange(at.shape[0], dtype=jnp.int32)[:, None]
    gap = estimate.gap[rows, at]
    waited = jnp.maximum(step.astype(jnp.float32), 1.0)
    longest = jnp.where(jnp.any(gap == UNKNOWN, axis=0), waited, jnp.max(gap, axis=0))
    return 1.0 / longest


def per_draw(p: Float[Array, " n"], batch: int) -> Float[Array, " n"]:
    """The q of one draw from the p of a batch: q = 1 - (1 - p)^(1 / batch).

    >>> round(float(per_draw(jnp.array([0.75]), 2)[0]), 6)  # 1 - (1 / 4)^(1 / 2)
    0.5
    """
    return -jnp.expm1(jnp.log1p(-p) / batch)


def log_share_of_gaps(
    estimate: Estimate, pool: Pool, step: Int[Array, ""], batch: int, hyper: Hyper
) -> Float[Array, " i"]:
    """log q of all items as estimated so far, in place of the exact click share.

    p of an item in every batch is 1, whatever its q. An average over some 2 / rate gaps
    can't tell a mean gap from 1 more finely than rate / 2, so p stops there.
    """
    ids = jnp.arange(len(pool.counts), dtype=jnp.int32)
    p = jnp.minimum(at_least_one(estimate, ids, step), 1.0 - hyper["rate"] / 2.0)
    return jnp.maximum(jnp.log(per_draw(p, batch)), pool.floor)


def log_q_error(
    log_q: Float[Array, " i"], counts: Float[Array, " i"]
) -> Float[Array, ""]:
    """Mean over the fitted pairs of |log q - log of the exact share|, in nats."""
    share = counts / jnp.sum(counts)
    exact = jnp.log(jnp.where(counts > 0, share, 1.0))
    return jnp.sum(share * jnp.abs(log_q - exact))


class Window(NamedTuple):
    """How often each item came up: in the current window, and in the last whole one.

    ``last`` is 0 everywhere until the first window is over. A window has ``steps``
    steps.
    """

    current: Int[Array, " i"]
    last: Int[Array, " i"]
    steps: Int[Array, ""]


def init_window(values: Mapping[str, Any], items: int, steps: int) -> Window:
    """The counts before the first step."""
    current, last = jnp.zeros(items, jnp.int32), jnp.zeros(items, jnp.int32)
    return Window(current, last, jnp.int32(values["window"] or steps))


def observe_window(
    window: Window, ids: Int[Array, " b"], step: Int[Array, ""], hyper: Hyper
) -> Window:
    """The counts after a step that held these ids, each as often as it came up.

    Windows follow one another from step 0 of a run on, across epochs. What is used
    changes at a window's end alone, as where counts come from yesterday's log.
    """
    counts = window.current.at[ids].add(1)
    over = (step + 1) % window.steps == 0
    return window._replace(
        current=jnp.where(over, 0, counts), last=jnp.where(over, counts, window.last)
    )


def log_share_of_window(
    window: Window, pool: Pool, step: Int[Array, ""], batch: int, hyper: Hyper
) -> Float[Array, " i"]:
    """log q of all items: their shares of the pairs of the last whole window.

    Common practice, which follows no paper; [yi2019] estimates from the stream instead,
    to need no fixed vocabulary and to adapt to a distribution that changes.
    """
    return log_share_of_counts(window.last)


def log_share_of_counts(clicks: Int[Array, " i"]) -> Float[Array, " i"]:
    """log q of all items by their counts C.

    q_j = max(C_j, 0.3) / sum_k C_k: an item without a count has 0.3 of one, as unseen
    items have everywhere. Until the first window is over all counts are 0, and q is the
    same for all i items, 1 / i: a softmax whose positive is corrected too is then as
    without a correction.

    >>> log_q = log_share_of_counts(jnp.array([3, 1, 0]))
    >>> [round(float(q), 3) for q in jnp.exp(log_q)]
    [0.75, 0.25, 0.075]
    """
    counts = clicks.astype(jnp.float32)
    total = jnp.sum(counts)
    share = jnp.maximum(counts, UNSEEN) / jnp.maximum(total, 1.0)
    return jnp.where(total > 0, jnp.log(share), -jnp.log(float(len(counts))))
