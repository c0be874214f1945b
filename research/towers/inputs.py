"""What each tower may be given: two types, and neither can hold the other side."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float

__all__ = ["ItemInput", "UserInput"]


class UserInput(NamedTuple):
    """A user at a position: rows of its history (latest first), of its codes, dense."""

    history: Float[Array, "b l d"]
    keep: Bool[Array, "b l"]
    rows: dict[str, Float[Array, "b _"]]
    dense: Float[Array, "b f"]


class ItemInput(NamedTuple):
    """Items: rows of their codes, dense features."""

    rows: dict[str, Float[Array, "c _"]]
    dense: Float[Array, "c g"]
