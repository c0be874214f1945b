"""A data set of one's own: a file of interactions, or a folder with tables beside it.

See docs/own-data.md. What was read of large files is kept in the cache by the digest of
the files and of how they are read.
"""

import hashlib
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.data.cache import digest, read_cached, write_cached
from research.data.delimited import TableFile, malformed, open_table, where_is
from research.data.names import ENDINGS, ROLE, name_of
from research.data.own_files import (
    PARTS,
    Ids,
    Interactions,
    SideTable,
    read_interactions,
    read_side_table,
    renamed,
)
from research.data.places import Place, check_format
from research.rng import text_id
from research.sorting import order_by_group
from research.types import InputError, Ratings, Table

READER = b"own data 3\n"  # version of the reader, hashed into the names in the cache
KEEP_ABOVE = 16 * 2**20  # bytes of files from which the data set is kept in the cache
SIDES = ("users", "items")
ORDER = "no order: splits random and given, a history is a set"


Files = dict[str, Path]  # of a data set, by role: interactions, users, items


def load_own(dataset: str, columns: tuple[str, ...], root: Path) -> Ratings:
    """Reads a data set of one's own, or takes it from the cache.

    Raises:
      InputError: a file is missing or malformed; the message names file and row.
    """
    name, names = name_of(dataset), renamed(columns)
    files = find_files(Path(dataset))
    for path in files.values():
        check_format(path, parquet=not _separator(path))
    if sum(path.stat().st_size for path in files.values()) < KEEP_ABOVE:
        return _named(name, _read(name, files, names))
    key = f"own-{_key(files, names)}"
    if (ratings := read_cached(root, key)) is None:
        ratings = _read(name, files, names)
        write_cached(root, ratings._replace(name=key))
    return _named(name, ratings)


def _named(name: str, ratings: Ratings) -> Ratings:
    """The data set by its name, with which its notes begin."""
    notes = tuple(f"{name}: {note}" for note in ratings.notes)
    return ratings._replace(name=name, notes=notes)


def _key(files: Files, names: dict[str, str]) -> str:
    hasher = hashlib.sha256(READER + repr(sorted(names.items())).encode())
    for role, path in sorted(files.items()):
        hasher.update(f"\n{role} {_ending(path.name)} ".encode())
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()[:32]


def _ending(name: str) -> str:
    """The ending of a file that can be read, "" for another file."""
    ends = (*ENDINGS, *(f".{side[:-1]}" for side in SIDES))
    return next((end for end in ends if name.endswith(end)), "")


def _separator(path: Path) -> str:
    return ENDINGS.get(_ending(path.name), "\t")


def find_files(path: Path) -> Files:
    """The files of a data set that is a file, or a folder of files.

    In a folder they are interactions, users and items with one of ENDINGS, or RecBole's
    NAME.inter, NAME.user and NAME.item.

    Raises:
      InputError: a file that can't be one, no file of interactions, or two for a role.
    """
    if not path.is_dir():
        if not _ending(path.name):
            known = ", ".join(ENDINGS)
            raise InputError(f"{path}: expected a file that ends in {known}")
        return {ROLE: path}
    try:
        entries = sorted(os.listdir(path))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    files: Files = {}
    for entry in entries:
        role = _role(entry)
        if role is None:
            continue
        if role in files:
            raise InputError(
                f"{path}: two files of {role}, {files[role].name} and {entry}"
            )
        files[role] = path / entry
    if ROLE not in files:
        shown = ", ".join(entries[:12]) or "nothing"
        raise InputError(
            f"{path}: expected {ROLE} with one of {', '.join(ENDINGS)}, found {shown}"
        )
    return files


def _role(entry: str) -> str | None:
    ending = _ending(entry)
    stem = entry.removesuffix(ending)
    if ending and stem in (ROLE, *SIDES):
        return stem
    recbole = {".inter": ROLE, ".inter.gz": ROLE, ".user": "users", ".item": "items"}
    return recbole.get(ending)


def _read(name: str, files: Files, names: dict[str, str]) -> Ratings:
    rows = read_interactions(open_own(files[ROLE]), names)
    notes = [*rows.notes, *_end_of(rows.file)]
    tables, places = {}, {}
    for side, ids in (("users", rows.user), ("items", rows.item)):
        role = side[:-1]
        table = None
        if side in files:
            opened = open_own(files[side])
            table = read_side_table(opened, role, names.get(role, role))
            notes += [*_end_of(opened), *table.notes]
        notes += _alike(role, ids)
        tables[side], places[side], more = _table(role, ids, table)
        notes += more
    if len(rows.user.values) < 2:
        raise InputError(
            f"{rows.file.label}: expected at least 2 users, found only "
            f"'{rows.user.values[0]}'"
        )
    ratings = _assemble(name, rows, tables, places)
    said = _summary(ratings, rows), *notes
    return ratings._replace(digest=digest(ratings), notes=said)


def open_own(path: Path) -> TableFile:
    """A file of one's own, each of whose columns has a name of its own.

    Raises:
      InputError: it has no header, or two columns without a name.
    """
    table = open_table(Place(path.parent), path.name, _separator(path))
    if not any(table.names):
        found = "nothing" if path.stat().st_size else "an empty file"
        raise InputError(f"{path}:1: expected a header, found {found}")
    if table.names.count("") > 1:
        raise InputError(f"{path}:1: two columns are named ''")
    return table


def _end_of(table: TableFile) -> list[str]:
    """A line on a file that may be cut off."""
    if table.ended:
        return []
    return [f"{table.file}: its last line has no end: is the file cut off?"]


