"""Pointwise losses: each pair of a query and a candidate is judged alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper


def sigmoid(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Binary cross-entropy of the positive, plus the mean over its negatives.

    loss_b = softplus(-(z_p + bias)) + (1 / k_b) sum_j softplus(z_bj + bias)

    The bias is learned, because cosine logits cannot shift by themselves. The sum is
    divided by the number k_b of negatives, so that its size does not depend on k. For
    logits corrected by the expected count k q, sigmoid(s - log(k q)) with the sum is
    noise-contrastive estimation [gutmann2010]: see binary_nce. Use when: a probability
    is needed. Watch: easy negatives still count.

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
    """Binary noise-contrastive estimation: the positive against k draws of noise.

    loss_b = softplus(-(z_p + bias)) + sum_j softplus(z_bj + bias)  [gutmann2010, eq. 3]

    With logits z = s / temperature - log(k q), the positive's included
    (expected_count), the optimum is s / temperature + bias = log p. Differs from the
    paper: one learned bias instead of a log partition function per context. Use when:
    the pointwise loss is to be corrected. Watch: uncorrected, it is not NCE; the bias
    starts at 0, unless hyper sets it, and may need many steps to reach -log(items).

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
    """Binary cross-entropy with the positive's probability raised to a power (gBCE).

    loss_b = (beta softplus(-z_p) + sum_j softplus(z_bj)) / (k_b + 1),
    beta = 1 - t (1 - rate), rate = k_b / (items - 1)  [petrov2023, as in its code]

    Sampling k of all negatives makes a model overconfident; the calibration t removes
    this effect in part (0: not at all, 1: entirely). Differs from the paper: a learned
    bias, because cosine logits cannot shift by themselves; more draws than items count
    as all items. Use when: k negatives are drawn uniformly. Watch: it corrects for the
    number of negatives, not for their distribution.

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
    """Cosine contrastive loss (SimpleX): linear in the positive, a hinge per negative.

    loss_b = (1 - z_p) + (w / k_b) sum_j max(0, z_bj - m)  [mao2021, section 3]

    With cosine similarity and temperature 1 it is the paper's loss; another temperature
    moves the threshold to m times the temperature and divides the loss by it. Use when:
    negatives are many and uniform. Watch: the attraction never ends, so only m and w
    prevent a collapse.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[1.0, 0.0]]), jnp.ones((1, 2), bool))
    >>> hyper = {"threshold": jnp.array(0.5), "negative_weight": jnp.array(4.0)}
    >>> float(cosine_contrastive(jnp.zeros(1), z, hyper)[0])  # 1 + 4 (.5 + 0) / 2
    2.0
    """
    threshold, k = hyper["threshold"], negatives.count()
    mean = negatives.sum(lambda z: jax.nn.relu(z - threshold)) / jnp.maximum(k, 1.0)
    return jnp.where(k > 0, 1.0 - positive + hyper["negative_weight"] * mean, 0.0)
