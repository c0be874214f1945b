"""A softmax whose negatives are weighted by an opponent that learns to be hard."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from research.logits.reducers import Dense, Negatives
from research.losses.context import Context
from research.types import Hyper


def adv_info_nce(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """Adversarial InfoNCE: the hardness of each negative is learned to raise the loss.

    loss_b = log(exp(z_p) + w k_b sum_j p_bj exp(z_bj)) - z_p,
    p_bj = exp(g_bj) / sum_j exp(g_bj)  [zhang2023, as in the code of yang2025slatk]

    g is the cosine of another pair of tables, N(0, 1) at the start, of users and of
    items. In every ``every``-th epoch they alone move, upwards, at opponent_rate; in
    all other epochs everything else does. Equal g and w = 1 give sampled_softmax.
    Differs from the paper: g belongs to user and item, not to user, positive and item;
    nothing stops it but the number of its epochs. Use when: hard negatives are to be
    found and not drawn. Watch: cosines differ by at most 2, so weights by a factor of
    at most exp(2) = 7.4, and at a rate of 5e-5 they hardly leave their start.

    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> easy = Dense(jnp.array([[0.3, 0.1, -0.2]]), z.keep)
    >>> about = Context(jnp.zeros((1, 2)), jnp.zeros((1, 2)), hardness=easy)
    >>> weight = {"negative_weight": jnp.array(64.0)}
    >>> round(float(adv_info_nce(jnp.zeros(1), z, weight, about)[0]), 4)  # log 193
    5.2627
    """
    hardness, some = context.hardness, negatives.count() > 0
    assert isinstance(negatives, Dense)
    assert hardness is not None
    both = Dense(negatives.z + hardness.z, negatives.keep).logsumexp()
    weights = Dense(hardness.z, negatives.keep).logsumexp()
    weights = jnp.where(some, weights, 0.0)
    k = jnp.where(some, negatives.count(), 1.0)
    total = both - weights + jnp.log(hyper["negative_weight"] * k)
    return jnp.logaddexp(positive, total) - positive


def unit_normal(
    key: Key[Array, ""], users: int, items: int, dim: int
) -> tuple[Float[Array, "users d"], Float[Array, "items d"]]:
    """The opponent's tables at the start."""
    one, other = jax.random.split(key)
    shapes = (users, dim), (items, dim)
    return jax.random.normal(one, shapes[0]), jax.random.normal(other, shapes[1])
