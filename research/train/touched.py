"""What a step hands to an optimiser: the gradients of the rows that it looked up."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

__all__ = ["Hyper", "Touched"]

Hyper = dict[str, Float[Array, ""]]


class Touched(NamedTuple):
    """Gradient with respect to the rows of one table that a step looked up."""

    table: str
    ids: Int[Array, "..."]
    grads: Float[Array, "... d"]
