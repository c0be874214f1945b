"""What a tower may know of its own side, as arrays of fixed shape.

Two kinds of feature: a code looks up a row of a table (occupation, decade), a dense
one is used as it is (genres, multi-hot). The two sides are separate types all the way
to the towers: nothing of the other side fits into a tower's argument.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.types import Events, InputError, Items, Users

__all__ = ["Features", "available", "item_features", "resolve", "user_features"]

ZIP_OTHER = "-"
AGE_BUCKETS = (18, 25, 35, 45, 50, 56)  # the lower ends that MovieLens 1M uses


class Features(NamedTuple):
    """One side's features: codes [n] into a table of so many sizes; dense [n, f]."""

    codes: dict[str, Int[ndarray, " n"]]
    sizes: dict[str, int]
    dense: Float[ndarray, "n f"]


def available(events: Events) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The user and the item features that the data set has."""
    users, items = events.users, events.items
    user = ["id"]
    user += [
        n
        for n in ("gender", "age", "occupation", "zip")
        if getattr(users, n) is not None
    ]
    item = ["id"]
    if items.genres.shape[1]:
        item.append("genres")
    if (items.year > 0).any():
        item.append("year")
    return tuple(user), tuple(item)


def resolve(
    asked: tuple[str, ...] | None,
    has: tuple[str, ...],
    default: tuple[str, ...],
    side: str,
) -> tuple[str, ...]:
    """The names to use: those asked for, else the default.

    Raises:
      InputError: a name asked for that the data set lacks.
    """
    for name in asked or ():
        if name not in has:
            raise InputError(
                f"{side} feature '{name}' is not in this data set: "
                f"it has {' '.join(has)}"
            )
    return default if asked is None else asked


def user_features(users: Users, names: tuple[str, ...]) -> Features:
    """Codes of gender, age bucket, occupation, zip's first digit, and the user's id."""
    codes: dict[str, np.ndarray] = {}
    if "id" in names:
        codes["user"] = np.arange(len(users.id))
    if "age" in names and users.age is not None:
        codes["age"] = np.digitize(users.age, AGE_BUCKETS)
    if "zip" in names and users.zip is not None:
        first = np.array([z[:1] if z[:1].isdigit() else ZIP_OTHER for z in users.zip])
        codes["zip"] = _codes(first)
    for name in ("gender", "occupation"):
        column = getattr(users, name)
        if name in names and column is not None:
            codes[name] = _codes(column)
    return _side(codes, np.zeros((len(users.id), 0), np.float32))


def item_features(items: Items, names: tuple[str, ...]) -> Features:
    """Codes of the item's id and decade (0: unknown); genres, multi-hot."""
    codes: dict[str, np.ndarray] = {}
    if "id" in names:
        codes["item"] = np.arange(len(items.id))
    if "year" in names:
        codes["decade"] = _codes(np.where(items.year > 0, items.year // 10, 0))
    width = items.genres.shape[1] if "genres" in names else 0
    return _side(codes, items.genres[:, :width].astype(np.float32))


def _codes(column: np.ndarray) -> np.ndarray:
    return np.unique(column, return_inverse=True)[1]


def _side(codes: dict[str, np.ndarray], dense: np.ndarray) -> Features:
    sizes = {name: int(code.max()) + 1 for name, code in codes.items()}
    if "user" in codes or "item" in codes:
        name = "user" if "user" in codes else "item"
        sizes[name] = len(codes[name])
    return Features({n: c.astype(np.int32) for n, c in codes.items()}, sizes, dense)
