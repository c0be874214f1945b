"""Pairwise losses: the positive against one negative at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper

__all__ = ["bpr", "hinge"]


def bpr(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Bayesian personalised ranking, a mean over all negatives kept.

    loss_b = (1 / k_b) sum_j softplus(z_bj - z_p)  [rendle2009, section 4.1]

    The paper has one negative a triple: that is the source uniform-per-row:1. Differs
    from it: no L2 term, as decay is the optimiser's. Use when: a baseline is wanted
    that everybody knows. Watch: it weighs the whole ranking, not its head; an easy
    negative still fills the batch.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(bpr(jnp.zeros(1), z, {})[0]), 4)  # log 2
    0.6931
    """
    own = positive[:, None]
    total = negatives.sum(lambda z: jax.nn.softplus(z - own))
    return total / jnp.maximum(negatives.count(), 1.0)


def hinge(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Triplet margin, a mean over all negatives kept.

    loss_b = (1 / k_b) sum_j max(0, margin + z_bj - z_p)  [schroff2015, section 3.1]

    margin is hyper["margin"], in logits: of unit vectors it is the triplet loss on
    squared distances with margin 2 temperature margin, halved and over the temperature.
    Differs from the paper: no pull term. Use when: a fixed gap is all that is asked.
    Watch: what is beyond the margin gives no gradient, so random negatives soon say
    nothing.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[0.5, -3.0]]), jnp.ones((1, 2), bool))
    >>> float(hinge(jnp.zeros(1), z, {"margin": jnp.array(1.0)})[0])  # (1.5 + 0) / 2
    0.75
    """
    gap = hyper["margin"] - positive[:, None]
    total = negatives.sum(lambda z: jax.nn.relu(z + gap))
    return total / jnp.maximum(negatives.count(), 1.0)
