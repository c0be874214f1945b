"""Pairwise losses weighted by ranks: what a swap of two items would change."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from research.logits.reducers import Negatives
from research.losses.context import Context
from research.types import Hyper

# Rounding error of a score, relative to its row's largest: no item is above itself.
ROUNDING = 1e-6

# (ranks of the positives [b, 1], of negatives [b, k]) -> weights [b, k]
Weight = Callable[[Array, Array], Array]


def lambda_rank(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """BPR, each pair weighted by the change of DCG if its two items were swapped.

    loss_b = (1 / k_b) sum_j w_bj softplus(z_bj - z_p),
    w_bj = |1 / log2(1 + r_p) - 1 / log2(1 + r_bj)|
    [burges2006, as in the code of yang2025slatk]

    r is the rank from 1 among all candidates, the user's training items included; it
    has no gradient. Differs from that code: not with one negative per row from
    uniform-outside:1; with more, their mean. Use when: the head of the ranking
    matters and the catalogue is small. Watch: every step ranks the whole catalogue for
    each row; a pair far down the ranking has next to no weight.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 1)), jnp.ones((1, 1), bool))
    >>> catalogue = jnp.array([[3.0, 1.0, 0.0, -1.0]])  # ranks: 1 of 3, 3 of 0
    >>> about = Context(jnp.zeros((1, 2)), jnp.zeros((1, 2)), catalogue)
    >>> value = lambda_rank(jnp.array([3.0]), z, {}, about)[0]
    >>> round(float(value), 4)  # (1 - 1 / 2) log(1 + exp(-3))
    0.0243
    """

    def weight(own: Array, other: Array) -> Array:
        return jnp.abs(1.0 / jnp.log2(1.0 + own) - 1.0 / jnp.log2(1.0 + other))

    return _weighted(positive, negatives, context, weight)


def lambda_loss(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """BPR, each pair weighted by the distance of its two ranks.

    loss_b = (1 / k_b) sum_j softplus(z_bj - z_p) / log2(1 + |r_p - r_bj|)
    [wang2018, as in the code of yang2025slatk]

    Ranks are those of ``lambda_rank``. Differs from the paper: its weight is
    1 / D(|r_p - r_bj|) - 1 / D(1 + |r_p - r_bj|), of which the code keeps the first
    term; a distance of 0, where scores tie, counts as 1 (infinite in the code). Use
    when: as lambda_rank. Watch: as lambda_rank; neighbours in the ranking have most
    weight, wherever they are.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 1)), jnp.ones((1, 1), bool))
    >>> catalogue = jnp.array([[3.0, 2.0, 1.0, 0.0]])  # ranks: 1 of 3, 4 of 0
    >>> about = Context(jnp.zeros((1, 2)), jnp.zeros((1, 2)), catalogue)
    >>> value = lambda_loss(jnp.array([3.0]), z, {}, about)[0]
    >>> round(float(value), 4)  # log(1 + exp(-3)) / 2
    0.0243
    """
    return _weighted(positive, negatives, context, _closeness)


def lambda_loss_at_k(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper, context: Context
) -> Float[Array, " b"]:
    """LambdaLoss, with more weight for a pair that is not both among the first K.

    Weights of ``lambda_loss`` times 1 / (1 - 1 / max(r_p, r_bj)) where that rank is
    above K  [jagerman2022, as in the code of yang2025slatk]

    Differs from the paper: there 1 / D(max r), with D(r) = log2(1 + r), stands in place
    of 1 / max r; as in lambda_loss. Use when: as lambda_rank. Watch: the factor is at
    most 1 + 1 / K, so at K = 20 this is lambda_loss within 5 %.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 1)), jnp.ones((1, 1), bool))
    >>> catalogue = jnp.array([[3.0, 2.0, 1.0, 0.0]])  # ranks: 1 of 3, 4 of 0
    >>> about = Context(jnp.zeros((1, 2)), jnp.zeros((1, 2)), catalogue)
    >>> two = {"cutoff": jnp.array(2.0)}
    >>> value = lambda_loss_at_k(jnp.array([3.0]), z, two, about)[0]
    >>> round(float(value), 4)  # log(1 + exp(-3)) / 2, over 1 - 1 / 4
    0.0324
    """

    def weight(own: Array, other: Array) -> Array:
        lower = jnp.maximum(jnp.maximum(own, other), 2.0)
        factor = jnp.where(lower > hyper["cutoff"], 1.0 / (1.0 - 1.0 / lower), 1.0)
        return _closeness(own, other) * factor

    return _weighted(positive, negatives, context, weight)


def _closeness(own: Array, other: Array) -> Array:
    return 1.0 / jnp.log2(1.0 + jnp.maximum(jnp.abs(own - other), 1.0))


def _weighted(
    positive: Float[Array, " b"], negatives: Negatives, context: Context, weight: Weight
) -> Float[Array, " b"]:
    assert context.catalogue is not None
    catalogue = context.catalogue
    own = positive[:, None]
    own_rank = ranks(own, catalogue)

    def term(z: Array) -> Array:
        return weight(own_rank, ranks(z, catalogue)) * jax.nn.softplus(z - own)

    return negatives.sum(term) / jnp.maximum(negatives.count(), 1.0)


def ranks(
    logits: Float[Array, "b k"], catalogue: Float[Array, "b i"]
) -> Float[Array, "b k"]:
    """Ranks from 1 of the rows' logits among those of the catalogue; no gradient.

    >>> ranks(jnp.array([[2.0, 9.0, 0.5]]), jnp.array([[0.5, 2.0, 1.0]])).tolist()
    [[1.0, 1.0, 3.0]]
    """
    least = lax.stop_gradient(logits)
    least = least + ROUNDING * jnp.max(jnp.abs(catalogue), axis=1, keepdims=True)

    def above(column: Float[Array, " b"]) -> Int[Array, " b"]:
        return jnp.sum(catalogue > column[:, None], axis=1)

    # Column by column, as [b, k, i] of all comparisons may fill the memory.
    return 1.0 + lax.map(above, least.T).T.astype(logits.dtype)
