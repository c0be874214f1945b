"""Pointwise losses: each pair of query and candidate is judged alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.losses.negatives import Negatives

__all__ = ["sigmoid"]

Hyper = dict[str, Float[Array, ""]]


def sigmoid(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Binary cross-entropy of the positive and the mean of its negatives.

    loss_b = softplus(-(z_p + bias)) + (1 / k_b) sum_j softplus(z_bj + bias)

    bias is learned (hyper["bias"]): cosine logits can't shift by themselves. Divided
    by the number k_b of negatives kept, so that its size doesn't depend on k. With
    logits corrected by the expected count k q it is binary noise-contrastive
    estimation [gutmann2010]: sigmoid(s - log(k q)); use the sum then (``nce``).
    Use when: a probability is wanted. Watch: an easy negative still counts.

    >>> from research.losses.negatives import Dense
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
    learned number in place of a log partition function for each context.

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> bias = {"bias": jnp.zeros(())}
    >>> round(float(binary_nce(jnp.zeros(1), z, bias)[0]), 4)  # 4 log 2
    2.7726
    """
    bias = hyper["bias"]
    total = negatives.sum(lambda z: jax.nn.softplus(z + bias))
    some = negatives.count() > 0
    return jnp.where(some, jax.nn.softplus(-(positive + bias)) + total, 0.0)
