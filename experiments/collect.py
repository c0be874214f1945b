"""From finished runs to a grid's records, and from records to tables and figures."""

import csv
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.folders import (
    RESULTS_VERSION,
    check_version,
    file_name,
    records_path,
    run_folder,
    run_id,
    serving_folder,
)
from experiments.grid import Cell, Grid
from experiments.plan import is_done
from research.files import read_arrays, read_json
from research.report.arms import arms_figure, dots_figure
from research.report.frontier import write_frontier
from research.report.frontier_figures import (
    frontier_figure,
    item_frontier_figure,
    serving_figure,
)
from research.report.pages import write_report
from research.report.pictures import Drawing, save_figure
from research.report.records import (
    RunResult,
    load_records,
    read_header,
    save_records,
    unpack,
)
from research.report.salts import write_over_salts
from research.report.sweeps import diversity_figure, temperature_figure, tradeoff_figure

__all__ = ["FIGURES", "TABLES", "collect", "report"]

_SEARCH = "Simulated words see the target: recall falls as more of them are replaced"

FIGURES: dict[str, dict[str, Callable[[pd.DataFrame], Drawing]]] = {
    "ssb": {"arms": arms_figure},
    "temperature": {
        "curves": temperature_figure,
        "tradeoff": tradeoff_figure,
        "diversity": diversity_figure,
    },
    "frontier": {
        "diversity": frontier_figure,
        "diversity-item": item_frontier_figure,
        "serving": serving_figure,
    },
    "negatives": {"arms": dots_figure},
    "cache": {"arms": dots_figure},
    "correction": {"arms": dots_figure},
    "baselines": {"arms": dots_figure},
    "positives": {"arms": dots_figure},
    "positives-users": {"arms": dots_figure},
    "towers-choice": {"arms": dots_figure},
    "history": {"arms": dots_figure},
    "history-ties": {"arms": dots_figure},
    "features": {"arms": dots_figure},
    "depth": {"arms": dots_figure},
    "optimisers": {"arms": dots_figure},
    "search": {"arms": functools.partial(dots_figure, title=_SEARCH)},
}

# Further tables of a grid, from its records and its long table, at a path.
TABLES: dict[str, Callable[[list[RunResult], pd.DataFrame, Path], list[Path]]] = {
    "frontier": write_frontier,
    "history-ties": write_over_salts,
}


def collect(
    grid: Grid, cells: list[Cell], out: Path, digest: str, quick: bool
) -> tuple[Path, int, int]:
    """Gathers the runs of the cells into one file of records.

    Args:
      grid: the grid.
      cells: its cells, their configs prepared.
      out: the output folder.
      digest: of the data.
      quick: noted in the file: a quick run is no result.

    Returns:
      its path; how many cells have no finished run; how many runs in the grid's folder
      aren't among the cells and were ignored.
    """
    base = cells[0].config
    rows = [_row(cell, grid.name, out, digest) for cell in cells]
    path = records_path(out, base.dataset, grid.name, base.split)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {
        "results_version": RESULTS_VERSION,
        "grid": grid.name,
        "dataset": base.dataset,
        "split": base.split,
        "fit_on": base.fit_on,
        "quick": quick,
        "data_digest": digest,
    }
    save_records(path, rows, header)
    known = {run_id(cell.config, digest) for cell in cells}
    folder = out / "runs" / base.dataset / grid.name
    others = [p for p in folder.glob("*/") if p.name not in known]
    return path, sum(row.record is None for row in rows), len(others)


def _row(cell: Cell, grid: str, out: Path, digest: str) -> RunResult:
    config = cell.config
    folder = run_folder(out, config.dataset, grid, run_id(config, digest))
    if not is_done(config, folder):
        failed = folder / "failed.json"
        reason = read_json(failed)["reason"] if failed.is_file() else "not run"
        return RunResult(cell.arm, cell.swept, cell.seed, None, reason)
    where = serving_folder(folder, config)
    record = unpack(read_arrays(where / "per_user.npz"))
    return RunResult(cell.arm, cell.swept, cell.seed, record, "", _history(folder))


def _history(folder: Path) -> dict[str, list[float]] | None:
    path = folder / "history.csv"
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    names: list[str] = list(lines[0]) if lines else []
    return {n: [float(r[n]) if r[n] else math.nan for r in lines] for n in names}


def report(grid: Grid, records: Path, out: Path) -> tuple[pd.DataFrame, list[Path]]:
    """Writes the grid's tables and figures under ``out`` from a file of records.

    Raises:
      InputError: the file is missing, or was written by another RESULTS_VERSION.
    """
    header = read_header(records)
    check_version(records, header)
    rows = load_records(records)
    name, dataset = file_name(grid.name, header["split"]), header["dataset"]
    path = out / "tables" / dataset / name
    notes = [*_notes(header), *([grid.note] if grid.note else [])]
    frame = write_report(
        rows, grid.reference, path, grid.question, grid.swept_fields, notes
    )
    written = [path.with_name(f"{name}.csv"), path.with_name(f"{name}.md")]
    if grid.name in TABLES:
        written += TABLES[grid.name](rows, frame, path)
    for what, draw in FIGURES.get(grid.name, {}).items():
        drawing = draw(frame)
        target = out / "figures" / dataset / f"{name}-{what}"
        written += save_figure(drawing.figure, drawing.points, target)
    return frame, written


def _notes(header: dict[str, Any]) -> list[str]:
    # A file that doesn't name its phase is older than the choice on validation.
    choosing = header.get("fit_on") == "train"
    fitted = "train" if choosing else "train + validation"
    judged = "validation" if choosing else "test"
    note = (
        f"{header['dataset']}, split {header['split']}, fitted on {fitted}, "
        f"judged on {judged}; data {header['data_digest'][:12]}, "
        f"results version {header['results_version']}."
    )
    quick = ["A quick run: two epochs. It shows that everything works, and no result."]
    return [note, *(quick if header["quick"] else [])]
