"""The files of a table: CSV in full, Markdown at one cut-off for people."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from research.report.cells import measure, swept_fields
from research.report.files import beside, replace
from research.report.markdown import markdown
from research.report.rows import Row
from research.report.tables import NUMBER, TEXT, WHOLE, long_form, marks

__all__ = ["csv_text", "read_table", "write_report", "write_table"]


def csv_text(frame: pd.DataFrame) -> str:
    """Returns the frame as CSV: 6 significant digits, empty where there is no value.

    >>> csv_text(pd.DataFrame({"mean": [1 / 3, float("nan")], "k": [20, 20]}))
    'mean,k\\n0.333333,20\\n,20\\n'
    """
    text = frame.to_csv(index=False, float_format=NUMBER, lineterminator="\n")
    return str(text)


def read_table(path: Path) -> pd.DataFrame:
    """Returns the long table in a CSV file, exactly as ``table`` gave it."""
    # As text first: an arm may be called "nan", and float() rounds as it was written.
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    for name in frame.columns:
        if name in WHOLE:
            frame[name] = frame[name].astype("int64")
        elif name not in TEXT:
            numbers = [float(text) if text else float("nan") for text in frame[name]]
            frame[name] = pd.Series(numbers, dtype="float64")
    return frame


def write_table(
    frame: pd.DataFrame,
    path: Path,
    title: str,
    marked: "pd.Series[str] | None" = None,
    notes: Sequence[str] = (),
    k: int = 20,
) -> list[Path]:
    """Writes a long table as <path>.csv and <path>.md, each whole or not at all.

    Without ``marked`` (see ``marks``) the Markdown has neither bold nor daggers, since
    what is distinguishable from the best can't be told from means and intervals.
    """
    text = markdown(frame, title, marked, notes, k)
    return [
        replace(beside(path, ".csv"), csv_text(frame).encode()),
        replace(beside(path, ".md"), text.encode()),
    ]


def write_report(
    rows: Sequence[Row],
    reference: str,
    path: Path,
    title: str,
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
    k: int = 20,
) -> pd.DataFrame:
    """Measures a grid's runs once, writes its table's files, and returns the table."""
    cells = measure(rows, swept)
    frame = long_form(cells, reference, swept_fields(rows, swept))
    write_table(frame, path, title, marks(cells), notes, k)
    return frame
