"""The files of one's own data: its interactions, and its tables of users and items.

The interactions have user and item, and may have timestamp, rating and part. A table
has any columns. A column's kind is that of the type in its header cell
(research/data/delimited.py), or of its type in parquet. Otherwise its values decide:
number if all are numbers, list if one holds "|", text if more than half of many values
differ, else category.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, UInt8
from numpy import ndarray

from research.data.cache import multi_hot
from research.data.delimited import (
    FAR,
    ID_LIMIT,
    TIMES,
    TYPES,
    UNITS,
    Check,
    Named,
    Numbers,
    TableFile,
    are_dates,
    id_problem,
    in_seconds,
    malformed,
    number_of,
    read_columns,
    read_parquet,
    refusal,
    rows,
    says_missing,
    where_is,
)
from research.marks import FLOAT_LIMIT
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, Column, InputError

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("user", "item")
OPTIONAL = ("timestamp", "rating", "part")
PARTS = ("train", "validation", "test")  # in the order of their numbers
NUMBERS = {
    "rating": Numbers("a rating, a finite number", -FLOAT_LIMIT, FLOAT_LIMIT),
    "timestamp": Numbers(TIMES, 0, FAR * max(UNITS.values())),
}
DATE = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")  # the start of a time in ISO 8601
DATED = "a time from 1970 on, such as 2024-05-31T18:30:00Z"
FEW = 20  # up to so many distinct values are categories, however few rows there are
# Of numbers, if there is a comma among the marks: 0,5 and 1.234,5 and 1,234.5
COMMA = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]{3})*[.,][0-9]+\s*")
# Columns whose kind doesn't depend on their values, as serving computes with them.
KINDS = {"impressions": NUMBER}


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
    """Reads the file of interactions.

    Raises:
      InputError: a field is malformed or empty; the message names file and row.
    """
    columns = find_columns(table, names)
    dated = "timestamp" in columns and is_dated(table, columns["timestamp"])
    values = _read(table, columns, dated)
    n = len(values["user"])
    if not n:
        raise InputError(f"{table.label}:2: expected interactions, found none")
    given = {r: v for r, v in values.items() if r in IDS or v.null_count < n}
    checks = {
        columns[role].name: row_check(role, columns[role], True, dated)
        for role in given
    }
    if any(column.null_count for column in given.values()):
        raise refusal(table, checks, "an empty field")
    notes, ids = _unused(table, columns), {role: _ids(given[role]) for role in IDS}
    for role, whole in ((role, columns[role].whole) for role in IDS):
        if any(id_problem(role, str(one), whole) for one in ids[role].values):
            raise refusal(table, checks, "an id")
        ids[role] = _whole(ids[role]) if whole else ids[role]
    seconds, stars, part = None, None, None
    if "rating" in given:
        stars = given["rating"].to_numpy()
        if not NUMBERS["rating"].hold(stars):
            raise refusal(table, checks, "a rating")
        stars = stars.astype(np.float32)
    if "part" in given:
        part = _parts(given["part"])
        if part.max() == len(PARTS):
            raise refusal(table, checks, "a part")
    if "timestamp" in given and dated:
        seconds, said = _moments(table, _ids(given["timestamp"]))
        if seconds.min() < 0:
            raise refusal(table, checks, "a time")
        notes += said
    elif "timestamp" in given:
        times = given["timestamp"].to_numpy()
        if are_dates(times):
            raise malformed(table.label, TIMES, f"dates such as {times[0]:.0f}")
        seconds, finer = in_seconds(times)
        if seconds.min() < 0:
            row = int(np.argmin(seconds >= 0))
            raise refusal(table, checks, "another unit of time than most", row)
        seconds = seconds.astype(np.int64)
        notes += [finer] if finer else []
    return Interactions(table, ids["user"], ids["item"], seconds, stars, part, notes)


def is_dated(table: TableFile, column: Named) -> bool:
    """Whether the first row of a text file has a time in ISO 8601."""
    if not table.separator:
        return False
    _, (first,) = next(rows(table, [column.name]), ("", [""]))
    return bool(DATE.match(first))


def _moment(text: str) -> tuple[float, bool]:
    """Seconds from 1970 on of a time in ISO 8601, -1 for none; whether it has a zone.

    >>> _moment("1970-01-02"), _moment("1970-01-01T02:00:00+01:00"), _moment("today")
    ((86400.0, False), (3600.0, True), (-1.0, False))
    """
    try:
        when = datetime.fromisoformat(text.strip() if DATE.match(text) else "")
    except ValueError:
        return -1.0, False
    zoned = when.tzinfo is not None
    seconds = (when if zoned else when.replace(tzinfo=UTC)).timestamp()
    return max(seconds, -1.0), zoned


def _moments(table: TableFile, texts: Ids) -> tuple[Int[ndarray, " n"], list[str]]:
    """Whole seconds of each row, -1 for none, and a note where no row has a zone.

    Raises:
      InputError: some rows have a zone, and others none.
    """
    found = [_moment(str(text)) for text in texts.values]
    seconds = np.floor([one for one, _ in found]).astype(np.int64)[texts.code]
    zoned = np.array([zone for _, zone in found])[texts.code]
    other = np.flatnonzero((zoned != zoned[0]) & (seconds >= 0))
    if len(other):
        row = int(other[0])
        expected = f"a time with{'' if zoned[0] else 'out'} a zone, as in the first row"
        text = str(texts.values[texts.code[row]])
        raise malformed(where_is(table, row), expected, text)
    return seconds, [] if zoned[0] else ["timestamps have no time zone: taken as UTC"]


def _read(
    table: TableFile, columns: dict[str, Named], dated: bool
) -> "dict[str, pa.ChunkedArray]":
    """The columns' values, by role; ids and parts as text, also where 0x1 is one.

    Raises:
      InputError: naming file and row, where a field isn't of its column's type.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    as_text = (*IDS, "part", *(["timestamp"] if dated else []))
    types = {
        column.name: text if role in as_text else pa.float64()
        for role, column in columns.items()
    }
    try:
        try:
            read = read_columns(table, types)
        except pa.ArrowInvalid:  # of large files, if a quoted field has several lines
            read = read_columns(table, types, multiline=True)
    except pa.ArrowInvalid as error:
        checks = {
            c.name: row_check(role, c, False, dated) for role, c in columns.items()
        }
        raise refusal(table, checks, error) from None
    return {role: read[column.name] for role, column in columns.items()}


