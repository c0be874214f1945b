"""Tables of one's own: files of csv, tsv, RecBole's .inter and parquet, by column.

Fields of csv are separated by commas and may be quoted; those of the others by tabs,
never quoted. A header cell may name its type, as in RecBole's files ("user_id:token").
Every complaint names "file:line", or the row of a parquet file.
"""

import csv
import difflib
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from research.data.places import (
    check_regular,
    check_unpacked,
    last_byte,
    lines_of,
    packed_as,
)
from research.data.readers import csv_row, malformed
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, InputError

if TYPE_CHECKING:
    import pyarrow as pa

# Types that a header cell may end in, and the kinds of columns they are.
TYPES = {
    **{"token": CATEGORY, "float": NUMBER, "token_seq": CATEGORIES},
    **{"category": CATEGORY, "number": NUMBER, "list": CATEGORIES, "text": TEXT},
}
_LISTS = {"token_seq": " ", "list": "|", "": "|"}
BLOCK = 2**24  # bytes that the columnar reader parses at once
SHOWN = 12  # columns that a message lists

# What was expected of a field in place of its text; None if the text is valid.
Check = Callable[[str], str | None]


class Named(NamedTuple):
    """A column of a file: its name, and the type that the header names ("" for none).

    place is the header's own text.
    """

    name: str
    type: str
    place: str

    @property
    def between(self) -> str:
        """What separates the names of a list."""
        return _LISTS.get(self.type, "|")


class TableFile(NamedTuple):
    """A file whose header has been read; separator is "" for parquet.

    ended is False where the last line has no end, as where a file is cut off.
    """

    path: Path
    separator: str
    columns: tuple[Named, ...]
    ended: bool = True

    def find(self, name: str, flag: str = "") -> Named:
        """The column of a name.

        Raises:
          InputError: there is none; the message lists the columns and the nearest.
        """
        names = [column.name for column in self.columns]
        if name in names:
            return self.columns[names.index(name)]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise InputError(
            f"{self.path}:1: expected a column {name}, found "
            f"{', '.join(names[:SHOWN])}{more}"
            + (f" (nearest: {near[0]})" if near else "")
            + ("; fields are separated by commas" if self._one_field() else "")
            + (f"; {flag}" if flag else "")
        )

    def _one_field(self) -> bool:
        """Whether the header is one name that holds a separator of other formats."""
        name = self.columns[0].name
        one = self.separator == "," and len(self.columns) == 1
        return one and any(mark in name for mark in ";|\t")

    def has(self, name: str) -> bool:
        """Whether there is a column of that name."""
        return any(column.name == name for column in self.columns)


def named(cell: str) -> Named:
    """The column of a header cell, which may end in its type.

    >>> named("age:number").type, named("ratio 16:9").name
    ('number', 'ratio 16:9')
    """
    name, _, kind = cell.rpartition(":")
    typed = bool(name) and kind in (*TYPES, "float_seq")
    return Named(name if typed else cell, kind if typed else "", cell)


def open_table(path: Path, separator: str) -> TableFile:
    """Reads the header of a file.

    Raises:
      InputError: it isn't a regular file of that format, it is empty, or two columns
        have one name.
    """
    check_format(path, separator)
    if separator:
        first = next(_lines(path), None)
        if first is None or not first[1].strip():
            raise InputError(f"{path}:1: expected a header, found nothing")
        form = {"delimiter": separator, **_quoting(separator)}
        cells = csv_row(f"{path}:1", [first[1]], **form)
    else:
        cells = _schema(path).names
    cells = [cell.strip() for cell in cells]
    typed = bool(separator)
    columns = [named(cell) if typed else Named(cell, "", cell) for cell in cells]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}:1: two columns are named '{name}'")
    return TableFile(path, separator, tuple(columns), _ended(path, separator))


def _ended(path: Path, separator: str) -> bool:
    """Whether a text's last line has an end; parquet cut off can't be read at all.

    Raises:
      InputError: a .gz that is cut off or damaged, or unpacks to too much.
    """
    try:
        return not separator or last_byte(path) in (b"\n", b"\r")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({_first_line(error)})") from None


def check_format(path: Path, separator: str) -> None:
    """Checks that a file is regular and, by its first bytes, of its format.

    Raises:
      InputError: it isn't.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from None
    wanted = "gzip" if path.suffix == ".gz" else "" if separator else "parquet"
    found = packed_as(start)
    if not start:
        raise InputError(f"{path}:1: expected a header, found an empty file")
    if wanted != found:
        expected = f"{wanted}, as its name says" if wanted else "text"
        raise InputError(f"{path}: expected {expected}, found {found or 'other bytes'}")


def _schema(path: Path) -> "pa.Schema":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, meta = file.schema_arrow, file.metadata
            groups = (meta.row_group(n) for n in range(meta.num_row_groups))
            size = max(8 * meta.num_rows, sum(one.total_byte_size for one in groups))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not parquet ({_first_line(error)})") from None
    check_unpacked(str(path), size, path.stat().st_size)
    return schema


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _quoting(separator: str) -> dict[str, Any]:
    return {} if separator == "," else {"quoting": csv.QUOTE_NONE}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line.

    Raises:
      InputError: a line isn't UTF-8, or the file is cut off.
    """
    number = 0
    try:
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            packed = path.stat().st_size if path.suffix == ".gz" else None
            for number, raw in enumerate(lines_of(file, str(path), packed), start=1):
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    found = f"byte {raw[error.start]:#x}"
                    raise malformed(f"{path}:{number}", "UTF-8", found) from None
                yield number, text
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}:{number}: can't be read further ({_first_line(error)})"
        ) from None


