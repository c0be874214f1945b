"""What a tower may know of its own side, as arrays of fixed shape.

Two kinds of feature: a code looks up a row of a table (occupation, decade), a dense
one is used as it is (genres, multi-hot). The two sides are separate types all the way
to the towers: nothing of the other side fits into a tower's argument.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.config import Config
from research.features.content import load_array, title_vectors
from research.features.timed import item_profile
from research.types import Events, InputError, Items, Users

__all__ = [
    "AGE",
    "DEFAULT_ITEM",
    "DEFAULT_USER",
    "Features",
    "available",
    "item_content",
    "item_features",
    "needs_rated",
    "resolve",
    "user_features",
]

ZIP_OTHER = "-"
AGE_BUCKETS = (18, 25, 35, 45, 50, 56)  # the lower ends that MovieLens 1M uses
AGE = "history-age"
DEFAULT_USER = ("gender", "age", "occupation", "zip")
DEFAULT_ITEM = ("id", "genres", "year", "array")
_RATED = ("genre-profile", "profile", "dynamic")


class Features(NamedTuple):
    """One side's features: codes [n] into a table of so many sizes; dense [n, f]."""

    codes: dict[str, Int[ndarray, " n"]]
    sizes: dict[str, int]
    dense: Float[ndarray, "n f"]


def needs_rated(config: Config) -> bool:
    """Whether a feature asks for the ratings below the threshold."""
    named = (*(config.user_features or ()), *(config.item_features or ()))
    return any(name in _RATED for name in named)


def available(
    events: Events, item_array: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The user and the item features that the data set has.

    Profiles and rates ask for ratings below the threshold: with none, they are absent.
    """
    users, items, rated = events.users, events.items, events.rated is not None
    has_genres = items.genres.shape[1] > 0
    user = [n for n in DEFAULT_USER if getattr(users, n) is not None]
    profile = ["genre-profile"] if rated and has_genres else []
    item = {
        "id": True,
        "genres": has_genres,
        "year": bool((items.year > 0).any()),
        "title": any(str(title) for title in items.title),
        "profile": rated,
        "dynamic": rated,
        "array": bool(item_array),
    }
    there = tuple(name for name, found in item.items() if found)
    return ("id", *user, *profile, AGE), there


def resolve(
    asked: tuple[str, ...] | None,
    has: tuple[str, ...],
    default: tuple[str, ...],
    side: str,
) -> tuple[str, ...]:
    """The names to use: those asked for, else those of the default that are there.

    Raises:
      InputError: a name asked for that the data set lacks.
    """
    for name in asked or ():
        if name not in has:
            raise InputError(
                f"{side} feature '{name}' is not in this data set: "
                f"it has {' '.join(has)}"
            )
    if asked is not None:
        return asked
    return tuple(name for name in default if name in has)


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


def item_content(
    events: Events, names: tuple[str, ...], item_array: str
) -> Float[ndarray, "i f"]:
    """What is known of items beside their table's codes: title, profile, array."""
    parts = [np.zeros((events.n_items, 0), np.float32)]
    if "title" in names:
        parts.append(title_vectors(events.items))
    if "profile" in names:
        parts.append(item_profile(events))
    if "array" in names:
        parts.append(load_array(item_array, events.items))
    return np.concatenate(parts, axis=1)


def _codes(column: np.ndarray) -> np.ndarray:
    return np.unique(column, return_inverse=True)[1]


def _side(codes: dict[str, np.ndarray], dense: np.ndarray) -> Features:
    sizes = {name: int(code.max()) + 1 for name, code in codes.items()}
    if "user" in codes or "item" in codes:
        name = "user" if "user" in codes else "item"
        sizes[name] = len(codes[name])
    return Features({n: c.astype(np.int32) for n, c in codes.items()}, sizes, dense)