def row_check(role: str, column: Named, given: bool, dated: bool) -> Check:
    """The check of a column's fields."""

    def check(text: str) -> str | None:
        if not text and not given and role not in IDS:
            return None
        if role in IDS:
            return id_problem(role, text, column.whole)
        if role == "part":
            return None if text in PARTS else f"a part, {' or '.join(PARTS)}"
        if role == "timestamp" and dated:
            return None if _moment(text)[0] >= 0 else DATED
        return NUMBERS[role].check(text)

    return check


def _whole(ids: Ids) -> Ids:
    """Ids of a column of numbers, as whole numbers: 7 and 7.0 are one id."""
    numbers = [int(str(value).partition(".")[0]) for value in ids.values]
    distinct = sorted(set(numbers))
    place = {number: n for n, number in enumerate(distinct)}
    code = np.array([place[number] for number in numbers], np.int32)[ids.code]
    small = distinct[0] >= 0 and distinct[-1] < ID_LIMIT
    return Ids(code, distinct if small else [str(number) for number in distinct])


def _ids(column: "pa.ChunkedArray") -> Ids:
    array = column.unify_dictionaries().combine_chunks()
    values = array.dictionary.to_pylist()
    numbers = bool(values) and isinstance(values[0], int)
    if numbers and not (min(values) >= 0 and max(values) < ID_LIMIT):
        values = [str(value) for value in values]
    return Ids(array.indices.to_numpy().astype(np.int32, copy=False), values)


