"""Lines of a table as fields, each with the "file:line" that a complaint names.

GroupLens wrote the older sets (100K, 1M) in latin-1 and the newer ones in UTF-8.
"""

import csv
import io
import re
from collections.abc import Container, Iterator

from research.data.places import Place
from research.types import InputError

__all__ = ["ID_LIMIT", "Line", "csv_fields", "fields_of", "malformed", "new_id"]

ID_LIMIT = 2**31  # ids are hashed as 32-bit halves of a pair
SHOWN = 60  # characters of a line that a message repeats

Line = tuple[str, list[str]]  # "file:line" and the line's fields


def malformed(where: str, expected: str, found: str) -> InputError:
    """The one form of every complaint about a row; where is "file:line"."""
    shown = repr(found if len(found) <= SHOWN else found[:SHOWN] + "...")
    return InputError(f"{where}: expected {expected}, found {shown}")


def new_id(where: str, kind: str, text: str, known: Container[int]) -> int:
    """The id a field holds.

    Raises:
      InputError: it isn't a whole number below 2**31, or is one of those known.
    """
    if not re.fullmatch(r"[0-9]+", text) or int(text) >= ID_LIMIT:
        raise malformed(where, f"{kind}, a whole number below 2^31", text)
    if int(text) in known:
        raise malformed(where, f"{kind} not seen before", text)
    return int(text)


def _text(place: Place, file: str, latin: bool) -> str:
    with place.open(file) as stream:
        data = stream.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Copies of the old sets re-encoded as UTF-8 exist; latin-1 with an accent in
        # it isn't valid UTF-8, so trying UTF-8 first tells the two apart.
        if latin:
            return data.decode("latin-1")
        where = f"{place.label(file)}:{data.count(bytes([10]), 0, error.start) + 1}"
        raise malformed(where, "UTF-8", f"byte {data[error.start]:#x}") from None


def fields_of(
    place: Place, file: str, separator: str, count: int, header: bool = False
) -> Iterator[Line]:
    """The lines of a file, cut into fields; blank lines are passed over.

    Args:
      place: has the file.
      file: its name.
      separator: between fields.
      count: how many fields a line has.
      header: the first line names the columns (and the file is UTF-8).

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
            name = "tabs" if separator == "\t" else f"'{separator}'"
            raise malformed(where, f"{count} fields between {name}", line)
        empty = False
        yield where, fields
    if empty:
        raise InputError(f"{place.label(file)}:1: expected rows of a table, found none")


def csv_fields(place: Place, file: str, header: list[str]) -> Iterator[Line]:
    """The rows of a quoted csv file in UTF-8 whose header begins as given.

    Raises:
      InputError: the header is another, a row has more or fewer fields than it, or
        the text isn't UTF-8.
    """
    reader = csv.reader(io.StringIO(_text(place, file, latin=False), newline=""))
    found = next(reader, [])
    if found[: len(header)] != header:
        where = f"{place.label(file)}:1"
        raise malformed(where, f"columns {','.join(header)}", ",".join(found))
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            where = f"{place.label(file)}:{reader.line_num}"
            raise malformed(where, "a row of csv", str(error)) from None
        if fields is None:
            return
        where = f"{place.label(file)}:{reader.line_num}"
        if fields and len(fields) != len(found):
            raise malformed(where, f"{len(found)} fields", ",".join(fields))
        if fields:
            yield where, fields
