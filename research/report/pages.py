"""The files of a table: CSV in full, Markdown at one cut-off for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from research.files import beside, replace
from research.report.records import RunResult
from research.report.tables import (
    NUMBER,
    TEXT,
    WHOLE,
    long_form,
    marks,
    measure,
    swept_columns,
    swept_fields,
)

__all__ = ["csv_text", "markdown", "read_table", "write_report", "write_table"]


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
    rows: Sequence[RunResult],
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


DAGGER = "†"
EMPTY = "-"


class Column(NamedTuple):
    """A column of the Markdown table: its metric, its heading, how numbers look.

    With an interval it also has a column of paired differences, where there are any.
    """

    metric: str
    heading: str
    form: str
    interval: bool = False


COLUMNS = (
    Column("recall", "R@{k}", ".4f", interval=True),
    Column("ndcg", "N@{k}", ".4f", interval=True),
    Column("recall_item", "item recall", ".4f"),
    Column("recall_head", "head", ".3f"),
    Column("recall_torso", "torso", ".3f"),
    Column("recall_tail", "tail", ".3f"),
    Column("coverage", "coverage", ".3f"),
    Column("gini", "Gini", ".3f"),
    Column("ild", "ILD", ".3f"),
    Column("novelty", "novelty", ".2f"),
    Column("train_count", "train count", ".1f"),
    Column("cold_slots_2", "cold slots", ".4f"),
    Column("recall_expansion", "expansion", ".3f"),
    Column("outside_genres", "outside", ".3f"),
    Column("repulsion", "repulsion", ".3f"),
)
# Metrics that a table may lack altogether: without genres, or from older records.
OPTIONAL = ("recall_expansion", "outside_genres", "repulsion")


def markdown(
    frame: pd.DataFrame,
    title: str,
    marked: "pd.Series[str] | None" = None,
    notes: Sequence[str] = (),
    k: int = 20,
) -> str:
    """Returns a long table as Markdown, one row an (arm, swept value) at cut-off k.

    ``marked`` is aligned with the frame: "best" is set in bold, "tie" gets a dagger.
    A cell of a failed run says so, the first of its row with the reason.

    Raises:
      ValueError: the table has no such cut-off.
    """
    at_k = frame[frame.k == k].assign(mark="" if marked is None else marked)
    if at_k.empty:
        raise ValueError(f"the table has no cut-off {k}")
    swept = swept_columns(frame)
    against = next((name for name in frame.against if name), "")
    present = set(at_k.metric)
    columns = [c for c in COLUMNS if c.metric in present or c.metric not in OPTIONAL]
    headings = [column.heading.format(k=k) for column in columns]
    if against:
        headings = [
            name
            for column, heading in zip(columns, headings, strict=True)
            for name in (heading, *([f"Δ {heading}"] if column.interval else []))
        ]
    lines = [
        _line(["arm", *swept, *headings]),
        _line(["---", *["--:"] * (len(swept) + len(headings))]),
    ]
    for values, cell in at_k.groupby(["arm", *swept], sort=False, dropna=False):
        first = [f"`{values[0]}`", *(_number(value, "g") for value in values[1:])]
        cells = _cells(cell.set_index("metric"), columns, bool(against))
        lines.append(_line([*first, *cells]))
    paragraphs = [*notes, *_footnotes(at_k, against, k)]
    return "\n".join([f"# {title}", "", *lines, "", "\n\n".join(paragraphs), ""])


def _cells(
    cell: pd.DataFrame, columns: Sequence[Column], with_delta: bool
) -> list[str]:
    """Returns the cells of one row, its long rows indexed by metric."""
    note = str(cell.note.iloc[0])
    if note.startswith("failed"):
        deltas = sum(column.interval for column in columns) if with_delta else 0
        return [note, *["failed"] * (len(columns) - 1 + deltas)]
    out = []
    for column in columns:
        row = cell.loc[column.metric] if column.metric in cell.index else None
        out.append(EMPTY if row is None else _value(row, column))
        if with_delta and column.interval:
            assert row is not None  # every table has these two at each of its cut-offs
            delta = [_number(row[name], "+.4f") for name in DELTA]
            out.append(EMPTY if delta[0] == EMPTY else _interval(*delta))
    return out


DELTA = ("delta", "delta_low", "delta_high")


def _value(row: "pd.Series[float]", column: Column) -> str:
    text = _number(row["mean"], column.form)
    if row["mark"] == "best":
        text = f"**{text}**"
    elif row["mark"] == "tie":
        text += DAGGER
    if not column.interval:
        return text
    return _interval(text, *(_number(row[end], column.form) for end in ("low", "high")))


def _interval(mean: str, low: str, high: str) -> str:
    return mean if low == EMPTY else f"{mean} [{low}, {high}]"


def _number(value: float, form: str) -> str:
    """Returns a number in a format, a hyphen for none.

    >>> _number(0.25, ".3f"), _number(float("nan"), ".3f")
    ('0.250', '-')
    """
    return EMPTY if pd.isna(value) else format(value, form)


def _line(cells: Sequence[str]) -> str:
    """Returns a line of a Markdown table, with what would break it made harmless.

    >>> _line(["a|b", "c"])
    '| a\\\\|b | c |'
    """
    clean = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(clean)} |"


def _footnotes(at_k: pd.DataFrame, against: str, k: int) -> list[str]:
    done = at_k[at_k.seeds > 0]
    counts = "no run finished"
    if len(done):
        seeds, users = done.seeds.max(), done[done.metric == "recall"].users.max()
        counts = f"{seeds} seed{'' if seeds == 1 else 's'}, {users} users"
    out = [
        f"Cut-off {k}; {counts}; [low, high] is a 95 % interval over users and seeds."
    ]
    if against:
        out.append(f"Δ: paired difference from `{against}` by user and seed.")
    if (at_k.mark == "best").any():
        out.append(
            f"**Bold**: the best of its column. {DAGGER}: not distinguishable from it"
            " (the paired 95 % interval of the difference from the best includes zero)."
            " Columns without bold describe the lists; neither end is the better one."
        )
    out.append(
        "item recall: mean over items of the share of their test users reached."
        " head, torso, tail: recall within each third of the fitted clicks, by item"
        " popularity. cold slots: share of slots given to items with at most 2 fitted"
        " clicks."
    )
    if set(at_k.metric) >= set(OPTIONAL):
        out.append(
            "expansion: recall of the positives whose genres are all foreign to the"
            " user (under 5 % of the user's own). outside: share of the lists' genres"
            " that are foreign. repulsion: mean share of unseen items ranked above a"
            " held-out positive; 0 is the top."
        )
    return out
