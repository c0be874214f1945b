"""Softmax losses that doubt their negatives: some may be positives, some too easy."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.losses.entry import Hyper
from research.losses.negatives import Negatives

__all__ = ["debiased", "hard_negative"]

NEAR = -1e-6  # log of a share this near to 1 leaves nothing to take the log of


def debiased(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax less what false negatives are expected to add to it.

    loss_b = log(exp(z_p) + G) - z_p,
    G = max((sum_j exp(z_bj) - n t exp(z_p)) / (1 - t), floor)  [chuang2020, section 4]

    t is hyper["positive_share"], n the number of negatives kept; 0 gives the sampled
    softmax. Differs from the paper: one positive a row stands for its M; the floor is
    n exp(z_p - 2 / temperature), the least that cosines allow beside z_p, in place of
    n exp(-1 / temperature), so that a correction by a constant still changes nothing.
    Use when: negatives are drawn by popularity from users who like much. Watch: where
    the floor holds, the row has no gradient.

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> hyper = {"positive_share": jnp.array(0.5), "temperature": jnp.array(1.0)}
    >>> round(float(debiased(jnp.zeros(1), z, hyper)[0]), 4)  # log(1 + (3 - 1.5) / .5)
    1.3863
    """
    return _less_false(positive, negatives, negatives.logsumexp(), hyper)


def hard_negative(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """The debiased softmax with each negative weighted by how hard it is.

    sum_j exp(z_bj) becomes sum_j w_bj exp(z_bj),
    w_bj = exp(hardness z_bj) / mean_j exp(hardness z_bj)  [robinson2021, section 3]

    Then as in ``debiased``, whose deviations hold here too. In logs it is
    log n + logsumexp((1 + hardness) z) - logsumexp(hardness z): two reducers. As in the
    authors' code the weights carry gradient. Use when: most negatives are easy. Watch:
    hardness works much like a smaller temperature; false negatives are the hardest.

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.log(jnp.array([[1.0, 3.0]])), jnp.ones((1, 2), bool))
    >>> hyper = {"positive_share": 0.0, "temperature": 1.0, "hardness": 1.0}
    >>> hyper = {name: jnp.array(value) for name, value in hyper.items()}
    >>> round(float(hard_negative(jnp.zeros(1), z, hyper)[0]), 4)  # log(1 + 10 / 2)
    1.7918
    """
    hardness, n = hyper["hardness"], negatives.count()
    some = n > 0
    weighted = negatives.logsumexp(1.0 + hardness)
    weights = jnp.where(some, negatives.logsumexp(hardness), 0.0)
    total = jnp.log(jnp.where(some, n, 1.0)) + weighted - weights
    return _less_false(positive, negatives, total, hyper)


def _less_false(
    positive: Float[Array, " b"],
    negatives: Negatives,
    total: Float[Array, " b"],
    hyper: Hyper,
) -> Float[Array, " b"]:
    """The loss for log of the negatives' sum, in logs throughout."""
    share, n = hyper["positive_share"], negatives.count()
    some = n > 0
    log_n = jnp.log(jnp.where(some, n, 1.0))
    total = jnp.where(some, total, 0.0)
    # log of the part of the sum that false negatives are expected to be.
    part = jnp.log(share) + log_n + positive - total
    left = part < NEAR
    rest = jnp.log1p(-jnp.exp(jnp.where(left, part, -1.0))) - jnp.log1p(-share)
    floor = log_n - 2.0 / hyper["temperature"]
    above = jnp.where(left, jnp.maximum(total + rest - positive, floor), floor)
    return jnp.where(some, jax.nn.softplus(above), 0.0)
