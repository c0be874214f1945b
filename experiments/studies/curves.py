"""A grid that trains nothing: its curves as records, then its table and its figure.

The files lie where those of other grids do, under the data set "simulated", and
``check`` derives them anew from the records in the same way.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.folders import RESULTS_VERSION
from experiments.grid import Cell, Grid
from experiments.studies.frequency import error_figure
from research.config import Config
from research.files import beside, replace
from research.report.intervals import over_seeds
from research.report.pages import csv_text
from research.report.pictures import save_figure
from research.report.records import RunResult, save_records
from research.report.tables import LEADING, TRAILING

__all__ = ["SIMULATED", "report_curves", "simulate"]

SIMULATED = "simulated"


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
    header = {
        "results_version": RESULTS_VERSION,
        "grid": grid.name,
        "dataset": SIMULATED,
        "split": Config().split,
        "quick": quick,
        "data_digest": "",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_records(path, rows, header)


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
        replace(beside(path, ".csv"), csv_text(frame).encode()),
        replace(beside(path, ".md"), _markdown(grid, frame, header).encode()),
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


def _markdown(grid: Grid, frame: pd.DataFrame, header: dict[str, Any]) -> str:
    """The error at the middle and at the end, a row a cell."""
    last = int(frame.k.max())
    ends = [last // 2, last]
    names = [*grid.fields, *(f"error at step {k:,}" for k in ends)]
    lines = [f"# {grid.question}", "", "| " + " | ".join(names) + " |"]
    lines.append("|" + " --- |" * len(names))
    for values, cell in frame[frame.k.isin(ends)].groupby(grid.fields, sort=False):
        cells = [f"{value:g}" for value in values]
        cells += [
            f"{row.mean:.4f} [{row.low:.4f}, {row.high:.4f}]"
            for row in cell.itertuples(index=False)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = int(frame.seeds.max())
    note = f"Mean and 95 % t interval over {seeds} seeds; results version "
    return "\n".join([*lines, "", f"{note}{header['results_version']}.", ""])
