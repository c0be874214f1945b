"""A copy of one's own interactions without the rows that can't be read."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from research.data.delimited import Named, TableFile, malformed, split_rows
from research.data.own import open_own
from research.data.own_files import find_columns, is_dated, row_check
from research.files import spreadsheet_text, together
from research.types import InputError


class Copied(NamedTuple):
    """How many rows a copy has, and how many bad ones another file has."""

    rows: int
    bad: int


def copy_good_rows(file: Path, columns: dict[str, str], clean: Path) -> Copied:
    """Copies a text file of interactions without the rows that can't be read.

    Those stand in ``bad_path(clean)``, as line, reason and the row's fields.

    Raises:
      InputError: it isn't a text file of interactions, no row can be read, or a line
        isn't in UTF-8, so that the lines after it can't be told from each other.
    """
    table = open_own(file)
    if not table.separator:
        raise InputError(f"{file}: rows are left out of text files alone")
    if file.resolve() in (clean.resolve(), bad_path(clean).resolve()):
        raise InputError(f"{file}: the copy needs another name")
    found = find_columns(table, columns)
    good = bad = 0
    others = bad_path(clean).name
    with together(clean.parent, [others, clean.name]) as part, ExitStack() as stack:
        write, tell = (
            csv.writer(stack.enter_context((part / name).open("w", newline="")))
            for name in (clean.name, others)
        )
        write.writerow(
            f"{c.name}:{c.type}" if c.type else c.name for c in table.columns
        )
        tell.writerow(map(spreadsheet_text, ["line", "reason", *table.names]))
        for where, fields, reason in _judged(table, found):
            if reason:
                bad += 1
                line = where.rpartition(":")[2]
                tell.writerow(map(spreadsheet_text, [line, reason, *fields]))
            else:
                good += 1
                write.writerow(fields)
        if not good:
            raise InputError(f"{table.label}: no row can be read")
    return Copied(good, bad)


def bad_path(clean: Path) -> Path:
    """The file of bad rows beside a copy."""
    return clean.with_name(f"{clean.stem}-bad-rows.csv")


def _judged(
    table: TableFile, columns: dict[str, Named]
) -> Iterator[tuple[str, list[str], str]]:
    """The place and fields of each row, and why it can't be read, "" if it can."""
    dated = "timestamp" in columns and is_dated(table, columns["timestamp"])
    checks = {
        table.names.index(column.name): row_check(role, column, True, dated)
        for role, column in columns.items()
    }
    for n, (where, fields) in enumerate(split_rows(table)):
        if not n or not fields:
            continue
        if len(fields) != len(table.columns):
            text = table.separator.join(fields)
            expected = f"{len(table.columns)} fields"
            yield where, fields, _reason(expected, text)
            continue
        problems = ((at, check(fields[at])) for at, check in checks.items())
        at, expected = next(((a, e) for a, e in problems if e), (0, ""))
        yield where, fields, _reason(expected, fields[at]) if expected else ""


def _reason(expected: str, text: str) -> str:
    return str(malformed("", expected, text)).removeprefix(": ")
