"""What each tower may be given: two types, and neither can hold the other side."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

__all__ = ["ItemInput", "UserInput", "Words", "profile"]


class Words(NamedTuple):
    """The words of a search, as rows; there is True where there is one."""

    rows: Float[Array, "b n d"]
    there: Bool[Array, "b n"]


class UserInput(NamedTuple):
    """A user at a position: rows of its history (latest first), of its codes, dense.

    keep is True where there is a history: its first columns, as many as there are.
    words are those of its search, None where there are no searches.
    """

    history: Float[Array, "b l d"]
    keep: Bool[Array, "b l"]
    rows: dict[str, Float[Array, "b _"]]
    dense: Float[Array, "b f"]
    words: Words | None = None


class ItemInput(NamedTuple):
    """Items: rows of their codes, dense features."""

    rows: dict[str, Float[Array, "c _"]]
    dense: Float[Array, "c g"]


def profile(user: UserInput) -> Float[Array, "b p"]:
    """All that is known of the user beside the history, side by side."""
    parts = [user.rows[name] for name in sorted(user.rows)]
    return jnp.concatenate([*parts, user.dense], axis=1)