def _parts(column: "pa.ChunkedArray") -> UInt8[ndarray, " n"]:
    """The number of each part; len(PARTS) for a word that is no part."""
    words, number = _ids(column), {word: n for n, word in enumerate(PARTS)}
    of_word = [number.get(str(word), len(PARTS)) for word in words.values]
    return np.array(of_word, np.uint8)[words.code]


def _unused(table: TableFile, columns: dict[str, Named]) -> list[str]:
    used = {column.name for column in columns.values()}
    others = [
        column.name or "one without a name"
        for column in table.columns
        if column.name not in used
    ]
    return [f"columns not used: {', '.join(others)}"] if others else []


class SideTable(NamedTuple):
    """A table as read: the row of each id, and columns with an empty row at the end.

    notes are lines for the user on what was read.
    """

    file: str
    place: dict[str, int]
    columns: dict[str, Column]
    notes: list[str]

    def aligned(self, ids: list[str]) -> dict[str, Column]:
        """The columns in the order of these ids; empty for those without a row.

        Of lists, with the names that occur in these rows alone: what stands in other
        rows isn't part of the data set, nor of its digest.
        """
        last = len(self.place)
        rows = np.array([self.place.get(one, last) for one in ids], np.int64)
        return {name: _of_rows(column, rows) for name, column in self.columns.items()}


def _of_rows(column: Column, rows: Int[ndarray, " n"]) -> Column:
    values = column.values[rows]
    if column.kind != CATEGORIES:
        return Column(column.kind, values)
    occurs = values.any(axis=0)
    names = (name for name, there in zip(column.names, occurs) if there)
    return Column(CATEGORIES, values[:, occurs], tuple(names))


def read_side_table(table: TableFile, side: str, id_name: str) -> SideTable:
    """Reads a table of users or items.

    Raises:
      InputError: no column of ids, an id with two rows, or a field that isn't of the
        column's kind.
    """
    import pyarrow as pa

    names = [name for name in (id_name, side, f"{side}_id") if name in table.names]
    ids = table.find(names[0] if names else side, f"it has the ids of {side}s")
    others = [c for c in table.columns if c.name != ids.name and c.type != "float_seq"]
    try:
        read = _all_of(table, [ids, *others])
    except pa.ArrowInvalid as error:
        raise refusal(table, {ids.name: lambda text: None}, error) from None
    place = _row_of_each(table, side, ids, read[ids.name])
    columns = {c.name: _column(table, c, read[c.name]) for c in others}
    notes = [
        note
        for doubts in (_numbers_with_commas, _bars_in_names)
        for c in others
        for note in doubts(table, c, columns[c.name], read[c.name])
    ]
    return SideTable(table.file, place, columns, notes)


def _row_of_each(
    table: TableFile, side: str, ids: Named, values: list[object]
) -> dict[str, int]:
    """The row of each id as a text, of numbers without ".0", as in the interactions.

    Raises:
      InputError: an id that none can be, or that has two rows.
    """
    if any(isinstance(value, float) for value in values):  # of parquet
        raise InputError(
            f"{table.label}: expected text or whole numbers in column {ids.name}, "
            f"found numbers with a fraction"
        )
    place: dict[str, int] = {}
    for n, value in enumerate(values):
        text = "" if value is None else str(value)
        problem = id_problem(side, text, ids.whole)
        if ids.whole and not problem:
            text = str(int(text.partition(".")[0]))
        if problem or text in place:
            raise malformed(where_is(table, n), problem or f"{side} {text} once", text)
        place[text] = n
    return place


def _all_of(table: TableFile, columns: list[Named]) -> dict[str, list[object]]:
    """The values of columns: texts of a text file, typed values of a parquet file."""
    import pyarrow as pa

    names = [column.name for column in columns]
    if not table.separator:
        found: dict[str, list[object]] = read_parquet(table, names).to_pydict()
        return found
    read = read_columns(table, dict.fromkeys(names, pa.string()), multiline=True)
    return {name: column.to_pylist() for name, column in read.items()}


