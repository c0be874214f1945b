"""Files of a data set, in a folder or a zip, as fields of lines and columns of ratings.

Every complaint names "file:line". GroupLens wrote the older sets (100K, 1M) in latin-1
and the newer ones in UTF-8.
"""

import csv
import io
import math
import re
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from numpy import ndarray

from research.data.places import LINE_LIMIT, Place, lines_of
from research.notices import say
from research.types import InputError

ID_LIMIT = 2**31  # ids are hashed as 32-bit halves of a pair
SHOWN = 60  # characters of a line that a message repeats
TABLE_LIMIT = 2**28  # bytes of a table that is read as a whole

Line = tuple[str, list[str]]  # "file:line" and the line's fields


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


def new_id(where: str, kind: str, text: str, known: Container[int]) -> int:
    """The id a field holds.

    Raises:
      InputError: it isn't a whole number below 2**31, or is one of those known.
    """
    if not _is_whole(text, ID_LIMIT):
        raise malformed(where, f"{kind}, a whole number below 2^31", text)
    if int(text) in known:
        raise malformed(where, f"{kind} not seen before", text)
    return int(text)


def _is_whole(text: str, limit: int) -> bool:
    return bool(re.fullmatch(r"[0-9]+", text)) and int(text) < limit


def _between(separator: str) -> str:
    return "between " + ("tabs" if separator == "\t" else f"'{separator}'")


def _text(place: Place, file: str, latin: bool) -> str:
    with place.open(file) as stream:
        data = stream.read(TABLE_LIMIT + 1)
    if len(data) > TABLE_LIMIT:
        raise InputError(
            f"{place.label(file)}: expected at most {TABLE_LIMIT:,} bytes, found more"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Copies of the old sets re-encoded as UTF-8 exist; latin-1 with an accent in
        # it isn't valid UTF-8, so trying UTF-8 first tells the two apart.
        if latin:
            return data.decode("latin-1")
        where = f"{place.label(file)}:{data.count(bytes([10]), 0, error.start) + 1}"
        raise malformed(where, "UTF-8", f"byte {data[error.start]:#x}") from None


def _say_endless(where: str) -> None:
    say(f"{where}: the last line has no end: is the file cut off?")


def fields_of(
    place: Place, file: str, separator: str, count: int, header: bool = False
) -> Iterator[Line]:
    """The lines of a file, split into fields; blank lines are skipped.

    Raises:
      InputError: a line has another number of fields, or there are none.
    """
    # Only "\n" ends a line: splitlines() would cut titles at latin-1's 0x85.
    lines = _text(place, file, latin=not header).split("\n")
    empty = True
    for number, line in enumerate(lines, start=1):
        where, line = f"{place.label(file)}:{number}", line.rstrip("\r")
        if not line or (header and number == 1):
            continue
        fields = line.split(separator)
        if len(fields) != count:
            raise malformed(where, f"{count} fields {_between(separator)}", line)
        empty = False
        yield where, fields
    if empty:
        raise InputError(f"{place.label(file)}:1: expected rows of a table, found none")
    if line:
        _say_endless(where)


def csv_names(place: Place, file: str) -> list[str]:
    """The names of the columns of a csv file in UTF-8, from its first line."""
    text = io.StringIO(_text(place, file, latin=False), newline="")
    return [name.strip() for name in csv_row(f"{place.label(file)}:1", text)]


def csv_row(where: str, lines: Iterable[str], **form: Any) -> list[str]:
    """The first row of csv, empty where there is none.

    Raises:
      InputError: it is no row, such as one with an endless field.
    """
    try:
        return next(csv.reader(lines, **form), [])
    except csv.Error as error:
        raise malformed(where, "a row of csv", str(error)) from None


def csv_fields(
    place: Place, file: str, header: list[str], some: bool = False
) -> Iterator[Line]:
    """The rows of a quoted csv file in UTF-8, the columns of ``header`` first.

    Raises:
      InputError: the file lacks such a column or names one twice, a row has more or
        fewer fields than its header, the text isn't UTF-8, or there must be a row and
        is none.
    """
    text = io.StringIO(_text(place, file, latin=False), newline="")
    where = f"{place.label(file)}:1"
    names = [name.strip() for name in csv_row(where, text)]
    text.seek(0)
    reader = csv.reader(text)
    next(reader, None)
    if not set(header) <= set(names):
        raise malformed(where, f"columns {','.join(header)}", ",".join(names))
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise malformed(where, "columns of different names", ",".join(names))
    first = [names.index(name) for name in header]
    order = [*first, *(n for n in range(len(names)) if n not in first)]
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            where = f"{place.label(file)}:{reader.line_num}"
            raise malformed(where, "a row of csv", str(error)) from None
        if fields is None:
            if not text.getvalue().endswith("\n"):
                _say_endless(where)
            if some:
                raise InputError(f"{where}: expected rows of a table, found none")
            return
        where = f"{place.label(file)}:{reader.line_num}"
        if fields and len(fields) != len(names):
            raise malformed(where, f"{len(names)} fields", ",".join(fields))
        if fields:
            some = False
            yield where, [fields[n] for n in order]


LOWEST, HIGHEST = 0.5, 5.0
SAY_ABOVE = 50 * 2**20  # bytes from which reading takes long enough to announce it
FIELDS = ("a user id", "an item id", "a rating", "a timestamp")


class RatingFile(NamedTuple):
    r"""One file of ratings: its name, what separates fields, its columns' names.

    separator is a tab, "::" or ","; header names the columns of user, item, rating
    and timestamp, None if the file has no header and just these four, in this order.
    """

    file: str
    separator: str
    header: tuple[str, str, str, str] | None = None


class RatingColumns(NamedTuple):
    """Ratings in the order of the file: raw ids, stars, seconds."""

    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]


