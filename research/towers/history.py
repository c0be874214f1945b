"""History encoders: from the rows of a user's last positives to one vector.

Each is a Flax module of ``(history [b, l, d], keep [b, l]) -> [b, d]``. None can see a
candidate: attention by the candidate would join the towers.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["ENCODERS", "Mean"]


class Mean(nn.Module):
    """Mean of the rows that are there; zero for an empty history [covington2016]."""

    @nn.compact
    def __call__(
        self, history: Float[Array, "b l d"], keep: Bool[Array, "b l"]
    ) -> Float[Array, "b d"]:
        """Returns one row a query."""
        weight = keep.astype(history.dtype)
        total = jnp.einsum("bld,bl->bd", history, weight)
        return total / jnp.maximum(weight.sum(axis=1, keepdims=True), 1.0)


ENCODERS: dict[str, type[nn.Module] | None] = {"mean": Mean, "none": None}
