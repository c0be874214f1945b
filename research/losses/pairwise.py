"""Pairwise losses: the positive against one negative at a time."""

from collections.abc import Callable

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

    The paper's single negative per row, outside the user's items, is the source
    uniform-outside:1. Differs from the paper: no L2 term, as weight decay belongs to
    the optimiser (adam-l2). Use when: a well-known reference is needed. Watch: it
    optimises the whole ranking, not its head; easy negatives contribute almost no
    gradient.

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

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[0.5, -3.0]]), jnp.ones((1, 2), bool))
    >>> float(hinge(jnp.zeros(1), z, {"margin": jnp.array(1.0)})[0])  # (1.5 + 0) / 2
    0.75
    """
    gap = hyper["margin"] - positive[:, None]
    total = negatives.sum(lambda z: jax.nn.relu(z + gap))
    return total / jnp.maximum(negatives.count(), 1.0)


# Activations below this count as this, with gradient 0. Only vectors that are opposite
# come as near to 0.
LEAST = 1e-6
# The log-sum-exp at this scale is the largest logit; a power of 2 adds no rounding.
SHARP = 2.0**20
# Exponents of kept columns are at most 0, up to rounding; those behind a mask may be
# anything, and must not overflow in the gradient.
MOST = 10.0
# arctan(x) / x as a polynomial of x^2 where |x| <= 1, from the highest power.
ARCTAN = (
    *(0.0028662257, -0.0161657367, 0.0429096138, -0.0752896400, 0.1065626393),
    *(-0.1420889944, 0.1999355085, -0.3333314528, 1.0),
)


def psl_tanh(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Pairwise softmax loss with 1 + tanh in place of the exponential.

    loss_b = log sum_j (1 + tanh x_bj)^(1 / temperature),
    x_bj = (z_bj - z_p) temperature / 2  [yang2024psl, as in its code]

    x is half the difference of two cosines, in [-1, 1], as in the paper: the half is
    taken here, so temperature is the paper's tau. Differs from the paper: no negative
    is left out for being a positive of the user, unless it is masked. Use when: some
    negatives are positives in truth, as a hard one weighs less than in a softmax.
    Watch: where all scores are equal the gradient is that of decoupled_softmax at
    twice the temperature; a learned temperature moves the power alone, as x is free of
    it.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.log(jnp.array([[3.0, 1.0]])), jnp.ones((1, 2), bool))
    >>> half = {"temperature": jnp.array(0.5)}  # x = log(3) / 4 and 0
    >>> round(float(psl_tanh(jnp.zeros(1), z, half)[0]), 4)  # log((3 - sqrt 3)^2 + 1)
    0.9585
    """

    def log_activation(x: Array) -> Array:
        # 1 + tanh x = 2 / (1 + exp(-2 x)), which does not cancel
        return jnp.log(2.0) + jax.nn.log_sigmoid(2.0 * x)

    return _pairwise_softmax(positive, negatives, hyper, log_activation)


def psl_atan(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Pairwise softmax loss with 1 + arctan in place of the exponential.

    loss_b = log sum_j (1 + arctan x_bj)^(1 / temperature),
    x_bj = (z_bj - z_p) temperature / 2  [yang2024psl, as in its code]

    The rest is ``psl_tanh``, with the same scale: temperature is the paper's tau.
    Differs from the paper: below x = -1.557, out of reach of cosines but not of
    corrected logits, 1 + arctan x is negative; there it counts as 1e-6, with gradient
    0. Use when: as psl_tanh. Watch: as psl_tanh.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[4.0, 0.0]]), jnp.ones((1, 2), bool))
    >>> half = {"temperature": jnp.array(0.5)}  # x = 1 and 0
    >>> round(float(psl_atan(jnp.zeros(1), z, half)[0]), 4)  # log((1 + pi / 4)^2 + 1)
    1.4321
    """

    def log_activation(x: Array) -> Array:
        return jnp.log(jnp.maximum(1.0 + _arctan(x), LEAST))

    return _pairwise_softmax(positive, negatives, hyper, log_activation)


def _arctan(x: Array) -> Array:
    """The angle whose tangent is x, within 1e-7  [abramowitz1964, 4.4.49].

    jaxlib 0.10.2's own is wrong by up to 2.6 on a CPU with AVX-512 (JAX issue 39352).

    >>> [round(float(x), 4) for x in _arctan(jnp.array([-5.0, 0.0, 1.0]))]
    [-1.3734, 0.0, 0.7854]
    """
    far = jnp.abs(x) > 1.0  # there arctan x = +- pi / 2 - arctan(1 / x)
    near = jnp.where(far, -1.0 / jnp.where(far, x, 1.0), x)
    turn = jnp.where(far, jnp.copysign(jnp.pi / 2, x), 0.0)
    return turn + near * jnp.polyval(jnp.array(ARCTAN, x.dtype), near**2)


def psl_relu(
    positive: Float[Array, " b"], negatives: Negatives, hyper: Hyper
) -> Float[Array, " b"]:
    """Pairwise softmax loss with max(0, 1 + x) in place of the exponential.

    loss_b = log sum_j max(0, 1 + x_bj)^(1 / temperature),
    x_bj = (z_bj - z_p) temperature / 2  [yang2024psl, as in its code]

    The rest is ``psl_tanh``, with the same scale: temperature is the paper's tau.
    Differs from the paper: an activation below 1e-6 counts as 1e-6, with gradient 0,
    so that a row whose terms are all 0 has a finite loss. Use when: as psl_tanh; in the
    paper's tables it is the best of the three, by a little. Watch: as psl_tanh; if all
    negatives have x near -1, the gradient is steep.

    >>> from research.logits.reducers import Dense
    >>> z = Dense(jnp.array([[2.0, 0.0, -9.0]]), jnp.ones((1, 3), bool))
    >>> half = {"temperature": jnp.array(0.5)}  # x = 0.5, 0 and -2.25
    >>> round(float(psl_relu(jnp.zeros(1), z, half)[0]), 4)  # log(1.5^2 + 1^2 + 0)
    1.1787
    """

    def log_activation(x: Array) -> Array:
        return jnp.log(jnp.maximum(1.0 + x, LEAST))

    return _pairwise_softmax(positive, negatives, hyper, log_activation)


def _pairwise_softmax(
    positive: Float[Array, " b"],
    negatives: Negatives,
    hyper: Hyper,
    log_activation: Callable[[Array], Array],
) -> Float[Array, " b"]:
    """log sum_j exp(log_activation(x_bj) / temperature), about its largest term; [b].

    ``log_activation`` increases, so the largest logit has the largest term.
    """
    temperature, some = hyper["temperature"], negatives.count() > 0

    def exponent(z: Array, positive: Array) -> Array:
        return log_activation((z - positive) * temperature / 2.0) / temperature

    largest = jnp.where(some, negatives.logsumexp(SHARP) / SHARP, 0.0)
    peak = jax.lax.stop_gradient(exponent(largest, positive))
    own, top = positive[:, None], peak[:, None]
    total = negatives.sum(lambda z: jnp.exp(jnp.minimum(exponent(z, own) - top, MOST)))
    return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + peak, 0.0)
