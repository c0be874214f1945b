"""Softmax losses whose rows are weighted by how wrong the model still is."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.losses.negatives import Negatives

__all__ = ["weighted_softmax"]

Hyper = dict[str, Float[Array, ""]]


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

    >>> from research.losses.negatives import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> round(float(weighted_softmax(jnp.zeros(1), z, {})[0]), 4)  # 3/4 log 3
    0.824
    """
    some = negatives.count() > 0
    rest = jnp.where(some, negatives.logsumexp(), 0.0)
    odds = jnp.where(some, positive - rest, 0.0)
    return -jax.lax.stop_gradient(jax.nn.sigmoid(-odds)) * odds
