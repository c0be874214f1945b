"""How a loss sees its negatives: through reducers over the columns that are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

__all__ = ["Dense", "Negatives"]


@runtime_checkable
class Negatives(Protocol):
    """Logits of the negatives of b rows, through reducers over kept columns."""

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " b"]:
        """log sum over kept columns of exp(scale * z); -inf where none is kept."""
        ...

    def sum(self, f: Callable[[Array], Array]) -> Float[Array, " b"]:
        """Sum over kept columns of f(z), f elementwise."""
        ...

    def count(self) -> Float[Array, " b"]:
        """How many columns are kept."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """Logits z and mask keep, both ``[b, c]``, held whole."""

    z: Float[Array, "b c"]
    keep: Bool[Array, "b c"]

    def logsumexp(self, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " b"]:
        """log sum over kept columns of exp(scale * z); -inf where none is kept.

        A masked column has weight exactly 0 and gradient exactly 0; so has every
        column of a row with none kept.
        """
        z = jnp.where(self.keep, self.z * scale, -jnp.inf)
        top = lax.stop_gradient(jnp.max(z, axis=1, initial=-jnp.inf))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        total = jnp.sum(jnp.exp(z - top[:, None]), axis=1)
        some = total > 0
        return jnp.where(some, jnp.log(jnp.where(some, total, 1.0)) + top, -jnp.inf)

    def sum(self, f: Callable[[Array], Array]) -> Float[Array, " b"]:
        """Sum over kept columns of f(z), f elementwise."""
        # f sees 0 in place of what is masked, so that no infinity reaches its gradient.
        return jnp.sum(
            jnp.where(self.keep, f(jnp.where(self.keep, self.z, 0.0)), 0.0), axis=1
        )

    def count(self) -> Float[Array, " b"]:
        """How many columns are kept."""
        return jnp.sum(self.keep, axis=1).astype(self.z.dtype)
