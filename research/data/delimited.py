"""The one reader of tables: text between commas, tabs, "|" or "::", and parquet.

A file lies in a folder or a zip and may be a .gz; fields between commas may be quoted,
others never are. A header cell may name its type, as in RecBole's files
("user_id:token"). pyarrow reads columns of any size; rows are read one by one where a
table is small, and to name the "file:line" of what is wrong, as every complaint does.
"""

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.data.places import Place, check_format, check_unpacked
from research.notices import say
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, InputError

if TYPE_CHECKING:
    import pyarrow as pa

# Types that a header cell may end in, and the kinds of columns they are.
TYPES = {
    **{"token": CATEGORY, "float": NUMBER, "token_seq": CATEGORIES},
    **{"category": CATEGORY, "number": NUMBER, "list": CATEGORIES, "text": TEXT},
}
_LISTS = {"token_seq": " ", "list": "|", "": "|"}
BLOCK = 2**24  # bytes that pyarrow parses at once
BATCH = 2**16  # rows of parquet that are read at once
ID_LIMIT = 2**31  # ids are hashed as 32-bit halves of a pair
ID_LENGTH = 255  # characters of an id that is text
NAN = "nan"  # what other libraries write for a missing id
MISSING_NUMBERS = ("", "nan", "na", "null", "none")
TIMES = "a timestamp, seconds from 0 on"
FAR = 1e11  # seconds: the year 5138, so a larger time is in a smaller unit
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
SHOWN = 60  # characters of a line that a message repeats
SHOWN_COLUMNS = 12  # columns that a message lists
TABLE_LIMIT = 2**28  # bytes of a table that is read as a whole

Row = tuple[str, list[str]]  # "file:line" and the row's fields
# What was expected of a field in place of its text; None if the text is valid.
Check = Callable[[str], str | None]


def malformed(where: str, expected: str, text: str) -> InputError:
    """The error for a malformed row."""
    shown = repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
    return InputError(f"{where}: expected {expected}, found {shown}")


def number_of(text: str) -> float:
    """The number that a text says, NaN if it is none."""
    if not text.isascii() or "_" in text:  # as float() alone would read them
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def says_missing(text: str) -> bool:
    """Whether a text says that there is no number."""
    return text.strip().lower() in MISSING_NUMBERS


def new_id(where: str, kind: str, text: str, known: Container[int]) -> int:
    """The id a field holds.

    Raises:
      InputError: it isn't a whole number below 2**31, or is one of those known.
    """
    if not is_whole(text, ID_LIMIT):
        raise malformed(where, f"{kind}, a whole number below 2^31", text)
    if int(text) in known:
        raise malformed(where, f"{kind} not seen before", text)
    return int(text)


def is_whole(text: str, limit: int) -> bool:
    """Whether a text is a whole number from 0 on and below a limit."""
    return bool(re.fullmatch(r"[0-9]+", text)) and int(text) < limit


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


def in_seconds(time: Float[ndarray, " n"]) -> tuple[Float[ndarray, " n"], str]:
    """Whole seconds, -1 where there is no valid time; a note where the unit was finer.

    All times are taken to be in one unit, the coarsest by which the median one lies
    before the year 5138.
    """
    time = np.where(np.isfinite(time), time, -1.0)
    middle, unit, size = float(np.median(time)), "", 1.0
    for name, finer in UNITS.items():
        if middle >= FAR * finer / 1e3:
            unit, size = name, finer
    seconds = np.floor(time / size)
    # A time in a coarser unit: read in this one it lies in 1973 at the latest.
    coarse = (time > 0) & (time < FAR * size / 1e3) & bool(unit)
    note = f"timestamps are in {unit}: taken as seconds, rounded down" if unit else ""
    return np.where((seconds < FAR) & ~coarse, seconds, -1.0), note


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


class Numbers(NamedTuple):
    """What a column of numbers must hold: in words, and from where to where."""

    words: str
    low: float
    high: float
    whole: bool = False

    def check(self, text: str) -> str | None:
        """What was expected in place of a text, None if it is such a number."""
        if self.whole:
            good = is_whole(text.strip(), int(self.high) + 1)
        else:
            good = self.low <= number_of(text) <= self.high  # False for NaN
        return None if good else self.words

    def hold(self, values: Float[ndarray, " n"] | Int[ndarray, " n"]) -> bool:
        """Whether all values are such numbers; False if one is NaN."""
        return bool(self.low <= values.min() and values.max() <= self.high)


