"""Listwise losses: the positive against the sum of its negatives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper

__all__ = [
    "bilateral_softmax",
    "debiased",
    "decoupled_softmax",
    "hard_negative",
    "sampled_softmax",
    "weighted_softmax",
]


def sampled_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax cross-entropy of the positive among itself and the negatives.

    loss_b = log(exp(z_p) + sum_j exp(z_bj)) - z_p  [yi2019, eq. 3-4]

    Differs from the paper: no reward weight here; weights are applied to what every
    loss returns. With every other item of the catalogue as a negative it is the exact
    softmax. Use when: a ranking is wanted. Watch: uncorrected, it learns
    log p(y|u) - log q(y).

    >>> from research.logits.reducers import Dense
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

    >>> from research.logits.reducers import Dense
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

    >>> from research.logits.reducers import Dense
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


def weighted_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Log odds of the positive against its negatives, weighted by 1 - P, detached.

    loss_b = -sg(1 - P_b) (z_p - log sum_j exp(z_bj)),
    P_b = exp(z_p) / (exp(z_p) + sum_j exp(z_bj))   [khrylchenko2025]

    The paper's form has the positive uncorrected, q = Q / (1 - Q_p), the 1 / n kept and
    the same item masked: switches of the corrections, not of this loss. Its gradient is
    that of sampled_softmax on the same logits, so what the paper adds is in those
    switches; only the value differs, and may be negative. Differs from the paper's
    code: log-sum-exp in place of exp and a clamp.
    Watch: the value says nothing of progress.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(weighted_softmax(jnp.zeros(1), z, {})[0]), 4)  # 3/4 log 3
    0.824
    """
    some = negatives.count() > 0
    rest = jnp.where(some, negatives.logsumexp(), 0.0)
    odds = jnp.where(some, positive - rest, 0.0)
    return -jax.lax.stop_gradient(jax.nn.sigmoid(-odds)) * odds


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

    >>> from research.logits.reducers import Dense
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

    >>> from research.logits.reducers import Dense
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