def read_columns(
    table: TableFile, types: "Mapping[str, pa.DataType]", multiline: bool = False
) -> "dict[str, pa.ChunkedArray]":
    """Columns of a file by name; an empty field is null.

    Raises:
      InputError: the file can't be read as a whole.
      pyarrow.ArrowInvalid: a row is malformed.
    """
    import pyarrow as pa

    try:
        if table.separator:
            return _read_text(table, types, multiline)
        return _read_parquet(table, types)
    except pa.ArrowInvalid:
        raise
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{table.path}: can't be read ({_first_line(error)})"
        ) from None


def _read_text(
    table: TableFile, types: "Mapping[str, pa.DataType]", multiline: bool
) -> "dict[str, pa.ChunkedArray]":
    import pyarrow as pa
    import pyarrow.csv as pacsv

    form = "gzip" if table.path.suffix == ".gz" else None
    options = (
        pacsv.ReadOptions(
            column_names=[column.name for column in table.columns],
            skip_rows=1,
            block_size=BLOCK,
        ),
        pacsv.ParseOptions(
            delimiter=table.separator,
            quote_char='"' if table.separator == "," else False,
            newlines_in_values=multiline,
        ),
        pacsv.ConvertOptions(
            column_types=dict(types),
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    with pa.input_stream(str(table.path), compression=form) as stream:
        read = pacsv.read_csv(stream, *options)
    return {name: read[name] for name in types}


def read_parquet(path: Path, columns: list[str]) -> "pa.Table":
    """Columns of a parquet file.

    Raises:
      InputError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: can't be read ({_first_line(error)})") from None


def _read_parquet(
    table: TableFile, types: "Mapping[str, pa.DataType]"
) -> "dict[str, pa.ChunkedArray]":
    import pyarrow as pa

    read = read_parquet(table.path, list(types))
    columns = {}
    for name, wanted in types.items():
        column = read[name] if _is_dictionary(wanted) else _in_seconds(read[name])
        found = column.type.value_type if _is_dictionary(column.type) else column.type
        text = pa.types.is_string(found) or pa.types.is_large_string(found)
        if text != _is_dictionary(wanted) and not (
            _is_dictionary(wanted) and pa.types.is_integer(found)
        ):
            expected = "text or whole numbers" if _is_dictionary(wanted) else "numbers"
            raise InputError(
                f"{table.path}: expected {expected} in column {name}, found {found}"
            )
        if pa.types.is_integer(found) and _is_dictionary(wanted):
            columns[name] = column.dictionary_encode()
        elif _is_dictionary(column.type):
            columns[name] = column.cast(found).cast(pa.string()).dictionary_encode()
        elif text:
            columns[name] = column.cast(pa.string()).dictionary_encode()
        else:
            # Rounded where float64 needs it, as numbers of a text are.
            columns[name] = column.cast(wanted, safe=False)
    return columns


def _in_seconds(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Times and dates as whole seconds; any other column as it is."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column


def _is_dictionary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind))


def rows_of_file(
    table: TableFile, names: list[str]
) -> Iterator[tuple[str, list[str] | str]]:
    """The place of each row, and its fields by ``names``; slow, for messages.

    For a row with another number of fields than the header it is the row's text.
    """
    if not table.separator:
        read = read_parquet(table.path, names)
        columns = [_in_seconds(read[name]).to_pylist() for name in names]
        for n, row in enumerate(zip(*columns), start=1):
            fields = ["" if value is None else str(value) for value in row]
            yield f"{table.path}: row {n}", fields
        return
    at = [[column.name for column in table.columns].index(name) for name in names]
    lines = (text for _, text in _lines(table.path))
    reader = csv.reader(lines, delimiter=table.separator, **_quoting(table.separator))
    try:
        next(reader, None)
        for fields in reader:
            where = f"{table.path}:{reader.line_num}"
            if fields and len(fields) != len(table.columns):
                yield where, table.separator.join(fields)
            elif fields:
                yield where, [fields[n] for n in at]
    except csv.Error as error:
        raise malformed(
            f"{table.path}:{reader.line_num}", "a row", str(error)
        ) from None


def first_problem(
    table: TableFile, checks: Mapping[str, Check], reason: object, row: int = -1
) -> InputError:
    """The error of the first malformed row."""
    for where, fields in rows_of_file(table, list(checks)):
        if isinstance(fields, str):
            return malformed(where, f"{len(table.columns)} fields", fields)
        for value, check in zip(fields, checks.values()):
            if expected := check(value):
                return malformed(where, expected, value)
    where = str(table.path) if row < 0 else where_is(table, row)
    return InputError(f"{where}: can't be read ({str(reason).splitlines()[0]})")


def where_is(table: TableFile, row: int) -> str:
    """ "file:line" of a row counted from 0; slow, for messages."""
    name = table.columns[0].name
    for n, (where, _) in enumerate(rows_of_file(table, [name])):
        if n == row:
            return where
    return str(table.path)
