"""The correction of a score by log q, and the switches on which published ones differ.

The temperature divides the score alone. Dividing the correction too would multiply it
by 1 / temperature: at 0.05, twenty times too much.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from research.config import Config

__all__ = ["LogQ", "log_q_parts", "logits"]


def logits(
    score: Float[Array, "..."],
    temperature: Float[Array, "..."],
    strength: Float[Array, ""],
    log_q: Float[Array, "..."],
) -> Float[Array, "..."]:
    """z = score / temperature - strength * log_q  [yi2019, section 4.1, eq. 4].

    >>> import jax.numpy as jnp
    >>> half = jnp.array(0.5)
    >>> float(logits(half, half, jnp.array(1.0), jnp.array(-2.0)))
    3.0
    """
    return score / temperature - strength * log_q


class LogQ(NamedTuple):
    """log q of a candidate set as parts to be added, so that none is [b, c]."""

    columns: tuple[Float[Array, "..."], ...]  # of each block, [c] or [b, k]
    positive: Float[Array, " b"]
    shift: Float[Array, " b"]  # of all negatives of a row


def log_q_parts(
    config: Config,
    columns: tuple[Float[Array, "..."], ...],
    positive: Float[Array, " b"],
    draws: Float[Array, ""],
    row: Float[Array, " b"] | None = None,
) -> LogQ:
    """Applies the switches on which the published corrections differ."""
    shift = jnp.zeros_like(positive) if row is None else row
    # Of N draws N (1 - Q_p) pass a mask of the row's own item, each then drawn from
    # Q / (1 - Q_p): their expected count is N Q, with leave_own_out or without.
    passing = config.mask_same_item and config.expected_count
    if config.leave_own_out and not passing:
        shift = shift - jnp.log1p(-jnp.exp(positive))
    if config.expected_count:
        shift = shift + jnp.log(draws)
    if config.correct_positive:
        return LogQ(columns, positive + shift, shift)
    return LogQ(columns, jnp.zeros_like(positive), shift)
