"""Listwise losses: the positive against the sum of its negatives."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from research.losses.entry import Hyper
from research.losses.negatives import Negatives

__all__ = ["bilateral_softmax", "decoupled_softmax", "sampled_softmax"]


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


def decoupled_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax without the positive in its denominator.

    loss_b = log sum_j exp(z_bj) - z_p  [yeh2022, section 3]

    Differs from the paper: one view, so one term. The gradient on the positive is 1
    whatever its rank: what couples a row's gradient to how easy it is has gone.
    Use when: batches are small. Watch: it has no lower bound; a well-learned pair
    pulls as hard as a new one.

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(decoupled_softmax(jnp.zeros(1), z, {})[0]), 4)  # log 3
    1.0986
    """
    return _against(positive, negatives, 1.0)


def bilateral_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax with the negatives' sum raised to a power.

    loss_b = power log sum_j exp(z_bj) - z_p  [wu2024, as in its code]

    power is hyper["power"], the ratio of a temperature of the positives to that of the
    negatives; 1 is the decoupled softmax. Differs from the paper: the sum of its code's
    mode "reweight"; each row has one positive, so their log-mean-exp is the positive.
    Use when: clicks are noisy. Watch: a constant added to all logits changes it, so
    with a correction the power weighs log q too.

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> power = {"power": jnp.array(2.0)}
    >>> round(float(bilateral_softmax(jnp.zeros(1), z, power)[0]), 4)  # 2 log 3
    2.1972
    """
    return _against(positive, negatives, hyper["power"])


def _against(
    positive: Float[Array, " b"],
    negatives: Negatives,
    power: float | Float[Array, ""],
) -> Float[Array, " b"]:
    some = negatives.count() > 0
    total = jnp.where(some, negatives.logsumexp(), 0.0)
    return jnp.where(some, power * total - positive, 0.0)
