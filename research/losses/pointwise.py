"""Pointwise losses: each pair of query and candidate is judged alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper

__all__ = ["binary_nce", "cosine_contrastive", "gbce", "sigmoid"]


def sigmoid(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Binary cross-entropy of the positive and the mean of its negatives.

    loss_b = softplus(-(z_p + bias)) + (1 / k_b) sum_j softplus(z_bj + bias)

    bias is learned (hyper["bias"]): cosine logits can't shift by themselves. Divided
    by the number k_b of negatives kept, so that its size doesn't depend on k. With
    logits corrected by the expected count k q it is binary noise-contrastive
    estimation [gutmann2010]: sigmoid(s - log(k q)); use the sum then (binary_nce).
    Use when: a probability is wanted. Watch: an easy negative still counts.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> bias = {"bias": jnp.zeros(())}
    >>> round(float(sigmoid(jnp.zeros(1), z, bias)[0]), 4)  # 2 log 2
    1.3863
    """
    bias = hyper["bias"]
    total = negatives.sum(lambda z: jax.nn.softplus(z + bias))
    some = negatives.count() > 0
    mean = total / jnp.maximum(negatives.count(), 1.0)
    return jnp.where(some, jax.nn.softplus(-(positive + bias)) + mean, 0.0)


def binary_nce(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Binary noise-contrastive estimation: data against k draws of noise.

    loss_b = softplus(-(z_p + bias)) + sum_j softplus(z_bj + bias)  [gutmann2010, eq. 3]

    With logits z = s / temperature - log(k q) for the positive too (expected_count),
    the optimum is s / temperature + bias = log p. Differs from the paper: bias is one
    learned number in place of a log partition function for each context. Use when: the
    corrected pointwise loss is wanted. Watch: uncorrected, it isn't NCE.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> bias = {"bias": jnp.zeros(())}
    >>> round(float(binary_nce(jnp.zeros(1), z, bias)[0]), 4)  # 4 log 2
    2.7726
    """
    bias = hyper["bias"]
    total = negatives.sum(lambda z: jax.nn.softplus(z + bias))
    some = negatives.count() > 0
    return jnp.where(some, jax.nn.softplus(-(positive + bias)) + total, 0.0)


def gbce(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Binary cross-entropy with the positive's probability raised to a power.

    loss_b = (beta softplus(-z_p) + sum_j softplus(z_bj)) / (k_b + 1),
    beta = 1 - t (1 - rate), rate = k_b / (items - 1)  [petrov2023, as in its code]

    t is hyper["calibration"]: sampling k of all negatives makes a model overconfident,
    and t says how much of that is taken out. Differs from the paper: logits have a
    learned bias, as cosines can't shift by themselves; more draws than items count as
    all. Use when: k negatives are drawn uniformly. Watch: it answers the number of
    negatives, not a skew in how they are drawn.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> hyper = {"calibration": 1.0, "items": 7.0, "bias": 0.0}
    >>> hyper = {name: jnp.array(value) for name, value in hyper.items()}
    >>> round(float(gbce(jnp.zeros(1), z, hyper)[0]), 4)  # (1 / 2 + 3) log 2 / 4
    0.6065
    """
    bias, k = hyper["bias"], negatives.count()
    rate = jnp.minimum(k / (hyper["items"] - 1.0), 1.0)
    beta = 1.0 - hyper["calibration"] * (1.0 - rate)
    total = negatives.sum(lambda z: jax.nn.softplus(z + bias))
    value = (beta * jax.nn.softplus(-(positive + bias)) + total) / (k + 1.0)
    return jnp.where(k > 0, value, 0.0)


def cosine_contrastive(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """The loss of SimpleX: a pull on the positive, a hinge on each negative.

    loss_b = (1 - z_p) + (w / k_b) sum_j max(0, z_bj - m)  [mao2021, section 3]

    m is hyper["threshold"], w hyper["negative_weight"]. With cosine and temperature 1
    it is the paper's; another temperature only moves the threshold, to m times the
    temperature, and divides the loss. Use when: negatives are many and uniform. Watch:
    the pull never ends, so m and w alone keep vectors from falling together.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[1.0, 0.0]]), jnp.ones((1, 2), bool))
    >>> hyper = {"threshold": jnp.array(0.5), "negative_weight": jnp.array(4.0)}
    >>> float(cosine_contrastive(jnp.zeros(1), z, hyper)[0])  # 1 + 4 (.5 + 0) / 2
    2.0
    """
    threshold, k = hyper["threshold"], negatives.count()
    mean = negatives.sum(lambda z: jax.nn.relu(z - threshold)) / jnp.maximum(k, 1.0)
    return jnp.where(k > 0, 1.0 - positive + hyper["negative_weight"] * mean, 0.0)
