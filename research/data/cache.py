"""Data sets as flat columns: their digest, and the cache of what was downloaded.

A file of the cache is used only if its columns still have the digest it is named by.
"""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from numpy import ndarray

from research.files import part_ending, read_arrays, sweep, write_arrays
from research.notices import say
from research.rng import text_id
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, Column, Ratings, Table

VERSION = b"two-tower ratings 1\n"
TEXT_IDS = "text"  # no other flat name is without the kind of a column
NOTES = "source.notes"  # lines on what was read, which aren't part of the data


def digest(ratings: Ratings) -> str:
    """sha256 over the ratings sorted by (user, item) and the tables; 64 hex digits.

    The data set's name isn't part of it.
    """
    return digest_of(flatten(ratings))


def digest_of(columns: dict[str, ndarray]) -> str:
    """sha256 over flat columns, each led by its name, type and length; no notes."""
    hasher = hashlib.sha256(VERSION)
    for name in sorted(columns.keys() - {f"{NOTES}.utf8", f"{NOTES}.ends"}):
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
LOOKUP_LIMIT = 2**24  # raw ids up to here get a lookup table (64 MiB), else a search


def flatten(ratings: Ratings) -> dict[str, ndarray]:
    """The data set as one-dimensional columns by name.

    The flat name of a table's column is SIDE.NAME:KIND, with ".utf8" and ".ends" for
    the bytes and the ends of strings; that of a column of MovieLens is SIDE.NAME.
    """
    users, items = ratings.users, ratings.items
    columns = {
        "ratings.user": _flat_ids(users)[ratings.user],
        "ratings.item": _flat_ids(items)[ratings.item],
    }
    if ratings.rated:
        columns["ratings.rating"] = ratings.rating.astype("<f4", copy=False)
    if ratings.timed:
        columns["ratings.timestamp"] = ratings.timestamp.astype("<i8", copy=False)
    if ratings.part is not None:
        columns["ratings.part"] = ratings.part
    if ratings.notes:
        columns |= _pack(NOTES, list(ratings.notes))
    for side, table in (("users", users), ("items", items)):
        columns[f"{side}.id"] = _flat_ids(table)
        if table.text is not None:
            columns |= _pack(f"{side}.{TEXT_IDS}", table.text.tolist())
        for name, column in table.columns.items():
            columns |= _flat_column(f"{side}.{name}", column)
    return columns


def _flat_ids(table: Table) -> ndarray:
    """The table's ids; the numbers of its rows where the source's ids are text."""
    if table.text is None:
        return table.id.astype("<u4")
    return np.arange(len(table.id), dtype="<u4")


def _flat_column(key: str, column: Column) -> dict[str, ndarray]:
    kind, values = column.kind, column.values
    movielens, name = _MOVIELENS.get(key) == kind, f"{key}:{kind}"
    if kind == NUMBER:
        present = values[~column.missing]
        whole = (present > 0) & (present < INT32) & (present % 1 == 0)
        if movielens and whole.all():
            return {key: np.nan_to_num(values).astype("<i4")}
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
    n = len(columns["ratings.user"])
    rating, timestamp = columns.get("ratings.rating"), columns.get("ratings.timestamp")
    if rating is None:
        rating = np.ones(n, np.float32)
    if timestamp is None:
        timestamp = np.zeros(n, np.int64)
    return Ratings(
        name=name,
        user=_rows("user", users, columns),
        item=_rows("item", items, columns),
        rating=rating.astype(np.float32, copy=False),
        timestamp=timestamp.astype(np.int64, copy=False),
        users=users,
        items=items,
        digest=digest_of(columns),
        timed="ratings.timestamp" in columns,
        rated="ratings.rating" in columns,
        part=columns.get("ratings.part"),
        notes=tuple(_unpack(NOTES, columns)) if f"{NOTES}.ends" in columns else (),
    )


def _rows(side: str, table: Table, columns: dict[str, ndarray]) -> Int32[ndarray, " n"]:
    """The rows of a side's table that ratings are of."""
    flat = columns[f"ratings.{side}"]
    if table.text is not None:
        return flat.astype(np.int32)
    return rows_of(flat.astype(np.int64), table.id)


