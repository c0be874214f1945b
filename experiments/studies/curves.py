"""A grid that trains nothing: its curves as records, then its table and its figure.

The files lie where those of other grids do, under the data set "simulated", and
``check`` derives them anew from the records in the same way.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.grid import SIMULATED, Cell, Grid
from experiments.studies.frequency import error_figure
from research.report.intervals import over_seeds
from research.report.pages import (
    interval_text,
    markdown_page,
    markdown_table,
    write_texts,
)
from research.report.pictures import save_figure
from research.report.records import RunResult, save_records, study_header
from research.report.tables import LEADING, TRAILING

__all__ = ["SIMULATED", "report_curves", "simulate"]


def simulate(grid: Grid, cells: Sequence[Cell], path: Path, quick: bool) -> Path:
    """Runs every cell of the grid, and writes their curves as one file of records."""
    assert grid.runner is not None
    rows = []
    for n, cell in enumerate(cells, 1):
        curves = grid.runner(cell.config)
        rows.append(RunResult(cell.arm, cell.swept, cell.seed, None, "", curves))
        swept = " ".join(f"{name} {value:g}" for name, value in cell.swept.items())
        last = curves["error"][-1]
        line = f"[{n}/{len(cells)}] {swept} seed {cell.seed}: error {last:.4f}"
        print(line, flush=True)
    return save_records(path, rows, study_header(grid.name, SIMULATED, quick))


def report_curves(
    grid: Grid, rows: Sequence[RunResult], header: dict[str, Any], out: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """Writes the table (error at each step, over seeds) and the figure of the curves.

    The columns are those of every grid's table; k is the step, and no user is counted.
    """
    frame = _table(grid, rows)
    path = out / "tables" / header["dataset"] / grid.name
    drawing = error_figure(frame, header["quick"])
    return frame, [
        *write_texts(path, {".csv": frame, ".md": _page(grid, frame, header)}),
        *save_figure(
            drawing.figure,
            drawing.points,
            out / "figures" / header["dataset"] / f"{grid.name}-error",
        ),
    ]


def _table(grid: Grid, rows: Sequence[RunResult]) -> pd.DataFrame:
    cells: dict[tuple[float, ...], list[RunResult]] = {}
    for row in rows:
        cells.setdefault(tuple(row.swept[n] for n in grid.fields), []).append(row)
    lines = []
    for values, runs in cells.items():
        curves = [run.history or {} for run in runs]
        errors = np.array([curve["error"] for curve in curves])
        for n, step in enumerate(curves[0]["step"]):
            line: dict[str, Any] = {"arm": runs[0].arm, "metric": "error"}
            line |= over_seeds(errors[:, n])._asdict()
            line |= {"k": int(step), "seeds": len(runs), "users": 0}
            lines.append(line | dict(zip(grid.fields, values)))
    frame = pd.DataFrame(lines, columns=[*LEADING, *grid.fields, *TRAILING])
    return frame.assign(against="", note="")


def _page(grid: Grid, frame: pd.DataFrame, header: dict[str, Any]) -> str:
    """The error at the middle and at the end, one row per cell."""
    last = int(frame.k.max())
    ends = [last // 2, last]
    headings = [*grid.fields, *(f"error at step {k:,}" for k in ends)]
    rows = [
        [
            *(f"{value:g}" for value in values),
            *(
                interval_text(row.mean, row.low, row.high, ".4f")
                for row in cell.itertuples(index=False)
            ),
        ]
        for values, cell in frame[frame.k.isin(ends)].groupby(grid.fields, sort=False)
    ]
    return markdown_page(
        grid.question,
        markdown_table(headings, rows),
        f"Mean and 95 % t interval over {int(frame.seeds.max())} seeds; results version"
        f" {header['results_version']}.",
    )
