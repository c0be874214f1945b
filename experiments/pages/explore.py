"""The page to explore: tables and figures of all records of a folder, in one file.

It holds what ``report`` wrote: the tidy long table of each grid, of which the browser
makes a row per arm, to be sorted and filtered; its other tables; what became of its
prediction; and its pictures.
"""

import base64
import hashlib
import html
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.grid import Grid
from experiments.lookup import experiments, find_by_file
from experiments.study import Study
from research.data.names import DATASETS
from research.evaluate.metrics import METRICS
from research.files import replace
from research.report.pages import QUICK_MARK, read_table
from research.report.predictions import STATEMENT, statements
from research.report.records import read_header
from research.report.tables import LEADING, TRAILING, stated_columns
from research.types import InputError

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("explore.html")
# Raised by a file that isn't as it was written, here or in a library.
DAMAGED = (InputError, ValueError, LookupError, TypeError, AttributeError, OSError)
NUMBERS = ("mean", "low", "high", "delta", "delta_low", "delta_high")
JUDGED = ("ndcg", 20)  # the metric and cut-off of the answer


def explore(out: Path, names: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Writes the page of all records under a folder, or of some grids and studies.

    Returns its path, and a line for each file that could not be shown.
    """
    page = out / PAGE
    if page.is_dir():
        raise InputError(f"{page} can't be written to: it is a folder")
    sections: list[dict[str, Any]] = []
    holes: list[str] = []
    for records in sorted((out / "records").glob("*/*.npz"), key=_order):
        try:
            entry = find_by_file(records)
            if not names or entry.name in names:
                sections.append(_section(entry, records, out))
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            inside = any(str(out / n) in reason for n in ("records", "tables"))
            holes.append(reason if inside else f"{records}: {reason}")
    if not sections:
        of = f"of {' or '.join(names)} " if names else ""
        reason = holes[0] if holes else f"no records {of}under {out / 'records'}"
        raise InputError(f"nothing to show: {reason}")
    # "<" opens nothing within a script
    data = json.dumps(sections, allow_nan=False, separators=(",", ":"))
    lines = [f'<p class="hole">Not shown: {html.escape(hole)}</p>' for hole in holes]
    head, middle, end = TEMPLATE.read_text("utf-8").split("@@")
    whole = head + "\n".join(lines) + middle + data.replace("<", "\\u003c") + end
    return replace(page, whole.encode()), holes


def write_explorable(out: Path, names: Sequence[str] = ()) -> bool:
    """Writes the page and says so; returns whether every file is shown."""
    page, holes = explore(out, names)
    for hole in holes:
        print(f"not shown: {hole}", file=sys.stderr)
    print(f"wrote {page}", flush=True)
    return not holes


def _order(records: Path) -> tuple[int, str, int, str]:
    """Orders by data set, known ones first, then as the registries are ordered."""
    stem, known, data = records.stem, list(experiments()), records.parent.name
    named = list(DATASETS)
    places = [n for n, name in enumerate(known) if f"{stem}-".startswith(f"{name}-")]
    first = named.index(data) if data in named else len(named)
    return first, data, max(places, default=len(known)), stem


def _section(entry: Grid | Study, records: Path, out: Path) -> dict[str, Any]:
    """What the page shows of a file of records."""
    header, dataset = read_header(records), records.parent.name
    page = out / "tables" / dataset / f"{records.stem}.md"
    if not page.is_file():
        raise InputError(f"no {page}: report {entry.name} first")
    where = [dataset] if isinstance(entry, Study) else [dataset, header["split"]]
    about: dict[str, Any] = {
        "name": f"{dataset}/{records.stem}",
        "title": f"{records.stem} on {dataset}",
        "quick": QUICK_MARK if header.get("quick") else "",
        "question": entry.question,
        "prediction": entry.prediction.text if entry.predicts(*where) else "",
        "file": str(records.relative_to(out)),
        "sha256": hashlib.sha256(records.read_bytes()).hexdigest(),
    }
    tables: list[dict[str, Any]] = []
    if said := statements(page.read_text("utf-8")):
        rows = [[text.replace("`", "") for text in row] for row in said]
        tables.append({"name": "prediction", "columns": STATEMENT, "rows": rows})
    for path in _of(records, out, "tables", "csv"):
        try:
            shown = pd.read_csv(path, dtype=str, keep_default_na=False)
            if {*LEADING, *TRAILING} <= {*shown.columns}:
                arms = read_table(path)
                about |= {"arms": _arms(arms), "answer": _answer(arms)}
                continue
        except ValueError as error:
            raise InputError(f"{path}: not a table ({error})") from None
        columns, rows = list(shown.columns), shown.to_numpy().tolist()
        tables.append({"name": path.stem, "columns": columns, "rows": rows})
    pictures = [
        {"name": path.stem, "png": base64.b64encode(path.read_bytes()).decode()}
        for path in _of(records, out, "figures", "png")
    ]
    return {**about, "tables": tables, "pictures": pictures}


def _arms(frame: pd.DataFrame) -> dict[str, Any]:
    """A long table by cells and measures: rows of arms, columns of metrics at a k."""
    stated = ["arm", *stated_columns(frame)]
    groups = frame.groupby(stated, sort=False, dropna=False)
    cells = [part for _, part in groups]
    first = cells[0] if cells else frame
    texts = [
        [str(part.arm.iloc[0]), *map(_number, part[stated[1:]].iloc[0])]
        for part in cells
    ]
    return {
        "stated": stated,
        "cells": texts,
        "notes": [next(filter(None, part.note), "") for part in cells],
        "against": next(filter(None, frame.against), ""),
        "ks": sorted({int(k) for k in first.k}),
        "measures": [
            {
                "name": METRICS[name].title(k) if name in METRICS else name,
                "help": METRICS[name].help if name in METRICS else "",
                "k": int(k),
            }
            for name, k in zip(first.metric, first.k)
        ],
        **{
            name: [[_number(value) for value in part[name]] for part in cells]
            for name in NUMBERS
        },
    }


def _answer(frame: pd.DataFrame) -> str:
    """Which arm is highest, and how many differ from the reference; "" for none."""
    metric, k = JUDGED
    rows = frame[(frame.metric == metric) & (frame.k == k) & frame["mean"].notna()]
    if rows.empty:
        return ""
    name, best = METRICS[metric].title(k), rows.loc[rows["mean"].idxmax()]
    text = f"{best.arm} has the highest {name}, {best['mean']:.3f}."
    compared = rows[rows.delta_low.notna()]
    if compared.empty:
        return text
    higher, lower = sum(compared.delta_low > 0), sum(compared.delta_high < 0)
    same = len(compared) - higher - lower
    return (
        f"{text} Compared with {compared.against.iloc[0]}: {higher} higher, {lower} "
        f"lower, {same} not distinguishable (95 % intervals, not adjusted)."
    )


def _number(value: float) -> float | None:
    """A number for JSON, None for none.

    >>> _number(float("nan")), _number(0.25)
    (None, 0.25)
    """
    return None if pd.isna(value) else float(value)


def _of(records: Path, out: Path, folder: str, kind: str) -> list[Path]:
    """Files derived from a file of records: their names begin with that of its own.

    Where several files of records have such names, the longest is meant.
    """
    stems = [path.stem for path in records.parent.glob("*.npz")]
    found = []
    for path in sorted((out / folder / records.parent.name).glob(f"*.{kind}")):
        owners = [s for s in stems if path.stem == s or path.stem.startswith(f"{s}-")]
        if max(owners, key=len, default="") == records.stem:
            found.append(path)
    return found