def _column(table: TableFile, column: Named, values: list[object]) -> Column:
    """A column with an empty row at its end.

    Raises:
      InputError: a field that isn't of the kind.
    """
    kind = KINDS.get(column.name) or TYPES.get(column.type)
    if kind is None:
        kind = _kind_in_parquet(values) if not table.separator else None
    if any(isinstance(value, list) for value in values):
        kind, texts = CATEGORIES, ["|".join(map(str, v or ())) for v in values]  # type: ignore[call-overload]
    else:
        texts = ["" if value is None else str(value) for value in values]
    kind = kind or _kind_of(texts)
    if kind == NUMBER:
        return Column(NUMBER, np.array([*_numbers(table, column, texts), math.nan]))
    if kind == CATEGORIES:
        joined = [text.replace(column.between, "|") for text in texts]
        return Column(CATEGORIES, *multi_hot([*joined, ""]))
    return Column(kind, np.array([*texts, ""], np.str_))


def _numbers(table: TableFile, column: Named, texts: list[str]) -> Iterator[float]:
    for n, text in enumerate(texts):
        value = number_of(text)
        missing = says_missing(text)
        if not (abs(value) <= FLOAT_LIMIT or missing):  # features are float32
            expected = f"a finite number in column {column.name}"
            raise malformed(where_is(table, n), expected, text)
        yield math.nan if missing else value


def _numbers_with_commas(
    table: TableFile, column: Named, made: Column, values: list[object]
) -> Iterator[str]:
    """A line on a column of names that look like numbers but for their commas."""
    if made.kind not in (CATEGORY, TEXT) or column.type in TYPES:
        return
    texts = made.values[:-1].tolist()
    commas = [
        n for n, text in enumerate(texts) if "," in text and COMMA.fullmatch(text)
    ]
    plain = sum(math.isfinite(number_of(text)) for text in texts)
    present = sum(not says_missing(text) for text in texts)
    if commas and 2 * (len(commas) + plain) > present:
        where = Path(where_is(table, commas[0])).name
        yield (
            f"{table.file}: column {column.name} is taken as {made.kind}, not as "
            f"number: {len(commas):,} of {present:,} values look like numbers but for "
            f"a comma, first '{texts[commas[0]]}' in {where}"
        )


def _bars_in_names(
    table: TableFile, column: Named, made: Column, values: list[object]
) -> Iterator[str]:
    """A line on a list whose names hold "|", which is what separates them here."""
    if made.kind != CATEGORIES:
        return
    rows = [
        n
        for n, value in enumerate(values)
        if (isinstance(value, list) or column.between != "|")
        and any(
            "|" in str(one) for one in (value if isinstance(value, list) else [value])
        )
    ]
    if rows:
        yield (
            f"{table.file}: column {column.name} has names with | in {len(rows):,} "
            f"rows, first in {Path(where_is(table, rows[0])).name}: they count as "
            f"several names"
        )


def _kind_in_parquet(values: list[object]) -> str | None:
    present = next((value for value in values if value is not None), None)
    if isinstance(present, bool):
        return CATEGORY
    return NUMBER if isinstance(present, (int, float)) else None


def _kind_of(texts: list[str]) -> str:
    """The kind that a column's values look like.

    >>> [_kind_of(v) for v in (["1", "2.5"], ["02139", "10001"], ["War|Drama", "War"])]
    ['number', 'category', 'categories']
    """
    present = [text for text in texts if not says_missing(text)]
    code = any(text[:1] == "0" and text[1:2].isdigit() for text in present)
    if not code and all(math.isfinite(number_of(text)) for text in present):
        return NUMBER
    if any("|" in text for text in present):
        return CATEGORIES
    distinct = len(set(present))
    return TEXT if distinct > max(FEW, len(present) / 2) else CATEGORY
