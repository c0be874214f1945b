"""The one order of operations: divide, then subtract."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits.correction import logits

SCORE = np.array([[0.5, -1.0, 0.25], [2.0, 0.0, -0.5]], np.float32)
LOG_Q = np.log([0.5, 0.3, 0.2]).astype(np.float32)


def scalar(x: float) -> jax.Array:
    return jnp.float32(x)


@pytest.mark.parametrize("temperature", [0.02, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_divide_then_subtract(temperature, strength):
    z = logits(
        jnp.asarray(SCORE),
        scalar(temperature),
        scalar(strength),
        jnp.asarray(LOG_Q)[None, :],
    )
    for b, c in np.ndindex(2, 3):
        expected = float(SCORE[b, c]) / temperature - strength * float(LOG_Q[c])
        assert math.isclose(float(z[b, c]), expected, rel_tol=1e-5, abs_tol=1e-5)


def test_the_correction_does_not_depend_on_the_temperature():
    """What a correction divided by the temperature too would not pass."""
    score, log_q = jnp.asarray(SCORE), jnp.asarray(LOG_Q)[None, :]
    for temperature in (0.05, 1.0, 4.0):
        t = scalar(temperature)
        moved = logits(score, t, scalar(0.0), log_q) - logits(
            score, t, scalar(1.0), log_q
        )
        np.testing.assert_allclose(moved, np.tile(LOG_Q, (2, 1)), atol=1e-5)


@pytest.mark.parametrize("shape", [(), (2, 1), (1, 3), (2, 3)])
def test_temperature_broadcasts(shape):
    temperature = np.linspace(0.2, 1.7, math.prod(shape)).reshape(shape)
    z = logits(
        jnp.asarray(SCORE),
        jnp.asarray(temperature, jnp.float32),
        scalar(1.0),
        jnp.asarray(LOG_Q)[None, :],
    )
    assert z.shape == (2, 3)
    wide = np.broadcast_to(temperature, (2, 3))
    np.testing.assert_allclose(z, SCORE / wide - LOG_Q, rtol=1e-5, atol=1e-6)


def test_a_silent_broadcast_is_an_error():
    with pytest.raises(ValueError, match=r"rank_promotion|ranks"):
        logits(jnp.asarray(SCORE), scalar(1.0), scalar(1.0), jnp.asarray(LOG_Q))
