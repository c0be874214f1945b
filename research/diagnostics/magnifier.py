"""How much of a row's gradient falls on its hardest negatives, by temperature.

A softmax pushes negative j away with weight p_j = exp(s_j / t) / sum_k exp(s_k / t). A
small temperature t puts that weight on the few highest scores: it magnifies what is
ranked badly [wang2021understanding, section 4]. The share of the k hardest among all
negatives is then

    share_k(t) = sum_{j in top k} exp(s_j / t) / sum_{j negative} exp(s_j / t),

in which the positive cancels. Here it stands beside the measured one: autodiff through
the logits and the loss of training.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.config import Config
from research.diagnostics.gradients import draw_rows, probed, score_gradient
from research.negatives.source import Batch, Pool

__all__ = ["formula_share", "measured_share"]


def measured_share(
    config: Config,
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    pairs: Batch,
    pool: Pool,
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    """The share of the gradient on a row's negatives that the k hardest get.

    Args:
      config: the arm; its negatives are the whole catalogue.
      cosines: of each row with each item, before the temperature.
      positive: the item of each row.
      pairs: the fitted pairs.
      pool: the catalogue.
      ks: numbers of hardest negatives, by score.
    """
    arm = probed(config, pool)
    ids = draw_rows(jax.random.key(config.seed), arm, pairs, positive, pool)
    scores = cosines / config.temperature
    pushed = jnp.abs(score_gradient(arm, scores, positive, ids, pool))
    return _of_the_hardest(pushed, cosines, positive, ks)


def formula_share(
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    temperature: float,
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    """The same share in closed form: the softmax over the negatives alone.

    One row of three items, the first one positive, at temperature 1: exp(1) over
    exp(1) + exp(0).

    >>> cosines = jnp.array([[0.5, 1.0, 0.0]])
    >>> print(f"{formula_share(cosines, jnp.array([0]), 1.0, (1,))[0, 0]:.4f}")
    0.7311
    """
    negative = _negative(cosines, positive)
    weight = jax.nn.softmax(cosines / temperature, axis=1, where=negative)
    return _of_the_hardest(weight, cosines, positive, ks)


def _negative(cosines: Float[Array, "b i"], positive: Int[Array, " b"]) -> Array:
    return jnp.arange(cosines.shape[1])[None, :] != positive[:, None]


def _of_the_hardest(
    weight: Float[Array, "b i"],
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    negative = _negative(cosines, positive)
    order = jnp.argsort(jnp.where(negative, -cosines, jnp.inf), axis=1)
    ranked = jnp.take_along_axis(jnp.where(negative, weight, 0.0), order, axis=1)
    total = ranked.sum(axis=1)
    return jnp.stack([ranked[:, :k].sum(axis=1) / total for k in ks], axis=1)