def read_ratings(place: Place, source: RatingFile) -> RatingColumns:
    """Reads the file of ratings as columns.

    Raises:
      InputError: naming file and line, where the file is empty, a row hasn't its four
        fields, an id isn't a whole number below 2**31, a rating isn't a number from
        0.5 to 5, or a timestamp isn't a whole number of seconds from 0 on.
    """
    import pyarrow

    names = _names(place, source)
    if place.size(source.file) > SAY_ABOVE:
        say(f"reading {place.label(source.file)} ...")
    try:
        columns, odd, ended = _fast(place, source, names)
    except pyarrow.ArrowInvalid as error:
        problem = _first_problem(place, source, names)
        where = place.label(source.file)
        raise problem or InputError(f"{where}: can't be read ({error})") from None
    wrong = columns is None or not _plausible(columns)
    if (odd or wrong) and (problem := _first_problem(place, source, names)):
        raise problem
    if columns is None or wrong:
        raise InputError(
            f"{place.label(source.file)}: can't be read (a value out of range)"
        )
    if not ended:
        _check_end(place, source, columns.timestamp)
    return columns


def _check_end(place: Place, source: RatingFile, time: Int[ndarray, " n"]) -> None:
    """Checks a last row whose line has no end, as where a file is cut off.

    Raises:
      InputError: its time is far before all others, as when digits are missing.
    """
    where = line_of(place, source, len(time) - 1)
    if len(time) > 1 and time[-1] < time[:-1].min() / 2:
        raise malformed(
            where, "a whole last row: is the file cut off?", f"timestamp {time[-1]}"
        )
    _say_endless(where)


def line_of(place: Place, source: RatingFile, row: int) -> str:
    """ "file:line" of a row counted from 0; slow, for messages."""
    for at, (number, _) in enumerate(_lines(place, source)):
        if at == row:
            return f"{place.label(source.file)}:{number}"
    return place.label(source.file)


