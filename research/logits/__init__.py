"""The one place where a score becomes a logit, in the one order of operations.

normalise (in the towers), divide by the temperature, subtract strength * log q, mask
with where(keep, z, -inf); then comes the loss. Dividing the correction by the
temperature too would multiply it by 1 / temperature: at 0.05, twenty times too much.
"""

from jaxtyping import Array, Float

__all__ = ["logits"]


def logits(
    score: Float[Array, "..."],
    temperature: Float[Array, "..."],
    strength: Float[Array, ""],
    log_q: Float[Array, "..."],
) -> Float[Array, "..."]:
    """z = score / temperature - strength * log_q  [yi2019, section 4.1, eq. 4].

    Args:
      score: dot products, [b] for positives or [b, c] for negatives.
      temperature: [], [b, 1], [1, c] or [b, c] ([b] for positives).
      strength: 0 is no correction, 1 the whole one.
      log_q: log sampling probability, of a shape that broadcasts to score's.

    >>> import jax.numpy as jnp
    >>> half = jnp.array(0.5)
    >>> float(logits(half, half, jnp.array(1.0), jnp.array(-2.0)))
    3.0
    """
    return score / temperature - strength * log_q
