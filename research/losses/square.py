"""Losses of a whole batch against itself."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.losses.context import Context
from research.towers.towers import normalise
from research.types import Hyper

POTENTIAL = 2.0  # t of the Gaussian potential  [wang2020, section 4]


def siglip(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Sigmoid loss over all pairs of a batch, with a learned scale and bias (SigLIP).

    loss_b = softplus(-(a z_p + bias)) + sum_j softplus(a z_bj + bias)
    [zhai2023, algorithm 1]

    a = exp(log_scale) starts at 1, so 1 / temperature is the paper's initial scale (10
    at temperature .1); the bias starts at -10, because most pairs of a batch are
    negatives. The mean over rows is the paper's sum divided by B. Use when: a pair's
    probability is needed from in-batch negatives alone. Watch: the scale would also
    multiply log q; a popularity prior is added to s / temperature, without the scale.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> learned = {"log_scale": jnp.array(0.0), "bias": jnp.array(0.0)}
    >>> round(float(siglip(jnp.zeros(1), z, learned)[0]), 4)  # 4 log 2
    2.7726
    """
    scale, bias = jnp.exp(hyper["log_scale"]), hyper["bias"]
    total = negatives.sum(lambda z: jax.nn.softplus(scale * z + bias))
    value = jax.nn.softplus(-(scale * positive + bias)) + total
    return jnp.where(negatives.count() > 0, value, 0.0)


def align_uniform(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """Alignment of pairs plus uniformity of both sides, without negatives (DirectAU).

    loss_b = |u_b - v_b|^2 + gamma (uniformity(u) + uniformity(v)) / 2
    uniformity(x) = log mean over pairs of exp(-2 |x - x'|^2)  [wang2022, section 4]

    Vectors are normalised first. Every row holds the uniformity of the whole batch, so
    that the mean over rows is the paper's loss; no difference from the paper. Use when:
    no negatives are to be drawn. Watch: batches follow popularity, so uniformity mostly
    spreads popular items; the result depends strongly on gamma.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((2, 2)), jnp.ones((2, 2), bool))
    >>> pair = Context(jnp.eye(2), jnp.eye(2))  # distance 0 in a pair, else 2
    >>> gamma = {"uniformity": jnp.array(1.0)}
    >>> values = align_uniform(jnp.zeros(2), z, gamma, pair)  # 0 + log exp(-2 * 2)
    >>> [round(float(value), 4) for value in values]
    [-4.0, -4.0]
    """
    query, item = normalise(context.query), normalise(context.positive)
    align = jnp.sum((query - item) ** 2, axis=1)
    spread = (log_uniformity(query) + log_uniformity(item)) / 2.0
    return align + hyper["uniformity"] * spread


def log_uniformity(vectors: Float[Array, "b d"]) -> Float[Array, ""]:
    """Log mean over pairs of rows of exp(-2 |x - x'|^2); 0 for a single row.

    Rows have length 1 or 0. Two equal rows are a pair like any other.
    """
    b = vectors.shape[0]
    square = jnp.sum(vectors * vectors, axis=1)
    distance = square[:, None] + square[None, :] - 2.0 * vectors @ vectors.T
    other = ~jnp.eye(b, dtype=bool)
    energy = jnp.where(other, -POTENTIAL * distance, -jnp.inf)
    if b < 2:
        return jnp.zeros((), vectors.dtype)
    return jax.nn.logsumexp(energy) - jnp.log(float(b * (b - 1)))
