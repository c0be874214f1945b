"""Listwise losses: the positive against the sum of its negatives."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper


def sampled_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax cross-entropy of the positive among itself and the negatives.

    loss_b = log(exp(z_p) + sum_j exp(z_bj)) - z_p  [yi2019, eq. 3-4]

    Differs from the paper: no reward weight here; weights are applied to the value of
    every loss. With every other item of the catalogue as a negative it is the full
    softmax. Use when: the goal is a ranking. Watch: uncorrected, it learns
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

    Differs from the paper: one view, so one term. The positive's logit has gradient -1
    whatever its rank, so easy rows contribute as much as hard ones. The "softmax loss"
    SL of [yang2024psl], as coded log sum_j exp((s_j - s_p) / tau) of cosines s and
    uniform negatives, is exactly this loss at temperature tau without log q: InfoNCE
    without the positive in the sum. Use when: batches are small. Watch: it has no lower
    bound, and a well-learned pair is attracted as strongly as a new one.

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

    A power of 1 is the decoupled softmax. Differs from the paper: the sum of its code's
    mode "reweight"; each row has one positive, so the log-mean-exp of the positives is
    that positive. What [yang2025slatk] compares as BSL, with the negatives under t2 and
    the sum's power t2 / t1, is no more than t2 / t1 times decoupled_softmax at t2. Use
    when: clicks are noisy. Watch: a constant added to all logits changes it, so with a
    correction the power also scales log q.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> power = {"power": jnp.array(2.0)}
    >>> round(float(bilateral_softmax(jnp.zeros(1), z, power)[0]), 4)  # 2 log 3
    2.1972
    """
    return _against(positive, negatives, hyper["power"])


def _against(
    positive: Float[Array, " b"], negatives: Negatives, power: float | Float[Array, ""]
) -> Float[Array, " b"]:
    some = negatives.count() > 0
    total = jnp.where(some, negatives.logsumexp(), 0.0)
    return jnp.where(some, power * total - positive, 0.0)


def weighted_softmax(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Log odds of the positive against its negatives, with a detached weight 1 - P.

    loss_b = -sg(1 - P_b) (z_p - log sum_j exp(z_bj)),
    P_b = exp(z_p) / (exp(z_p) + sum_j exp(z_bj))   [khrylchenko2025]

    sg stops the gradient. The paper's estimator leaves the positive uncorrected, uses
    q = Q / (1 - Q_p) and the factor 1 / n, and masks the same item: switches of the
    corrections, not of this loss. The gradient is that of sampled_softmax on the same
    logits, so those switches are all that the paper adds; only the value differs, and
    may be negative. Differs from the paper's code: log-sum-exp instead of exp and a
    clamp. Use when: the paper is reproduced. Watch: the value does not show progress.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(weighted_softmax(jnp.zeros(1), z, {})[0]), 4)  # 3/4 log 3
    0.824
    """
    some = negatives.count() > 0
    rest = jnp.where(some, negatives.logsumexp(), 0.0)
    odds = jnp.where(some, positive - rest, 0.0)
    return -jax.lax.stop_gradient(jax.nn.sigmoid(-odds)) * odds


NEAR = -1e-6  # log of a share; nearer to 0, too little is left to take a log of


def debiased(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Softmax minus the expected contribution of false negatives.

    loss_b = log(exp(z_p) + G) - z_p,
    G = max((sum_j exp(z_bj) - n t exp(z_p)) / (1 - t), floor)  [chuang2020, section 4]

    n is the number k_b of negatives; t = 0 gives the sampled softmax. Differs from the
    paper: one positive per row stands for its M; the floor is n exp(z_p - 2 /
    temperature), the least that cosines allow beside z_p, instead of
    n exp(-1 / temperature), so that a correction by a constant still changes nothing.
    Use when: negatives are drawn by popularity and users have many positives. Watch: a
    row at the floor moves a learned temperature alone.

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
    """Debiased softmax whose negatives are weighted by their hardness.

    sum_j exp(z_bj) becomes sum_j w_bj exp(z_bj),
    w_bj = exp(hardness z_bj) / mean_j exp(hardness z_bj)  [robinson2021, section 3]

    The rest is ``debiased``, with the same deviations from the paper. In logs the sum
    is log n + logsumexp((1 + hardness) z) - logsumexp(hardness z): two reducers. As in
    the authors' code, the gradient flows through the weights. Use when: most negatives
    are easy. Watch: hardness acts much like a smaller temperature, and false negatives
    are the hardest.

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
    """Debiased loss [b] from ``total`` [b], the log of the negatives' sum."""
    share, n = hyper["positive_share"], negatives.count()
    some = n > 0
    log_n = jnp.log(jnp.where(some, n, 1.0))
    total = jnp.where(some, total, 0.0)
    # log of the expected share of false negatives in the sum
    part = jnp.log(share) + log_n + positive - total
    left = part < NEAR
    rest = jnp.log1p(-jnp.exp(jnp.where(left, part, -1.0))) - jnp.log1p(-share)
    floor = log_n - 2.0 / hyper["temperature"]
    above = jnp.where(left, jnp.maximum(total + rest - positive, floor), floor)
    return jnp.where(some, jax.nn.softplus(above), 0.0)
