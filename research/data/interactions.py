"""The file of interactions of one's own data: user, item, timestamp, rating, part."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, UInt8
from numpy import ndarray

from research.data.delimited import (
    ID_LIMIT,
    Check,
    Named,
    TableFile,
    first_problem,
    malformed,
    number_of,
    read_columns,
    unreadable,
)
from research.marks import FLOAT_LIMIT
from research.types import NUMBER, InputError

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("user", "item")
OPTIONAL = ("timestamp", "rating", "part")
PARTS = ("train", "validation", "test")  # in the order of their numbers
ID_LENGTH = 255  # characters
NAN = "nan"  # what other libraries write for a missing id
TIMES = "a timestamp, seconds from 0 on"
FAR = 1e11  # seconds: the year 5138, so a larger time is in a smaller unit
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


class Ids(NamedTuple):
    """Ids of rows, as indices [n] into the list of distinct ids, text or numbers."""

    code: Int32[ndarray, " n"]
    values: list[str] | list[int]


class Interactions(NamedTuple):
    """Rows in the order of the file; a column that the file lacks is None.

    notes are lines for the user on what was read.
    """

    file: TableFile
    user: Ids
    item: Ids
    timestamp: Int[ndarray, " n"] | None
    rating: Float[ndarray, " n"] | None
    part: UInt8[ndarray, " n"] | None
    notes: list[str]


def renamed(words: tuple[str, ...]) -> dict[str, str]:
    """The file's names of columns that are called otherwise, from words ROLE=NAME.

    Raises:
      InputError: a word of another form, or a column that is unknown or named twice.

    >>> renamed(("user=uid", "item=sku"))
    {'user': 'uid', 'item': 'sku'}
    """
    names: dict[str, str] = {}
    for word in words:
        role, equals, name = word.partition("=")
        if role not in IDS + OPTIONAL or not (equals and name):
            choices = ", ".join(IDS + OPTIONAL)
            raise InputError(
                f"columns {word}: expected COLUMN=NAME, with COLUMN one of {choices} "
                "and NAME its name in the file"
            )
        if role in names:
            raise InputError(f"columns names {role} twice")
        if name in names.values():
            raise InputError(f"columns gives the file's column {name} twice")
        names[role] = name
    return names


def find_columns(table: TableFile, names: dict[str, str]) -> dict[str, Named]:
    """The file's columns by role: user, item and those of OPTIONAL that it has.

    RecBole's user_id and item_id count as user and item where their header cells name
    types.

    Raises:
      InputError: the file lacks user or item, or a column that ``names`` names, or two
        roles have one column.
    """
    found = {}
    typed = [column.name for column in table.columns if column.type]
    for role in IDS + OPTIONAL:
        name = names.get(role, role)
        if name == role and role not in table.names and f"{role}_id" in typed:
            name = f"{role}_id"
        if role in IDS or role in names or name in table.names:
            flag = "" if role in names else f"--columns {role}=NAME names another"
            found[role] = table.find(name, flag)
            if [c.name for c in found.values()].count(found[role].name) > 1:
                raise InputError(f"columns gives the file's column {name} twice")
    return found


def read_interactions(table: TableFile, names: dict[str, str]) -> Interactions:
    """Reads the file.

    Raises:
      InputError: a field is malformed or empty; the message names file and row.
    """
    columns = find_columns(table, names)
    values = _read(table, columns)
    n = len(values["user"])
    if not n:
        raise InputError(f"{table.label}:2: expected interactions, found none")
    given = {r: v for r, v in values.items() if r in IDS or v.null_count < n}
    checks = {columns[r].name: _check(r, columns[r], True) for r in given}
    if any(v.null_count for v in given.values()):
        raise first_problem(table, checks) or unreadable(table, "an empty field")
    notes = _unused(table, columns)
    user, item = _ids(given["user"]), _ids(given["item"])
    for role, ids in (("user", user), ("item", item)):
        whole = columns[role].type == "float"
        if whole and any(id_problem(role, str(one), whole) for one in ids.values):
            raise first_problem(table, checks) or unreadable(table, "an id")
    user, item = (
        _whole(ids) if columns[role].type == "float" else ids
        for role, ids in (("user", user), ("item", item))
    )
    rating = _numbers(given.get("rating"))
    part = _parts(given.get("part"))
    times = _numbers(given.get("timestamp"))
    if times is not None and are_dates(times):
        raise malformed(table.label, TIMES, f"dates such as {times[0]:.0f}")
    timestamp, unit = in_seconds(times)
    right = (
        all(_good_ids(ids) for ids in (user, item))
        and (rating is None or bool((np.abs(rating) <= FLOAT_LIMIT).all()))
        and (part is None or part.max() < len(PARTS))
        and (timestamp is None or bool(timestamp.min() >= 0))
    )
    if not right:
        if timestamp is None or timestamp.min() >= 0:
            raise first_problem(table, checks) or unreadable(
                table, "a value out of range"
            )
        row = int(np.argmin(timestamp >= 0))
        raise first_problem(table, checks) or unreadable(
            table, "another unit of time than most", row
        )
    if unit:
        notes.append(f"timestamps are in {unit}: taken as seconds, rounded down")
    seconds = None if timestamp is None else timestamp.astype(np.int64)
    stars = None if rating is None else rating.astype(np.float32)
    return Interactions(table, user, item, seconds, stars, part, notes)


def _read(table: TableFile, columns: dict[str, Named]) -> dict[str, Any]:
    """The columns' values, by role.

    Raises:
      InputError: naming file and row, where a field isn't of its column's type.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    types = {
        c.name: text if role in (*IDS, "part") and c.type != NUMBER else pa.float64()
        for role, c in columns.items()
    }
    for role in IDS:
        if columns[role].type == "float":  # as text: pyarrow would take 0x1 for 1
            types[columns[role].name] = text
    try:
        try:
            read = read_columns(table, types)
        except pa.ArrowInvalid:  # of large files, if a quoted field has several lines
            read = read_columns(table, types, multiline=True)
    except pa.ArrowInvalid as error:
        checks = {c.name: _check(role, c, False) for role, c in columns.items()}
        raise first_problem(table, checks) or unreadable(table, error) from None
    return {role: read[column.name] for role, column in columns.items()}


