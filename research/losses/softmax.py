"""Listwise losses: the positive against the sum of its negatives."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from research.losses.negatives import Negatives

__all__ = ["sampled_softmax"]

Hyper = dict[str, Float[Array, ""]]


def sampled_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax cross-entropy of the positive among itself and the negatives.

    loss_b = log(exp(z_p) + sum_j exp(z_bj)) - z_p  [yi2019, eq. 3-4]

    Differs from the paper: no reward weight here; weights are applied to what every
    loss returns. With every other item of the catalogue as a negative it is the exact
    softmax. Use when: a ranking is wanted. Watch: uncorrected, it learns
    log p(y|u) - log q(y).

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(sampled_softmax(jnp.zeros(1), z, {})[0]), 4)  # log 4
    1.3863
    """
    return jnp.logaddexp(positive, negatives.logsumexp()) - positive
