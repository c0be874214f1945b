"""Pages in Markdown, and the files of tables: the whole CSV beside a page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from research.evaluate.metrics import CUTOFF, METRICS, PageColumn
from research.files import beside, replace, spreadsheet_text
from research.report.intervals import Estimate, Interval, over_seeds
from research.report.records import RunResult
from research.report.tables import (
    DELTA,
    NUMBER,
    absences,
    marked_table,
    stated_columns,
    typed,
)
from research.types import InputError

DAGGER = "†"
EMPTY = "-"
QUICK_MARK = "quick run: not a result"  # across figures, and in titles of the page
QUICK = "A quick run, to see that everything works: not a result."


def markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], left: int | None = None
) -> str:
    """A Markdown table; line breaks and bars within cells are made harmless.

    >>> print(markdown_table(["arm", "R@20"], [["a|b", "0.25"]], left=1))
    | arm | R@20 |
    | --- | --: |
    | a\\|b | 0.25 |
    """
    left = len(headings) if left is None else left
    rule = ["---"] * left + ["--:"] * (len(headings) - left)
    clean = [
        [" ".join(cell.split()).replace("|", "\\|") for cell in cells]
        for cells in (headings, rule, *rows)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in clean)


def markdown_page(title: str, *blocks: str) -> str:
    """A page: its title, then tables and paragraphs with an empty line between them.

    >>> markdown_page("T", "one", "", "two")
    '# T\\n\\none\\n\\ntwo\\n'
    """
    return "\n\n".join([f"# {title}", *filter(None, blocks)]) + "\n"


def number_text(value: float, form: str) -> str:
    """A number in a format, a hyphen for none.

    >>> number_text(0.25, ".3f"), number_text(float("nan"), ".3f")
    ('0.250', '-')
    """
    return EMPTY if pd.isna(value) else format(value, form)


def seeds_text(seeds: int) -> str:
    """How many seeds, in words.

    >>> seeds_text(1), seeds_text(3)
    ('1 seed', '3 seeds')
    """
    return f"{seeds} seed" if seeds == 1 else f"{seeds} seeds"


def interval_text(mean: float | str, low: float, high: float, form: str) -> str:
    """A mean and the ends of its interval, where it has one.

    >>> interval_text(0.25, 0.2, 0.3, "+.2f")
    '+0.25 [+0.20, +0.30]'
    """
    text = mean if isinstance(mean, str) else number_text(mean, form)
    return text if pd.isna(low) else f"{text} [{low:{form}}, {high:{form}}]"


def interval_frame(
    found: Mapping[str, Float[ndarray, "*axes s"]],
    estimate: Callable[[ndarray], Estimate] = over_seeds,
    /,
    **axes: Sequence[Any] | ndarray,
) -> pd.DataFrame:
    """A row for each cell of some axes: means with their 95 % intervals.

    >>> found = {"gain": np.array([[0.1, 0.3], [0.5, 0.7]])}
    >>> interval_frame(found, arm=["a", "b"])[["arm", "gain"]].values.tolist()
    [['a', 0.2], ['b', 0.6]]
    """
    lines = []
    for place in np.ndindex(*(len(values) for values in axes.values())):
        line: dict[str, Any] = {}
        for (name, values), at in zip(axes.items(), place, strict=True):
            value = values[at]
            whole = isinstance(value, (str, int))
            line[name] = value if whole else round(float(value), 6)
        for name, cells in found.items():
            line |= estimate(cells[place]).interval().columns(name)
        lines.append(line)
    return pd.DataFrame(lines)


def interval_table(
    frame: pd.DataFrame,
    stated: Mapping[str, str],
    columns: Sequence[tuple[str, str, str]],
    left: int,
) -> str:
    """A Markdown table of means with their intervals, one row per row of a frame.

    >>> row = {"arm": "a", "gain": 0.5, "gain_low": 0.4, "gain_high": 0.6}
    >>> frame = pd.DataFrame([row])
    >>> columns = [("gain in R@20", "gain", "+.1f")]
    >>> print(interval_table(frame, {"arm": ""}, columns, left=1))
    | arm | gain in R@20 |
    | --- | --: |
    | a | +0.5 [+0.4, +0.6] |
    """
    rows = []
    for row in frame.to_dict("records"):
        texts = [format(row[name], form) for name, form in stated.items()]
        for _, name, form in columns:
            low, high = (row.get(f"{name}_{end}", np.nan) for end in ("low", "high"))
            texts.append(interval_text(row[name], low, high, form))
        rows.append(texts)
    headings = [*stated, *(heading for heading, _, _ in columns)]
    return markdown_table(headings, rows, left)


def p_text(p: float) -> str:
    """A p value as text.

    >>> p_text(0.0312), p_text(1e-9), p_text(float("nan"))
    ('0.031', '< 0.001', '-')
    """
    return "< 0.001" if p < 0.001 else number_text(p, ".3f")


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV: 6 significant digits, empty where there is no value.

    Texts are as in ``spreadsheet_text``.

    >>> csv_text(pd.DataFrame({"mean": [1 / 3, float("nan")], "k": [20, 20]}))
    'mean,k\\n0.333333,20\\n,20\\n'
    """
    shown = frame.map(spreadsheet_text)
    return str(shown.to_csv(index=False, float_format=NUMBER, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """The long table in a CSV file, exactly as ``table`` gave it."""
    # as text first: an arm may be called "nan", and pandas' own parser rounds
    return typed(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8"))


def write_texts(path: Path, texts: Mapping[str, str | pd.DataFrame]) -> list[Path]:
    """Writes texts, and frames as CSV, beside each other, each whole or not at all."""
    return [
        replace(
            beside(path, end),
            (text if isinstance(text, str) else csv_text(text)).encode(),
        )
        for end, text in texts.items()
    ]


def write_report(
    results: Sequence[RunResult],
    reference: str,
    path: Path,
    title: str,
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> pd.DataFrame:
    """Measures a grid's runs once, writes <path>.csv and .md, and returns the table."""
    seconds = (m.page.second for m in METRICS.values() if m.page and m.page.second)
    frame, marks = marked_table(results, reference, swept, [CUTOFF, *seconds])
    page = markdown(frame, title, marks, [*notes, *absences(results)])
    write_texts(path, {".csv": frame, ".md": page})
    return frame


def markdown(
    frame: pd.DataFrame,
    title: str,
    marked: "pd.Series[str] | None" = None,
    notes: Sequence[str] = (),
    k: int = CUTOFF,
) -> str:
    """A long table as Markdown, one row per (arm, swept value) at cut-off k.

    A cell of a failed run says so, the first of its row with the reason.
    """
    stated = stated_columns(frame)
    frame = frame.assign(mark="" if marked is None else marked)
    parts = {
        key: part.to_dict("records")
        for key, part in frame.groupby(["metric", "k"], sort=False)
    }
    at_k = frame[frame.k == k]
    if at_k.empty:
        raise InputError(f"the table has no cut-off {k}")
    against = next((name for name in frame.against if name), "")
    present = set(frame.metric)
    paged = {n: m.page for n, m in METRICS.items() if m.page and n in present}
    shown = dict(sorted(paged.items(), key=lambda entry: not entry[1].leading))
    numbers: dict[str, list[str]] = {}  # the cells of each column
    first = next(iter(parts.values()))
    none = {"mark": "", **dict.fromkeys(("mean", "low", "high", *DELTA[1:]), np.nan)}
    for name, column in shown.items():
        for cut in dict.fromkeys((k, column.second)):
            if cut != k and cut not in set(frame.k):
                continue
            heading = column.heading.format(k=cut)
            lines = parts.get((name, cut), [none] * len(first))
            numbers[heading] = [_mean(line, column) for line in lines]
            if against and column.interval:
                form = f"+{column.number}"
                numbers[f"Δ {heading}"] = [
                    interval_text(*Interval.of(line, "delta"), form) for line in lines
                ]
    rows = []
    for n, line in enumerate(first):
        texts = [column[n] for column in numbers.values()]
        if line["note"].startswith("failed"):  # the reason, then the other cells
            texts = [line["note"], *["failed"] * (len(texts) - 1)]
        values = (number_text(line[name], "g") for name in stated)
        rows.append([f"`{line['arm']}`", *values, *texts])
    table = markdown_table(["arm", *stated, *numbers], rows, left=1)
    return markdown_page(title, table, *notes, *_footnotes(at_k, shown, against, k))


def _mean(line: Mapping[Any, Any], column: PageColumn) -> str:
    """A cell of a page: a mean, its mark, and its interval where the column has one."""
    text = number_text(line["mean"], column.number)
    text = {"best": f"**{text}**", "tie": text + DAGGER}.get(line["mark"], text)
    if not column.interval:
        return text
    return interval_text(text, line["low"], line["high"], column.number)


def _footnotes(
    at_k: pd.DataFrame, shown: Mapping[str, PageColumn], against: str, k: int
) -> list[str]:
    done = at_k[at_k.seeds > 0]
    counts, over = "no run finished", "users and seeds"
    if len(done):
        seeds, users = int(done.seeds.max()), int(done.users.max())
        counts = f"{seeds_text(seeds)}, {users} users"
        over = "users, for these models alone" if seeds == 1 else over
    out = [f"Cut-off {k}; {counts}; [low, high] is a 95 % interval over {over}."]
    if against:
        out.append(f"Δ: paired difference from `{against}` by user and seed.")
    if (at_k.mark == "best").any():
        out.append(
            f"**Bold**: the best of its column. {DAGGER}: the paired 95 % interval of"
            " its difference from the best contains 0. It is not adjusted for the"
            " number of arms, as p values of contrasts are. Columns without bold"
            " describe the lists; neither end is the better one."
        )
    columns = {name: metric.page for name, metric in METRICS.items() if metric.page}
    hidden = {c.footnote for name, c in columns.items() if name not in shown}
    notes = dict.fromkeys(column.footnote for column in shown.values())
    return [*out, *(note for note in notes if note not in hidden)]
