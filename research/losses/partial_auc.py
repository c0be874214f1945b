"""The area in the lower left corner of the ROC curve, as a loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.logits.reducers import Negatives
from research.types import Hyper

SHARPNESS = 5.0  # kappa of the paper: of the softplus in place of a hinge
AT_TWICE_THE_RATE = ("s_positive", "s_negative", "gamma")

Learned = dict[str, Float[Array, ""]]


def llpauc(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Lower-left partial AUC: the most relevant against the hardest [shi2024].

    loss_b = s- + (1 / (beta k_b)) sum_j r((f_bj - b)^2 + 2 (1 + gamma) f_bj - s-)
             - s+ - r(2 (1 + gamma) f_p - (f_p - a)^2 - s+) / alpha
             - gamma^2 + l_a (a + gamma) + l_b (1 - b + gamma)
    f = sigmoid(z), r(x) = log(1 + exp(5 x)) / 5; a, b, s+, s-, gamma, l_a, l_b learned

    True positives count up to the rate alpha (tpr), false ones up to beta (fpr). The
    learned values start at 1, 0, .5, .5, 0, .5, .5; s+, s- and gamma move at twice the
    learning rate, and all but l_a and l_b are clipped after each step. Differs from the
    paper, and is as in the code of [yang2025slatk]: s+, gamma, l_a and l_b descend,
    where the paper ascends; no term of strong concavity. Use when: the papers' tables
    are reproduced. Watch: l_a and l_b have no bound, so the value falls for ever and
    says nothing; scores are dot products at temperature 1, the published rows are met
    with cosines (docs/published-numbers.md).

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
    >>> hyper = dict.fromkeys(("a", "b", "gamma", "slack_a", "slack_b"), 0.0)
    >>> hyper |= {"tpr": 1.0, "fpr": 0.5, "s_positive": 0.75, "s_negative": 1.25}
    >>> hyper = {name: jnp.array(value) for name, value in hyper.items()}
    >>> round(float(llpauc(jnp.zeros(1), z, hyper)[0]), 4)  # 1.25 - .75 + log(2) / 5
    0.6386
    """
    k, twice = negatives.count(), 2.0 * (1.0 + hyper["gamma"])
    f = jax.nn.sigmoid(positive)
    gained = twice * f - jnp.square(f - hyper["a"]) - hyper["s_positive"]

    def lost(z: Array) -> Array:
        f = jax.nn.sigmoid(z)
        return _hinge(jnp.square(f - hyper["b"]) + twice * f - hyper["s_negative"])

    mean = negatives.sum(lost) / jnp.maximum(k, 1.0)
    value = hyper["s_negative"] + mean / hyper["fpr"]
    value = value - hyper["s_positive"] - _hinge(gained) / hyper["tpr"]
    bounds = hyper["slack_a"] * (hyper["a"] + hyper["gamma"])
    bounds = bounds + hyper["slack_b"] * (1.0 - hyper["b"] + hyper["gamma"])
    return jnp.where(k > 0, value - jnp.square(hyper["gamma"]) + bounds, 0.0)


def _hinge(x: Array) -> Array:
    return jax.nn.softplus(SHARPNESS * x) / SHARPNESS


def within_bounds(before: Learned, after: Learned, hyper: Hyper) -> Learned:
    """The learned values after a step: some moved twice as far, within their bounds."""
    after = dict(after)
    for name in AT_TWICE_THE_RATE:
        after[name] = after[name] + (after[name] - before[name])
    for name in ("a", "b"):
        after[name] = jnp.clip(after[name], 0.0, 1.0)
    after["s_positive"] = jnp.clip(after["s_positive"], -1.0, 4.0)
    after["s_negative"] = jnp.clip(after["s_negative"], 0.0, 5.0)
    least = jnp.maximum(-after["a"], after["b"] - 1.0)
    return after | {"gamma": jnp.clip(after["gamma"], least, 1.0)}
