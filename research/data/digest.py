"""A data set as flat columns of plain bytes, the one form that is hashed and cached.

The same ratings and tables give the same columns whatever the source, the order of
its files or the types its numbers were read as: raw ids instead of rows, each number
in one little-endian type, strings as UTF-8 with the positions where they end, a film's
genres as "A|B" in sorted order.
"""

import hashlib

import numpy as np
from numpy import ndarray

from research.data.normalise import multi_hot, rows_of
from research.types import Items, Ratings, Users

__all__ = ["digest", "digest_of", "flatten", "restore"]

VERSION = b"two-tower ratings 1\n"
_TEXTS = (
    "users.gender",
    "users.occupation",
    "users.zip",
    "items.title",
    "items.genres",
)


def digest(ratings: Ratings) -> str:
    """sha256 over the ratings sorted by (user, item) and the tables; 64 hex digits.

    The data set's name isn't part of it.
    """
    return digest_of(flatten(ratings))


def digest_of(columns: dict[str, ndarray]) -> str:
    """sha256 over flat columns, each led by its name, type and length."""
    hasher = hashlib.sha256(VERSION)
    for name in sorted(columns):
        column = np.ascontiguousarray(columns[name])
        hasher.update(f"{name} {column.dtype.str} {len(column)}\n".encode())
        hasher.update(column.view(np.uint8).data)
    return hasher.hexdigest()


def flatten(ratings: Ratings) -> dict[str, ndarray]:
    """The data set as named one-dimensional columns; one it lacks isn't there."""
    users, items = ratings.users, ratings.items
    names = np.array(items.genre_names, np.str_)
    genres = ["|".join(names[flags]) for flags in items.genres]
    columns = {
        "ratings.user": users.id.astype("<u4")[ratings.user],
        "ratings.item": items.id.astype("<u4")[ratings.item],
        "ratings.rating": ratings.rating.astype("<f4", copy=False),
        "ratings.timestamp": ratings.timestamp.astype("<i8", copy=False),
        "users.id": users.id.astype("<u4"),
        "items.id": items.id.astype("<u4"),
        "items.year": items.year.astype("<i4"),
        **_pack("items.title", items.title.tolist()),
        **_pack("items.genres", genres),
    }
    if users.age is not None:
        columns["users.age"] = users.age.astype("<i4")
    for name in ("gender", "occupation", "zip"):
        column = getattr(users, name)
        if column is not None:
            columns |= _pack(f"users.{name}", column.tolist())
    return columns


def restore(name: str, columns: dict[str, ndarray]) -> Ratings:
    """The data set that ``flatten`` made the columns of.

    Raises:
      KeyError, ValueError, UnicodeDecodeError: the columns aren't such columns.
    """
    texts = {text: _unpack(text, columns) for text in _TEXTS if _has(text, columns)}
    genres, genre_names = multi_hot(texts["items.genres"].tolist())
    age = columns.get("users.age")
    users = Users(
        id=columns["users.id"].astype(np.int64),
        gender=texts.get("users.gender"),
        age=None if age is None else age.astype(np.int32),
        occupation=texts.get("users.occupation"),
        zip=texts.get("users.zip"),
    )
    items = Items(
        id=columns["items.id"].astype(np.int64),
        title=texts["items.title"],
        year=columns["items.year"].astype(np.int32),
        genres=genres,
        genre_names=genre_names,
    )
    return Ratings(
        name=name,
        user=rows_of(columns["ratings.user"].astype(np.int64), users.id),
        item=rows_of(columns["ratings.item"].astype(np.int64), items.id),
        rating=columns["ratings.rating"].astype(np.float32, copy=False),
        timestamp=columns["ratings.timestamp"].astype(np.int64, copy=False),
        users=users,
        items=items,
        digest=digest_of(columns),
    )


def _has(name: str, columns: dict[str, ndarray]) -> bool:
    return f"{name}.ends" in columns


def _pack(name: str, strings: list[str]) -> dict[str, ndarray]:
    encoded = [string.encode("utf-8") for string in strings]
    lengths = np.array([len(string) for string in encoded], "<i8")
    return {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.ends": np.cumsum(lengths, dtype="<i8"),
    }


def _unpack(name: str, columns: dict[str, ndarray]) -> ndarray:
    data, ends = columns[f"{name}.utf8"].tobytes(), columns[f"{name}.ends"].tolist()
    starts = [0, *ends]
    strings = [data[start:end].decode() for start, end in zip(starts, ends)]
    return np.array(strings, np.str_)