class Named(NamedTuple):
    """A column of a file: its name, and the type in the header, "" for none."""

    name: str
    type: str = ""

    @property
    def between(self) -> str:
        """What separates the names of a list."""
        return _LISTS.get(self.type, "|")

    @property
    def whole(self) -> bool:
        """Whether ids in it are whole numbers, as the header cell says a number."""
        return TYPES.get(self.type) == NUMBER


def named(cell: str) -> Named:
    """The column of a header cell, which may end in its type.

    >>> named("age:number").type, named("ratio 16:9").name
    ('number', 'ratio 16:9')
    """
    name, _, kind = cell.rpartition(":")
    typed = bool(name) and kind in (*TYPES, "float_seq")
    return Named(name, kind) if typed else Named(cell)


class TableFile(NamedTuple):
    """A file whose columns are known.

    separator is "" for parquet. Without a header the columns are those that the caller
    names, and a text that isn't UTF-8 is Latin-1. ended is False where the last line
    has no end, as where a file is cut off; hexadecimal is True where a number may be
    written as 0x1, which pyarrow takes for an id.
    """

    place: Place
    file: str
    separator: str
    columns: tuple[Named, ...]
    header: bool = True
    ended: bool = True
    hexadecimal: bool = False

    @property
    def label(self) -> str:
        """The name of the file in messages."""
        return self.place.label(self.file)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    def find(self, name: str, flag: str = "") -> Named:
        """The column of a name.

        Raises:
          InputError: there is none; the message lists the columns and the nearest.
        """
        names = self.names
        if name in names:
            return self.columns[names.index(name)]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
        more = len(names) - SHOWN_COLUMNS
        one = self.separator == "," and len(names) == 1
        others = one and re.search(r"[;|\t]", names[0])
        raise InputError(
            f"{self.label}:1: expected a column {name}, found "
            f"{', '.join(names[:SHOWN_COLUMNS])}"
            + (f" and {more} more" if more > 0 else "")
            + (f" (nearest: {near[0]})" if near else "")
            + ("; fields are separated by commas" if others else "")
            + (f"; {flag}" if flag else "")
        )

    def require(self, names: Sequence[str]) -> "TableFile":
        """The file, if it has these columns.

        Raises:
          InputError: it lacks one.
        """
        if not set(names) <= set(self.names):
            found = ",".join(self.names)
            raise malformed(f"{self.label}:1", f"columns {','.join(names)}", found)
        return self


def open_table(
    place: Place, file: str, separator: str, columns: Sequence[str] = ()
) -> TableFile:
    """The file with its columns: those of its header, or these if it has no header.

    Raises:
      InputError: it isn't a file of that format, it is cut off or unpacks to too much,
        or two columns have one name, other than an empty one.
    """
    table = TableFile(place, file, separator, tuple(map(Named, columns)), not columns)
    if not separator:
        names = _names(place.path / file)
        table = table._replace(columns=tuple(map(Named, names)), header=True)
    elif not columns:
        cells = next(split_rows(table), ("", []))[1]
        table = table._replace(columns=tuple(named(cell.strip()) for cell in cells))
    for name, number in Counter(filter(None, table.names)).items():
        if number > 1:
            raise InputError(f"{table.label}:1: two columns are named '{name}'")
    if not separator:
        return table
    last, hexadecimal = b"", False
    # Before pyarrow reads: a stream of Python that checks while pyarrow's threads read
    # from it can abort the process at its end.
    for block in place.pieces(file, lambda stream: stream.read(1 << 20)):
        last = block[-1:]
        hexadecimal = hexadecimal or b"x" in block or b"X" in block
    return table._replace(ended=last in (b"\n", b"\r"), hexadecimal=hexadecimal)


