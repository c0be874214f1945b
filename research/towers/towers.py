"""The two towers: Flax modules of one side's input, giving ``[n, d]`` vectors."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.towers import ENCODERS
from research.towers.inputs import ItemInput, UserInput, profile


def normalise(vectors: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows of length 1; a zero row stays zero, with a finite gradient.

    >>> one, none = normalise(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> [round(float(x), 4) for x in one], none.tolist()
    ([0.6, 0.8], [0.0, 0.0])
    """
    square = jnp.sum(vectors * vectors, axis=1, keepdims=True)
    there = square > 1e-12
    # The inner where keeps the square root away from zero in the backward pass too.
    return vectors * jnp.where(there, jax.lax.rsqrt(jnp.where(there, square, 1.0)), 1.0)


class MLP(nn.Module):
    """Hidden layers with ReLU, then a linear layer to dim."""

    hidden: tuple[int, ...]
    dim: int

    @nn.compact
    def __call__(self, x: Float[Array, "n _"]) -> Float[Array, "n d"]:
        """Applies the layers."""
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.dim)(x)


class UserTower(nn.Module):
    """Encoded history, code rows and dense features, through dropout and an MLP."""

    encoder: str
    hidden: tuple[int, ...]
    dim: int
    cosine: bool

    @nn.compact
    def __call__(
        self,
        user: UserInput,
        dropout: Float[Array, ""] | float,
        key: jax.Array | None,
    ) -> Float[Array, "b d"]:
        """User vectors; key None is serving, without dropout.

        The rate of dropout is an argument, so that a sweep over it compiles once.
        """
        x = profile(user)
        encoder = ENCODERS[self.encoder].module
        if encoder is not None:
            x = jnp.concatenate([encoder()(user), x], axis=1)
        if key is not None:
            # 16 random bits a value are enough for a rate, and half the work of 32.
            bits = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.float32)
            kept = bits >= dropout * 65536.0
            x = jnp.where(kept, x / (1.0 - dropout), 0.0)
        x = MLP(self.hidden, self.dim)(x)
        return normalise(x) if self.cosine else x


class ItemTower(nn.Module):
    """The item's own row plus an MLP of everything known of it."""

    hidden: tuple[int, ...]
    dim: int
    cosine: bool

    @nn.compact
    def __call__(self, item: ItemInput) -> Float[Array, "c d"]:
        """Item vectors."""
        parts = [item.rows[name] for name in sorted(item.rows)] + [item.dense]
        x = MLP(self.hidden, self.dim)(jnp.concatenate(parts, axis=1))
        if "item" in item.rows:
            x = x + item.rows["item"]
        return normalise(x) if self.cosine else x
