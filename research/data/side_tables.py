"""Tables of users or items of one's own, with any columns.

A column's kind is that of the type in its header cell (research/data/delimited.py), or
of its type in parquet. Otherwise its values decide: number if all are numbers, list if
one holds "|", text if more than half of many values differ, else category.
"""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.data.cache import multi_hot
from research.data.delimited import (
    TYPES,
    Named,
    TableFile,
    first_problem,
    malformed,
    number_of,
    read_columns,
    read_parquet,
    unreadable,
    where_is,
)
from research.data.interactions import id_problem
from research.marks import FLOAT_LIMIT
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, Column, InputError

FEW = 20  # up to so many distinct values are categories, however few rows there are
# Of numbers, if there is a comma among the marks: 0,5 and 1.234,5 and 1,234.5
COMMA = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]{3})*[.,][0-9]+\s*")
MISSING_NUMBERS = ("", "nan", "na", "null", "none")
# Columns whose kind doesn't depend on their values, as serving computes with them.
KINDS = {"impressions": NUMBER}


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
        read = _read(table, [ids, *others])
    except pa.ArrowInvalid as error:
        raise first_problem(table, {ids.name: lambda t: None}) or unreadable(
            table, error
        ) from None
    texts = _id_texts(table, side, ids, read[ids.name])
    place = {text: n for n, text in enumerate(texts)}
    if len(place) < len(texts) or any(id_problem(side, text) for text in place):
        seen: set[str] = set()
        for n, text in enumerate(texts):
            problem = id_problem(side, text)
            if problem or text in seen:
                expected = problem or f"{side} {text} once"
                raise malformed(where_is(table, n), expected, text)
            seen.add(text)
    columns = {c.name: _column(table, c, read[c.name]) for c in others}
    notes = [
        note
        for c in others
        if columns[c.name].kind in (CATEGORY, TEXT) and c.type not in TYPES
        for note in _numbers_with_commas(table, c.name, columns[c.name])
    ]
    notes += [
        note
        for c in others
        if columns[c.name].kind == CATEGORIES
        for note in _bars_in_names(table, c, read[c.name])
    ]
    return SideTable(table.file, place, columns, notes)


def _id_texts(
    table: TableFile, side: str, ids: Named, values: list[object]
) -> list[str]:
    """The ids as texts, those of type float without ".0", as in the interactions.

    Raises:
      InputError: an id of a column of type float that is no whole number.
    """
    if any(isinstance(value, float) for value in values):  # of parquet
        raise InputError(
            f"{table.label}: expected text or whole numbers in column {ids.name}, "
            f"found numbers with a fraction"
        )
    texts = ["" if value is None else str(value) for value in values]
    if ids.type != "float":
        return texts
    for n, text in enumerate(texts):
        if expected := id_problem(side, text, whole=True):
            raise malformed(where_is(table, n), expected, text)
    return [str(int(text.partition(".")[0])) for text in texts]


def _read(table: TableFile, columns: list[Named]) -> dict[str, list[object]]:
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
    if any(isinstance(value, (list, np.ndarray)) for value in values):
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
        missing = text.strip().lower() in MISSING_NUMBERS
        if not (abs(value) <= FLOAT_LIMIT or missing):  # features are float32
            expected = f"a finite number in column {column.name}"
            raise malformed(where_is(table, n), expected, text)
        yield math.nan if missing else value


def _numbers_with_commas(table: TableFile, name: str, column: Column) -> Iterator[str]:
    """A line on a column of names that look like numbers but for their commas."""
    values = column.values[:-1].tolist()
    commas = [
        n for n, text in enumerate(values) if "," in text and COMMA.fullmatch(text)
    ]
    plain = sum(math.isfinite(number_of(text)) for text in values)
    missing = sum(text.strip().lower() in MISSING_NUMBERS for text in values)
    present = len(values) - missing
    if commas and 2 * (len(commas) + plain) > present:
        first, file = commas[0], table.file
        yield (
            f"{file}: column {name} is taken as {column.kind}, not as number: "
            f"{len(commas):,} of {present:,} values look like numbers but for a comma, "
            f"first '{values[first]}' in {Path(where_is(table, first)).name}"
        )


def _bars_in_names(
    table: TableFile, column: Named, values: list[object]
) -> Iterator[str]:
    """A line on a list whose names hold "|", which is what separates them here."""
    rows = [
        n
        for n, value in enumerate(values)
        if (isinstance(value, (list, np.ndarray)) or column.between != "|")
        and any("|" in str(name) for name in _names(value))
    ]
    if rows:
        where = Path(where_is(table, rows[0])).name
        yield (
            f"{table.file}: column {column.name} has names with | in "
            f"{len(rows):,} rows, first in {where}: they count as several names"
        )


def _names(value: object) -> Iterable[object]:
    """What stands in a list, which is a text in a text file."""
    return value if isinstance(value, (list, np.ndarray)) else [value]


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
    present = [text for text in texts if text.strip().lower() not in MISSING_NUMBERS]
    code = any(text[:1] == "0" and text[1:2].isdigit() for text in present)
    if not code and all(math.isfinite(number_of(text)) for text in present):
        return NUMBER
    if any("|" in text for text in present):
        return CATEGORIES
    distinct = len(set(present))
    return TEXT if distinct > max(FEW, len(present) / 2) else CATEGORY