def _names(path: Path) -> list[str]:
    """The names of the columns of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_format(path, parquet=True)
    try:
        with pq.ParquetFile(path) as file:
            names, meta = file.schema_arrow.names, file.metadata
            groups = [meta.row_group(n) for n in range(meta.num_row_groups)]
            parts = [[g.column(n) for n in range(g.num_columns)] for g in groups]
            # of a list there are more values than rows
            values = sum(max((p.num_values for p in part), default=0) for part in parts)
            packed = sum(one.total_byte_size for one in groups)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not parquet ({_first_line(error)})") from None
    if not names:
        raise InputError(f"{path}: expected columns, found none")
    check_unpacked(str(path), max(8 * values, packed), path.stat().st_size)
    return [name.strip() for name in names]


def _first_line(error: object) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _lines(table: TableFile) -> Iterator[str]:
    """The text of each line.

    Copies of GroupLens's old sets re-encoded as UTF-8 exist. Latin-1 with an accent in
    it isn't valid UTF-8, so trying UTF-8 first, on the whole file, tells the two apart.

    Raises:
      InputError: a line is too long, or isn't in UTF-8.
    """
    codec = "utf-8"
    if not table.header:
        try:
            for raw in table.place.lines(table.file):
                raw.decode()
        except UnicodeDecodeError:
            codec = "latin-1"
    for number, raw in enumerate(table.place.lines(table.file), start=1):
        raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        try:
            yield raw.decode(codec)
        except UnicodeDecodeError as error:
            found = f"byte {raw[error.start]:#x}"
            raise malformed(f"{table.label}:{number}", "UTF-8", found) from None


def split_rows(table: TableFile) -> Iterator[Row]:
    """The fields of each row with its place, those of the header and blank ones too.

    Only "\\n" ends a line (a title may hold Latin-1's 0x85); in csv "\\r" does too.
    """
    if table.separator != ",":
        for number, line in enumerate(_lines(table), start=1):
            text = line.rstrip("\r\n")
            yield f"{table.label}:{number}", text.split(table.separator) if text else []
        return
    reader = csv.reader(
        part for line in _lines(table) for part in io.StringIO(line, newline="")
    )
    try:
        for fields in reader:
            yield f"{table.label}:{reader.line_num}", fields
    except csv.Error as error:
        where = f"{table.label}:{reader.line_num}"
        raise malformed(where, "a row of csv", str(error)) from None


def rows(table: TableFile, names: Sequence[str] = ()) -> Iterator[Row]:
    """The place of each row, and its fields by ``names``, or all; slow.

    Raises:
      InputError: a row has more or fewer fields than the table.
    """
    if not table.separator:
        read = read_parquet(table, names)
        columns = [_in_seconds(read[name]).to_pylist() for name in names]
        for n, row in enumerate(zip(*columns), start=1):
            fields = ["" if value is None else str(value) for value in row]
            yield f"{table.label}: row {n}", fields
        return
    at = [table.names.index(name) for name in names or table.names]
    between = "tabs" if table.separator == "\t" else f"'{table.separator}'"
    expected = f"{len(table.columns)} fields"
    expected += f" between {between}" if table.separator != "," else ""
    for n, (where, fields) in enumerate(split_rows(table)):
        if not fields or (table.header and not n):
            continue
        if len(fields) != len(table.columns):
            raise malformed(where, expected, table.separator.join(fields))
        yield where, [fields[index] for index in at]


def whole_table(
    table: TableFile, names: Sequence[str], empty: bool = False
) -> Iterator[Row]:
    """The rows of a table that is small.

    Raises:
      InputError: it isn't, or it has no rows unless it may be empty; as for ``rows``.
    """
    if table.place.size(table.file) > TABLE_LIMIT:
        raise InputError(
            f"{table.label}: expected at most {TABLE_LIMIT:,} bytes, found more"
        )
    where = ""
    for where, fields in rows(table, names):
        yield where, fields
    if not (where or empty):
        raise InputError(f"{table.label}:1: expected rows of a table, found none")
    if not table.ended:
        say_endless(where or f"{table.label}:1")


def say_endless(where: str) -> None:
    """Says that a file's last line, which stands there, has no end."""
    say(f"{where}: the last line has no end: is the file cut off?")


def first_problem(table: TableFile, checks: Mapping[str, Check]) -> InputError | None:
    """The error of the first malformed row, None if all are valid."""
    try:
        for where, fields in rows(table, list(checks)):
            for value, check in zip(fields, checks.values()):
                if expected := check(value):
                    return malformed(where, expected, value)
    except InputError as error:
        return error
    return None


def refusal(
    table: TableFile, checks: Mapping[str, Check], reason: object, row: int = -1
) -> InputError:
    """The error of the first malformed row; with a reason where no row tells it."""
    return first_problem(table, checks) or _unreadable(table, reason, row)


def _unreadable(table: TableFile, reason: object, row: int = -1) -> InputError:
    where = table.label if row < 0 else where_is(table, row)
    return InputError(f"{where}: can't be read ({_first_line(reason)})")


def where_is(table: TableFile, row: int) -> str:
    """ "file:line" of a row counted from 0; slow, for messages."""
    for n, (where, _) in enumerate(rows(table, table.names[:1])):
        if n == row:
            return where
    return table.label


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
        raise _unreadable(table, error) from None


def _read_text(
    table: TableFile, types: "Mapping[str, pa.DataType]", multiline: bool
) -> "dict[str, pa.ChunkedArray]":
    import pyarrow as pa
    import pyarrow.csv as pacsv

    names, wanted = table.names, dict(types)
    if table.separator == "::":
        # pyarrow separates by one character: every second column is what stands
        # between two colons, and its type makes anything there an error.
        gaps = [f"gap{n}" for n in range(1, len(names))]
        names = [name for pair in zip(names, [*gaps, ""]) for name in pair][:-1]
        wanted |= dict.fromkeys(gaps, pa.null())
    options = (
        pacsv.ReadOptions(
            column_names=names, skip_rows=int(table.header), block_size=BLOCK
        ),
        pacsv.ParseOptions(
            delimiter=table.separator[0],
            quote_char='"' if table.separator == "," else False,
            newlines_in_values=multiline,
        ),
        pacsv.ConvertOptions(
            column_types=wanted,
            include_columns=list(wanted),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    if table.place.inside is None:
        packing = "gzip" if table.file.endswith(".gz") else None
        source = pa.input_stream(str(table.place.path / table.file), packing)
    else:
        # From memory: a thread of pyarrow that still reads from Python when the
        # process ends can abort it.
        with table.place.open(table.file) as stream:
            source = pa.BufferReader(stream.read())
    with source:
        read = pacsv.read_csv(source, *options)
    return {name: read[name] for name in types}


def read_parquet(table: TableFile, columns: Sequence[str]) -> "pa.Table":
    """Columns of a parquet file, texts as dictionaries.

    A text of which a file holds one copy for many rows is not copied here. Whoever
    reads the columns doesn't copy it either where the copies would be too large.

    Raises:
      InputError: it is damaged, or unpacks to too much.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = table.place.path / table.file
    read, size, packed = [], 0, path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            leaves = [file.schema.column(n) for n in range(len(file.schema))]
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
            names = [n for n in file.schema_arrow.names if n.strip() in columns]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(BATCH, columns=names):
                size += sum(map(_unpacked_size, batch.columns))
                check_unpacked(table.label, size, packed)
                read.append(batch)
            empty = file.schema_arrow.empty_table().select(names)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(table, error) from None
    found = pa.Table.from_batches(read) if read else empty
    return found.rename_columns([name.strip() for name in found.column_names])


def _unpacked_size(column: "pa.Array") -> int:
    """Bytes of a column with a copy of each text for every row that has it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return 8 * len(column) + _unpacked_size(column.flatten())
    if not pa.types.is_dictionary(kind):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return 8 * len(column) + (pc.sum(lengths).as_py() or 0)


def _read_parquet(
    table: TableFile, types: "Mapping[str, pa.DataType]"
) -> "dict[str, pa.ChunkedArray]":
    import pyarrow as pa

    read = read_parquet(table, list(types))
    columns = {}
    for name, wanted in types.items():
        as_text = pa.types.is_dictionary(wanted)
        column = read[name] if as_text else _in_seconds(read[name])
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        found = column.type
        text = pa.types.is_string(found) or pa.types.is_large_string(found)
        whole = pa.types.is_integer(found)
        if text != as_text and not (as_text and whole):
            expected = "text or whole numbers" if as_text else "numbers"
            raise InputError(
                f"{table.label}: expected {expected} in column {name}, found {found}"
            )
        if as_text:
            column = column if whole else column.cast(pa.string())
            columns[name] = column.dictionary_encode()
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