def _table(side: str, columns: dict[str, ndarray]) -> Table:
    flat = [key for key in columns if key.startswith(f"{side}.")]
    flat.remove(f"{side}.id")
    ids, text = columns[f"{side}.id"].astype(np.int64), None
    if f"{side}.{TEXT_IDS}.ends" in flat:
        text = np.array(_unpack(f"{side}.{TEXT_IDS}", columns), np.str_)
        ids = np.array([text_id(one) for one in text.tolist()], np.int64)
        packed = [f"{side}.{TEXT_IDS}{ending}" for ending in (".utf8", ".ends")]
        flat = [key for key in flat if key not in packed]
    keys = [key.removesuffix(".ends").removesuffix(".utf8") for key in flat]
    kinds = {key: kind for key, kind in _MOVIELENS.items() if key in keys}
    kinds |= {key: key.rpartition(":")[2] for key in keys if key not in _MOVIELENS}
    restored = {
        key.removeprefix(f"{side}.").removesuffix(f":{kind}"): _column(
            key, kind, columns
        )
        for key, kind in kinds.items()
    }
    return Table(ids, restored, text)


def _column(key: str, kind: str, columns: dict[str, ndarray]) -> Column:
    if key in columns:
        values = columns[key]
        return Column(kind, zero_as_missing(values) if key in _MOVIELENS else values)
    strings = _unpack(key, columns)
    if kind == CATEGORIES:
        return Column(kind, *multi_hot(strings))
    return Column(kind, np.array(strings, np.str_))


def _pack(name: str, strings: list[str]) -> dict[str, ndarray]:
    encoded = [string.encode("utf-8") for string in strings]
    return {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.ends": np.cumsum([len(string) for string in encoded], dtype="<i8"),
    }


def _unpack(name: str, columns: dict[str, ndarray]) -> list[str]:
    data, ends = columns[f"{name}.utf8"].tobytes(), columns[f"{name}.ends"].tolist()
    return [data[start:end].decode() for start, end in zip([0, *ends], ends)]


def zero_as_missing(values: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """The numbers with NaN in place of 0, which stands for a missing one."""
    return np.where(values == 0, np.nan, values)


def multi_hot(
    joined: Sequence[str], none: Collection[str] = ("",)
) -> tuple[Bool[ndarray, "i g"], tuple[str, ...]]:
    """Categories "A|B" of each row as flags [i, g] over the sorted names that occur.

    >>> multi_hot(["War|Drama", "none", "Drama"], ("", "none"))[1]
    ('Drama', 'War')
    """
    split = [{name.strip() for name in row.split("|")} - set(none) for row in joined]
    names = tuple(sorted(set().union(*split)))
    column = {name: at for at, name in enumerate(names)}
    flags = np.zeros((len(split), len(names)), np.bool_)
    for row, present in enumerate(split):
        flags[row, [column[name] for name in present]] = True
    return flags, names


def rows_of(
    values: Int[ndarray, " n"], ids: Int[ndarray, " t"]
) -> Int32[ndarray, " n"]:
    """The row of each value in a table's sorted ids, -1 where the table lacks it."""
    if len(ids) == 0:
        return np.full(len(values), -1, np.int32)
    if ids[-1] < LOOKUP_LIMIT:
        lookup = np.full(int(ids[-1]) + 2, -1, np.int32)
        lookup[ids] = np.arange(len(ids), dtype=np.int32)
        return lookup[np.minimum(values, ids[-1] + 1)]
    at = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return np.where(ids[at] == values, at, -1).astype(np.int32)


def default_root() -> Path:
    """$TWO_TOWER_CACHE, else two-tower in $XDG_CACHE_HOME, else in ~/.cache."""
    if folder := os.environ.get("TWO_TOWER_CACHE"):
        return Path(folder)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "two-tower"


def read_cached(root: Path, name: str) -> Ratings | None:
    """The data set from an earlier download; None if no file of it can be trusted.

    A file that is damaged, or whose columns don't have its digest, is renamed, with a
    line on stderr.
    """
    files = root.glob(f"{name}-{'[0-9a-f]' * 64}.npz")
    for path in sorted(files, key=lambda file: -file.stat().st_mtime):
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
    """Writes a data set into the cache; says so on stderr if that can't be done."""
    target = root / f"{ratings.name}-{ratings.digest}.npz"
    try:
        write_arrays(target, flatten(ratings), level=0)
    except OSError as error:
        say(f"{ratings.name}: no copy is kept in {root} ({error.strerror or error})")


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A folder for a download, removed afterwards; in the cache if that can be written.

    In the cache, because the system's temporary folder may be small. Those that killed
    processes left there are removed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        sweep(root, "download-*")
        folder = tempfile.TemporaryDirectory(part_ending(), "download-", root)
    except OSError:
        folder = tempfile.TemporaryDirectory(part_ending(), "two-tower-")
    with folder as path:
        yield Path(path)


def set_aside(path: Path, folder: Path | None = None) -> Path:
    """Renames a file that isn't to be trusted, for a person to look at.

    Returns:
      Its new path, which ends with ".rejected"; the old one if it can't be moved.
    """
    target = (folder or path.parent) / f"{path.name}.rejected"
    try:
        os.replace(path, target)
    except OSError:
        return path
    return target