def _check(role: str, column: Named, given: bool) -> Check:
    """The check of a column's fields."""

    def check(text: str) -> str | None:
        if not text and not given and role not in IDS:
            return None
        if role in IDS:
            return id_problem(role, text, column.type == "float")
        if role == "part":
            return None if text in PARTS else f"a part, {' or '.join(PARTS)}"
        value = number_of(text)
        if role == "rating":
            good = abs(value) <= FLOAT_LIMIT  # False for NaN
            return None if good else "a rating, a finite number"
        good = 0 <= value < FAR * max(UNITS.values())
        return None if good else TIMES

    return check


def id_problem(side: str, text: str, whole: bool = False) -> str | None:
    """What was expected in place of an id, None if it is valid."""
    article = "an" if side == "item" else "a"
    if whole and not re.fullmatch(r"-?[0-9]+(\.0*)?", text):
        return f"{article} {side} id, a whole number"
    if not text.strip() or text.lower() == NAN:
        return f"{article} {side} id"
    if "\0" in text:  # numpy would drop it at the end of a text
        return f"{article} {side} id without NUL bytes"
    if len(text) > ID_LENGTH:
        return f"{article} {side} id of at most {ID_LENGTH} characters"
    return None


def _good_ids(ids: Ids) -> bool:
    texts = [value for value in ids.values if isinstance(value, str)]
    return not (  # as id_problem, for a million ids
        max(map(len, texts), default=0) > ID_LENGTH
        or any("\0" in text for text in texts)
        or any(map(str.isspace, texts))
        or any(len(text) == len(NAN) and text.lower() == NAN for text in texts)
    )


def _whole(ids: Ids) -> Ids:
    """Ids of a column of type float, as whole numbers: 7 and 7.0 are one id."""
    numbers = [int(str(value).partition(".")[0]) for value in ids.values]
    distinct = sorted(set(numbers))
    place = {number: n for n, number in enumerate(distinct)}
    code = np.array([place[number] for number in numbers], np.int32)[ids.code]
    small = distinct[0] >= 0 and distinct[-1] < ID_LIMIT
    return Ids(code, distinct if small else [str(number) for number in distinct])


def _ids(column: "pa.ChunkedArray") -> Ids:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    values = array.dictionary.to_pylist()
    numbers = bool(values) and isinstance(values[0], int)
    if numbers and not (min(values) >= 0 and max(values) < ID_LIMIT):
        values = [str(value) for value in values]
    return Ids(array.indices.to_numpy().astype(np.int32, copy=False), values)


def _numbers(column: "pa.ChunkedArray | None") -> Float[ndarray, " n"] | None:
    return None if column is None else column.to_numpy().astype(np.float64, copy=False)


def _parts(column: "pa.ChunkedArray | None") -> UInt8[ndarray, " n"] | None:
    """The number of each part; len(PARTS) for a word that is no part."""
    if column is None:
        return None
    words = _ids(column)
    number = {word: n for n, word in enumerate(PARTS)}
    of_word = np.array([number.get(str(w), len(PARTS)) for w in words.values], np.uint8)
    return of_word[words.code]


def in_seconds(
    time: Float[ndarray, " n"] | None,
) -> tuple[Float[ndarray, " n"] | None, str]:
    """Whole seconds, -1 where there is no valid time, and the unit if it was finer.

    All times are taken to be in one unit, the coarsest by which the median one lies
    before the year 5138.
    """
    if time is None:
        return None, ""
    time = np.where(np.isfinite(time), time, -1.0)
    middle, unit = float(np.median(time)), ""
    for name, size in UNITS.items():
        if middle >= FAR * size / 1e3:
            unit = name
    seconds = np.floor(time / UNITS[unit]) if unit else np.floor(time)
    # A time in a coarser unit: read in this one it lies in 1973 at the latest.
    coarse = (time > 0) & (time < FAR * UNITS[unit] / 1e3) if unit else False
    return np.where((seconds < FAR) & ~np.asarray(coarse), seconds, -1.0), unit


def are_dates(time: Float[ndarray, " n"]) -> bool:
    """Whether every number is a date of 1950 to 2099: 20200131 or 20200131235959.

    >>> are_dates(np.array([20200131.0, 20191231.0])), are_dates(np.array([20200132.0]))
    (True, False)
    """
    for size in (1.0, 1e6):
        if not (1950e4 * size <= time.min() and time.max() < 2100e4 * size):
            continue
        day, clock = np.divmod(time, size)
        month, of_month = day // 1e2 % 1e2, day % 1e2
        hour, minute, second = clock // 1e4, clock // 1e2 % 1e2, clock % 1e2
        right = (month >= 1) & (month <= 12) & (of_month >= 1) & (of_month <= 31)
        return bool((right & (hour < 24) & (minute < 60) & (second < 60)).all())
    return False


def _unused(table: TableFile, columns: dict[str, Named]) -> list[str]:
    used = {column.name for column in columns.values()}
    others = [
        column.name or "one without a name"
        for column in table.columns
        if column.name not in used
    ]
    return [f"columns not used: {', '.join(others)}"] if others else []
