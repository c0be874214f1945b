"""From finished runs to a grid's records, and from records to tables and figures."""

import csv
import math
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.folders import (
    file_name,
    id_of,
    records_path,
    run_folder,
    run_id,
    serving_folder,
)
from experiments.grid import Cell, Grid
from experiments.plan import is_done
from research.files import read_arrays, read_json
from research.report.contrasts import contrast_frame, write_contrasts
from research.report.pages import write_report
from research.report.pictures import save_figure
from research.report.records import (
    RESULTS_VERSION,
    RunResult,
    load_records,
    read_header,
    save_records,
    unpack,
)


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
    results = [_result(cell, grid.name, out, digest) for cell in cells]
    path = records_path(out, base.dataset, grid.name, base.split)
    header = {
        "grid": grid.name,
        "dataset": base.dataset,
        "split": base.split,
        "fit_on": base.fit_on,
        "quick": quick,
        "data_digest": digest,
    }
    save_records(path, results, header)
    known = {run_id(cell.config, digest) for cell in cells}
    folder = out / "runs" / base.dataset / grid.name
    others = [p for p in folder.glob("*/") if id_of(p) not in known]
    return path, sum(result.record is None for result in results), len(others)


def _result(cell: Cell, grid: str, out: Path, digest: str) -> RunResult:
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

    Returns:
      its long table; the files.

    Raises:
      InputError: the file is missing, or was written by another RECORDS_VERSION.
    """
    header, results = read_header(records), load_records(records)
    name, dataset = file_name(grid.name, header["split"]), header["dataset"]
    path = out / "tables" / dataset / name
    notes = [*_notes(header), *([grid.note] if grid.note else [])]
    frame = write_report(
        results, grid.reference, path, grid.question, grid.swept_fields, notes
    )
    written = [path.with_name(f"{name}.csv"), path.with_name(f"{name}.md")]
    contrasts = contrast_frame(results, grid.contrasts)
    if grid.contrasts:
        written += write_contrasts(contrasts, path, grid.question)
    for write in grid.tables:
        written += write(results, frame, path)
    drawings = {what: draw(frame) for what, draw in grid.figures.items()}
    drawings |= {what: draw(contrasts) for what, draw in grid.contrast_figures.items()}
    for what, (figure, points) in drawings.items():
        written += save_figure(
            figure, points, out / "figures" / dataset / f"{name}-{what}"
        )
    return frame, written


def _notes(header: dict[str, Any]) -> list[str]:
    # A file that doesn't name its phase is older than the choice on validation.
    choosing = header.get("fit_on") == "train"
    fitted = "train" if choosing else "train + validation"
    judged = "validation" if choosing else "test"
    note = (
        f"{header['dataset']}, split {header['split']}, fitted on {fitted}, "
        f"judged on {judged}; data {header['data_digest'][:12]}, "
        f"results version {RESULTS_VERSION}."
    )
    quick = ["A quick run: two epochs. It shows that everything works, and no result."]
    return [note, *(quick if header["quick"] else [])]
