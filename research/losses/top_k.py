"""The softmax loss of the head of the ranking: pairs weighted by a threshold."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from research.logits.reducers import Negatives
from research.losses.context import Context, StepScores
from research.losses.softmax import decoupled_softmax
from research.types import Hyper

SHARE = 90  # per cent of the users whose items are all looked at
ABSENT = -1e6  # a score below any


class Thresholds(NamedTuple):
    """Each user's threshold, and the items it is estimated from, padded with -1."""

    value: Float[Array, " u"]
    items: Int[Array, "u l"]


def sl_at_k(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """Softmax loss at K: the decoupled softmax of pairs at the head of a user's list.

    loss_b = sigmoid((s_p - t_u) / width) (log sum_j exp(z_bj) - z_p)
    [yang2025slatk, as in its code]

    s_p is the score, a cosine, under no temperature and no log q; t_u estimates the
    user's K-th highest score. It starts at 0; in every ``every``-th epoch it is set
    after each step to the K-th highest among the user's training items (the first of
    them, as many as 90 % of the users have) and the row's columns. The gradient flows
    through the weight too. Differs from the paper's code: of a user in two rows of a
    batch either may set the threshold; the first items are those of the earliest
    clicks; ``weight_gradient`` at 0 stops the gradient through the weight. Use when:
    the first K places are all that is shown. Watch: that gradient lowers s_p by more
    the less probable the pair is, so that lists become more popular; a pair far below
    t_u hardly counts; popular negatives raise t_u, which then is no rank of the list;
    with fewer than K items and columns every pair counts whole.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> one = jnp.ones((1, 1))  # a score of 1, at the threshold
    >>> state = Thresholds(jnp.ones(1), jnp.zeros((1, 0), jnp.int32))
    >>> about = Context(one, one, state=state)
    >>> hyper = {"width": jnp.array(0.5), "weight_gradient": jnp.array(1.0)}
    >>> round(float(sl_at_k(jnp.zeros(1), z, hyper, about)[0]), 4)  # log(3) / 2
    0.5493
    """
    score = jnp.sum(context.query * context.positive, axis=1)
    weight = jax.nn.sigmoid((score - context.state.value) / hyper["width"])
    through = hyper["weight_gradient"]
    weight = through * weight + (1 - through) * jax.lax.stop_gradient(weight)
    return weight * decoupled_softmax(positive, negatives, hyper)


def first_items(
    item: Int[np.ndarray, " e"], offsets: Int[np.ndarray, " u1"]
) -> Thresholds:
    """Thresholds of 0, and each user's first items: as many as 90 % have at most."""
    sizes = np.diff(offsets)
    length = int(np.percentile(sizes, SHARE))
    at = np.arange(length)[None, :]
    there = at < sizes[:, None]
    items = np.where(there, item[np.where(there, offsets[:-1, None] + at, 0)], -1)
    value = jnp.zeros(len(sizes), jnp.float32)
    return Thresholds(value, jnp.asarray(items, jnp.int32))


def is_due(hyper: Hyper, epoch: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether an epoch, counted from 0, is an ``every``-th one."""
    return (epoch + 1) % jnp.maximum(hyper["every"].astype(jnp.int32), 1) == 0


def kth_highest(rows: Thresholds, step: StepScores, hyper: Hyper) -> Thresholds:
    """The thresholds after a step: K-th highest scores of the items and the columns."""
    own = jnp.take_along_axis(step.scores, jnp.maximum(rows.items, 0), axis=1)
    own = jnp.where(rows.items >= 0, own, ABSENT)
    drawn = jnp.where(step.negatives.keep, step.negatives.z, ABSENT)
    cutoff = hyper["cutoff"].astype(jnp.int32)
    found = kth_largest(jnp.concatenate([own, drawn], axis=1), cutoff)
    return rows._replace(value=found)


def kth_largest(values: Float[Array, "r c"], k: Int[Array, ""]) -> Float[Array, " r"]:
    """The k-th largest value of each row; the least where k exceeds their number.

    It finds, bit by bit, the largest number that at least k values reach, as k is
    traced; sorting rows of a thousand takes more than ten times as long on a CPU.

    >>> kth_largest(jnp.array([[3.0, -1.0, 2.0]]), jnp.array(2)).tolist()
    [2.0]
    """
    width = jnp.finfo(values.dtype).bits
    signed, unsigned = jnp.dtype(f"int{width}"), jnp.dtype(f"uint{width}")
    rest, top = jnp.array(jnp.iinfo(signed).max), jnp.array(1, unsigned) << (width - 1)

    def as_integer(x: Float[Array, "r c"]) -> Array:  # unsigned, in the order of floats
        bits = jax.lax.bitcast_convert_type(x, signed)
        bits = jnp.where(bits < 0, bits ^ rest, bits)
        return jax.lax.bitcast_convert_type(bits, unsigned) ^ top

    def as_float(x: Array) -> Float[Array, " r"]:
        bits = jax.lax.bitcast_convert_type(x ^ top, signed)
        bits = jnp.where(bits < 0, bits ^ rest, bits)
        return jax.lax.bitcast_convert_type(bits, values.dtype)

    every = as_integer(values)
    k = jnp.minimum(k, values.shape[1])

    def with_bit(place: Int[Array, ""], found: Array) -> Array:
        tried = found | (top >> place.astype(unsigned))
        reached = (every >= tried[:, None]).sum(axis=1, dtype=jnp.int32) >= k
        return jnp.where(reached, tried, found)

    start = jnp.zeros(len(values), unsigned)
    return as_float(jax.lax.fori_loop(0, width, with_bit, start))
