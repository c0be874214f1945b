"""What was downloaded once: parsed columns on disk, each file named by its digest.

A file is believed only if its columns still have the digest it is named by.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy import ndarray

from research.data.tables import multi_hot, rows_of, zero_as_missing
from research.files import read_arrays, write_arrays
from research.notices import say
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Ratings,
    Table,
)

VERSION = b"two-tower ratings 1\n"


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


# The columns of MovieLens in the order of its tables. Their flat names don't say their
# kind, and 0 is written for a missing number: digests are older than the kinds.
_MOVIELENS = {
    "users.gender": CATEGORY,
    "users.age": NUMBER,
    "users.occupation": CATEGORY,
    "users.zip": CATEGORY,
    "items.genres": CATEGORIES,
    "items.year": NUMBER,
    "items.title": TEXT,
}
INT32 = 2**31


def flatten(ratings: Ratings) -> dict[str, ndarray]:
    """The data set as named one-dimensional columns; one it lacks isn't there.

    The flat name of a table's column is SIDE.NAME:KIND, with ".utf8" and ".ends" for
    the bytes and the ends of strings; that of a column of MovieLens is SIDE.NAME.
    """
    users, items = ratings.users, ratings.items
    columns = {
        "ratings.user": users.id.astype("<u4")[ratings.user],
        "ratings.item": items.id.astype("<u4")[ratings.item],
        "ratings.rating": ratings.rating.astype("<f4", copy=False),
        "ratings.timestamp": ratings.timestamp.astype("<i8", copy=False),
    }
    for side, table in (("users", users), ("items", items)):
        columns[f"{side}.id"] = table.id.astype("<u4")
        for name, column in table.columns.items():
            columns |= _flat_column(f"{side}.{name}", column)
    return columns


def _flat_column(key: str, column: Column) -> dict[str, ndarray]:
    kind, values, missing = column.kind, column.values, column.missing
    movielens, name = _MOVIELENS.get(key) == kind, f"{key}:{kind}"
    if kind == NUMBER:
        there = values[~missing]
        if movielens and ((there > 0) & (there < INT32) & (there % 1 == 0)).all():
            return {key: np.where(missing, 0, values).astype("<i4")}
        return {name: values.astype("<f8")}
    if values.dtype.kind in "iu":
        return {name: values.astype("<i8")}
    names = np.array(column.names, np.str_)
    strings = (
        ["|".join(names[flags]) for flags in values]
        if kind == CATEGORIES
        else values.tolist()
    )
    return _pack(key if movielens else name, strings)


def restore(name: str, columns: dict[str, ndarray]) -> Ratings:
    """The data set that ``flatten`` made the columns of.

    Raises:
      KeyError, ValueError, UnicodeDecodeError: the columns aren't such columns.
    """
    users, items = _table("users", columns), _table("items", columns)
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


def _table(side: str, columns: dict[str, ndarray]) -> Table:
    flat = [key for key in columns if key.startswith(f"{side}.")]
    flat.remove(f"{side}.id")
    keys = [key.removesuffix(".ends").removesuffix(".utf8") for key in flat]
    kinds = {key: kind for key, kind in _MOVIELENS.items() if key in keys}
    kinds |= {key: key.rpartition(":")[2] for key in keys if key not in _MOVIELENS}
    restored = {
        key.removeprefix(f"{side}.").removesuffix(f":{kind}"): _column(
            key, kind, columns
        )
        for key, kind in kinds.items()
    }
    return Table(columns[f"{side}.id"].astype(np.int64), restored)


def _column(key: str, kind: str, columns: dict[str, ndarray]) -> Column:
    if key in columns:
        values = columns[key]
        return Column(kind, zero_as_missing(values) if key in _MOVIELENS else values)
    strings = _unpack(key, columns)
    if kind == CATEGORIES:
        return Column(kind, *multi_hot(strings.tolist()))
    return Column(kind, strings)


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


_DIGEST_GLOB = "[0-9a-f]" * 64


def default_root() -> Path:
    """$TWO_TOWER_CACHE, else two-tower in $XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("TWO_TOWER_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "two-tower"


def read_cached(root: Path, name: str) -> Ratings | None:
    """The data set from an earlier download; None if there is none to be trusted.

    A file that is damaged, or whose columns don't have its digest, is kept aside
    under a new name, with a line on stderr.
    """
    files = sorted(root.glob(f"{name}-{_DIGEST_GLOB}.npz"), key=_age)
    for path in files:
        expected = path.stem[-64:]
        try:
            ratings = restore(name, read_arrays(path))
            if ratings.digest == expected:
                return ratings
            reason = (
                f"its digest is {ratings.digest[:12]}..., not the one it is named by"
            )
        except Exception as error:  # whatever damaged bytes make zip and npy raise
            reason = f"it can't be read ({error})"
        say(f"{name}: the cached copy isn't used: {reason}; kept as {set_aside(path)}")
    return None


def write_cached(root: Path, ratings: Ratings) -> None:
    """Keeps a data set for later; a cache that can't be written costs only a line."""
    target = root / f"{ratings.name}-{ratings.digest}.npz"
    try:
        write_arrays(target, flatten(ratings), level=0)
    except OSError as error:
        say(f"{ratings.name}: no copy is kept in {root} ({error.strerror or error})")


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A folder for a download, removed afterwards; in the cache if that can be written.

    In the cache, because the system's temporary folder may be small.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(".part", "download-", root)
    except OSError:
        folder = tempfile.TemporaryDirectory(".part", "two-tower-")
    with folder as path:
        yield Path(path)


def set_aside(path: Path, folder: Path | None = None) -> Path:
    """Moves a file that isn't to be trusted out of use, for a person to look at.

    Args:
      path: the file.
      folder: where to keep it, by default where it is.

    Returns:
      Where it is kept: its name with ".rejected" after it, replacing an earlier one.
      Where it was, if it can't be moved.
    """
    kept = (folder or path.parent) / f"{path.name}.rejected"
    try:
        os.replace(path, kept)
    except OSError:
        return path
    return kept


def _age(path: Path) -> float:
    """Sorts the newest first."""
    return -path.stat().st_mtime
