"""Pairwise losses: the positive against one negative at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper


def bpr(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Bayesian personalised ranking, a mean over the unmasked negatives.

    loss_b = (1 / k_b) sum_j softplus(z_bj - z_p)  [rendle2009, section 4.1]

    The paper's single negative per row is the source uniform-per-row:1. Differs from
    the paper: no L2 term, as weight decay belongs to the optimiser. Use when: a
    well-known reference is needed. Watch: it optimises the whole ranking, not its head;
    easy negatives contribute almost no gradient.

    Args:
      positive: logits of the positives, [b].
      negatives: reducers over the rows' negatives.
      hyper: no value is used.

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
    """Triplet margin loss, a mean over the unmasked negatives.

    loss_b = (1 / k_b) sum_j max(0, margin + z_bj - z_p)  [schroff2015, section 3.1]

    For unit vectors it is the triplet loss on squared distances with the margin
    2 temperature margin, divided by 2 temperature. Differs from the paper: a mean over
    all negatives instead of selected triplets. Use when: a fixed gap suffices. Watch:
    negatives beyond the margin have no gradient, so random negatives soon contribute
    nothing.

    Args:
      positive: logits of the positives, [b].
      negatives: reducers over the rows' negatives.
      hyper: margin, in logits.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[0.5, -3.0]]), jnp.ones((1, 2), bool))
    >>> float(hinge(jnp.zeros(1), z, {"margin": jnp.array(1.0)})[0])  # (1.5 + 0) / 2
    0.75
    """
    gap = hyper["margin"] - positive[:, None]
    total = negatives.sum(lambda z: jax.nn.relu(z + gap))
    return total / jnp.maximum(negatives.count(), 1.0)