def _names(place: Place, source: RatingFile) -> list[str]:
    """The names of the file's columns; refuses an empty file or another header."""
    where = f"{place.label(source.file)}:1"
    if next(_lines(place, source), None) is None:
        raise InputError(f"{where}: expected ratings, found none")
    if source.header is None:
        return list("uirt")
    with place.open(source.file) as stream:
        first = stream.readline(LINE_LIMIT).decode("utf-8-sig", "replace")
    names = _split(where, first.rstrip("\r\n"), source.separator)
    if any(names.count(name) != 1 for name in source.header):
        raise malformed(where, f"columns {', '.join(source.header)}", ",".join(names))
    return names


def _fast(
    place: Place, source: RatingFile, names: list[str]
) -> tuple[RatingColumns | None, bool, bool]:
    """The columns as pyarrow reads them; None if a field is empty.

    Also whether a number may be hexadecimal, and whether the last line has an end.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv

    columns = list(source.header or names)
    numbers = (pa.int64(), pa.int64(), pa.float32(), pa.int64())
    types: dict[str, pa.DataType] = dict(zip(columns, numbers))
    if source.separator == "::":
        # pyarrow separates by one character: every second column is what stands
        # between two colons, and its type makes anything there an error.
        gaps = ["gap1", "gap2", "gap3"]
        names = [names[0], gaps[0], names[1], gaps[1], names[2], gaps[2], names[3]]
        types |= dict.fromkeys(gaps, pa.null())
    with place.open(source.file) as stream:
        content = stream.read()
    # From memory: a thread of pyarrow that still reads from Python when the process
    # ends can abort it.
    table = pacsv.read_csv(
        pa.BufferReader(content),
        pacsv.ReadOptions(column_names=names, skip_rows=1 if source.header else 0),
        pacsv.ParseOptions(
            delimiter=source.separator[0],
            quote_char='"' if source.separator == "," else False,
        ),
        pacsv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[""]
        ),
    )
    # pyarrow takes 0x1 for an id.
    odd, ended = b"x" in content or b"X" in content, content.endswith(b"\n")
    if any(table[name].null_count for name in columns):
        return None, odd, ended
    read = RatingColumns(*(table[name].to_numpy() for name in columns))
    return read, odd, ended


def _plausible(columns: RatingColumns) -> bool:
    user, item, rating, timestamp = columns
    return bool(
        min(user.min(), item.min(), timestamp.min()) >= 0
        and max(user.max(), item.max()) < ID_LIMIT
        and rating.min() >= LOWEST  # as for the highest, false if one is NaN
        and rating.max() <= HIGHEST
    )


def _lines(place: Place, source: RatingFile) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that holds a rating."""
    with place.open(source.file) as stream:
        for number, raw in enumerate(lines_of(stream, place.label(source.file)), 1):
            line = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
            if line and not (number == 1 and source.header):
                yield number, line


def _split(where: str, line: str, separator: str) -> list[str]:
    if separator == ",":
        return csv_row(where, [line])
    return line.split(separator)


def _first_problem(
    place: Place, source: RatingFile, names: list[str]
) -> InputError | None:
    at = [names.index(name) for name in source.header or names]
    for number, line in _lines(place, source):
        where = f"{place.label(source.file)}:{number}"
        fields = _split(where, line, source.separator)
        if len(fields) != len(names):
            expected = f"{len(names)} fields {_between(source.separator)}"
            return malformed(where, expected, line)
        values = [fields[index].strip() for index in at]
        for kind, value in zip(FIELDS, values):
            if problem := _expected(kind, value):
                return malformed(where, problem, value)
    return None


def _expected(kind: str, value: str) -> str | None:
    """What was expected in place of a field, None if it is valid."""
    if kind == "a rating":
        try:
            good = LOWEST <= float(value) <= HIGHEST
        except ValueError:
            good = False
        return None if good else f"a rating from {LOWEST:g} to {HIGHEST:g}"
    if kind == "a timestamp":
        good = _is_whole(value, 2**63)
        return None if good else "a timestamp, whole seconds from 0 on"
    good = _is_whole(value, ID_LIMIT)
    return None if good else f"{kind}, a whole number below 2^31"