def _table(
    side: str, ids: Ids, table: SideTable | None
) -> tuple[Table, Int[ndarray, " v"], list[str]]:
    """The table of a side, sorted by id; the row of each of the ids' values; notes.

    Raises:
      InputError: two texts have the same hash, or most ids have no row in the table.
    """
    values: list[str] | list[int] = ids.values
    notes = []
    if table is not None:
        known, file = set(map(str, values)), table.file
        others = [one for one in table.place if one not in known]
        missing = len(known) - (len(table.place) - len(others))
        if 2 * missing > len(known):
            raise InputError(
                f"{file}: it has a row for {len(known) - missing:,} of {len(known):,} "
                f"{side}s: are its ids others than those of the interactions?"
            )
        if missing:
            notes.append(f"{missing:,} {side}s have no row in {file}: empty columns")
        if others:
            fate = "candidates of library all" if side == "item" else "left out"
            notes.append(
                f"{len(others):,} {side}s of {file} have no row in the "
                f"interactions: {fate}"
            )
        if side == "item":
            values = _with(values, others)
    text = None
    if any(isinstance(value, str) for value in values):
        text = np.array([str(value) for value in values], np.str_)
        number = np.array([text_id(value) for value in text.tolist()], np.int64)
    else:
        number = np.array(values, np.int64)
    order = np.argsort(number, kind="stable")
    same = np.flatnonzero(np.diff(number[order]) == 0)
    if len(same):
        one, other = (values[order[at]] for at in (same[0], same[0] + 1))
        raise InputError(f"{side} ids {one} and {other} have one hash: rename one")
    row = np.empty(len(order), np.int32)
    row[order] = np.arange(len(order), dtype=np.int32)
    columns = {}
    if table is not None:
        sorted_names = [str(values[at]) for at in order.tolist()]
        columns = table.aligned(sorted_names)
    made = Table(number[order], columns, None if text is None else text[order])
    return made, row, notes


def _with(values: list[str] | list[int], others: list[str]) -> list[str] | list[int]:
    """The values and others, as numbers if all are."""
    numbers = all(isinstance(value, int) for value in values)
    if numbers and all(o.isdecimal() and str(int(o)) == o for o in others):
        more = [int(other) for other in others]
        if max(more, default=0) < 2**31:
            return [*map(int, values), *more]
    return [*map(str, values), *others]


def _alike(side: str, ids: Ids) -> list[str]:
    """A line on ids that differ only by surrounding spaces or by case."""
    texts = [value for value in ids.values if isinstance(value, str)]
    plain = [text.strip().casefold() for text in texts]
    if len(set(plain)) == len(texts):
        return []
    twice = [one for one, n in Counter(plain).items() if n > 1]
    shown = [repr(t) for t, p in zip(texts, plain) if p == twice[0]][:2]
    return [
        f"{len(twice):,} {side} ids differ only by case or surrounding spaces, as "
        f"{' and '.join(shown)}: not merged"
    ]


def _assemble(
    name: str, rows: Interactions, tables: dict[str, Table], places: dict[str, ndarray]
) -> Ratings:
    """The ratings sorted by (user, item), each pair once: as it stands first.

    Raises:
      InputError: a pair is in two parts.
    """
    user = places["users"][rows.user.code]
    item = places["items"][rows.item.code]
    order = order_by_group(item, len(tables["items"].id))
    order = order[order_by_group(user[order], len(tables["users"].id))]
    pair = user[order].astype(np.int64) << 32 | item[order]
    first = np.concatenate(([True], pair[1:] != pair[:-1]))
    if rows.part is not None:
        part = rows.part[order]
        leading = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
        other = np.flatnonzero(part != part[leading])
        if len(other):
            at = other[np.argmin(order[other])]
            row, before = int(order[at]), int(order[leading[at]])
            pair_name = (
                f"{rows.user.values[rows.user.code[row]]} and "
                f"{rows.item.values[rows.item.code[row]]}"
            )
            raise malformed(
                where_is(rows.file, row),
                f"one part for user and item {pair_name}, {PARTS[rows.part[before]]} "
                f"before",
                PARTS[rows.part[row]],
            )
    kept = order[first]
    n, timestamp, rating = len(kept), rows.timestamp, rows.rating
    return Ratings(
        name=name,
        user=user[kept],
        item=item[kept],
        rating=np.ones(n, np.float32) if rating is None else rating[kept],
        timestamp=np.zeros(n, np.int64) if timestamp is None else timestamp[kept],
        users=tables["users"],
        items=tables["items"],
        digest="",
        timed=timestamp is not None,
        rated=rating is not None,
        part=None if rows.part is None else rows.part[kept],
    )


def _summary(ratings: Ratings, rows: Interactions) -> str:
    """One line: rows, users, items, times, ratings, parts, repeats."""
    n_rows, n = len(rows.user.code), len(ratings.user)
    n_items = np.count_nonzero(np.bincount(ratings.item))
    words = [f"{n_rows:,} rows, {len(ratings.users.id):,} users, {n_items:,} items"]
    if ratings.timed:
        first, last = int(ratings.timestamp.min()), int(ratings.timestamp.max())
        words.append(f"from {_date(first)} to {_date(last)}")
    else:
        words.append(f"no timestamps ({ORDER})")
    if ratings.rated:
        low, high = ratings.rating.min(), ratings.rating.max()
        words.append(f"ratings {low:g} to {high:g}")
    else:
        words.append("no ratings (every row is a positive)")
    if ratings.part is not None:
        counts = np.bincount(ratings.part, minlength=len(PARTS))
        sizes = [f"{word} {count:,}" for word, count in zip(PARTS, counts)]
        words.append(f"parts {', '.join(sizes)}")
    if n_rows > n:
        words.append(
            f"{n_rows - n:,} repeats of a user and item (the first row of each counts)"
        )
    return "; ".join(words)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
