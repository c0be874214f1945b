"""From finished runs to a grid's records, and from records to tables and figures."""

import csv
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from experiments.grid import (
    ARMS_FIGURE,
    CONTRASTS_FIGURE,
    POINTS_FIGURE,
    Grid,
    OfContrasts,
)
from experiments.loaded import fold_of
from experiments.output.code import code_by_arm
from experiments.output.folders import (
    file_name,
    id_of,
    records_path,
    run_id,
    serving_folder,
)
from experiments.output.plan import locate
from experiments.output.seals import ABSENT, OTHER_CODE, why_unfinished
from experiments.output.whole import of_common_seeds, whole_cells
from experiments.pages.judged import judged_prediction
from experiments.resolve import Cell, Key, expand, key_of
from experiments.tuner import Choice, how_chosen, known
from research.config import REFERENCE, Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.fields import DataFields
from research.files import read_arrays, read_json
from research.marks import OMITTED, marked
from research.notices import say
from research.prepare import is_towers, named
from research.report.contrasts import contrast_frame, contrast_texts
from research.report.figures import history_figure, mark_quick
from research.report.pages import write_report, write_texts
from research.report.pictures import Drawing, save_figure
from research.report.records import (
    RESULTS_VERSION,
    RunResult,
    load_records,
    read_header,
    save_records,
    unpack,
)
from research.report.tables import not_recorded
from research.types import InputError

LOOK = f"ndcg@{CUTOFF} on validation"
SETTINGS = ("temperature", "learning_rate", "epochs", "prior")  # that records keep


def gathered(
    grid: Grid,
    base: Config,
    chosen: list[Cell],
    out: Path,
    data_dir: str | None,
    digest: str,
    quick: bool = False,
    choices: Mapping[Key, Choice] = MappingProxyType({}),
) -> list[Cell]:
    """The chosen cells and the grid's others that are finished, or failed, in a folder.

    Says which runs of the others can't be used.
    """
    faults: dict[Path, str] = {}
    runs = out / "runs" / name_of(base.dataset)
    there = {id_of(folder) for folder in runs.glob("*/*")}

    def named_here(config: Config) -> Config:
        return named(config, fold_of(config, data_dir))

    def was_run(cell: Cell) -> bool:
        if run_id(cell.config, digest) not in there:
            return False
        folder = locate(cell, grid.name, out, digest)[1]
        if not (reason := why_unfinished(folder, cell.config)):
            return True
        faults[folder] = reason
        return reason == ABSENT and (folder / "failed.json").is_file()

    of_others = known(grid, expand(grid, base, 1), out, data_dir) if choices else {}
    values = {key: one.changes for key, one in {**of_others, **choices}.items()}
    cells = whole_cells(grid, base, chosen, named_here, was_run, quick, values)
    for folder, reason in faults.items():
        if reason not in (ABSENT, OTHER_CODE):
            say(f"{folder}: {reason}: left out")
    if others := sum(reason == OTHER_CODE for reason in faults.values()):
        noun = "run" if others == 1 else "runs"
        say(f"{others} other {noun} of {grid.name} left out: made by other code")
    return cells


def collect(
    grid: Grid,
    cells: list[Cell],
    out: Path,
    digest: str,
    quick: bool,
    users: int = 0,
    failed: Mapping[str, str] | None = None,
    choices: Mapping[Key, Choice] = MappingProxyType({}),
) -> tuple[Path, list[RunResult], int]:
    """Gathers the runs of the cells into one file of records.

    Returns:
      its path; its results, one per cell; how many runs in the grid's folder aren't
      among the cells and were ignored.
    """
    base = cells[0].config
    why = failed or {}
    results = [_result(cell, grid.name, out, digest, why) for cell in cells]
    dataset = name_of(base.dataset)
    path = records_path(out, dataset, grid.name, base.split)
    header = {
        "grid": grid.name,
        "reference": grid.reference,
        "dataset": dataset,
        "split": base.split,
        "fit_on": base.fit_on,
        "quick": quick,
        "data_digest": digest,
        "users": users,
    }
    if options := _options(base):
        header["options"] = options
    if note := how_chosen(results, choices.values()):
        header["choices"] = note
    rows = {key_of(cell): (cell.arm, cell.swept) for cell in cells}
    looked = [(*rows[key], one.curve) for key, one in choices.items() if key in rows]
    if curves := [row for row in looked if row[-1]]:
        header["validation"] = curves
    header["code"] = code_by_arm((c.arm, dataclasses.asdict(c.config)) for c in cells)
    header["made"] = _made([locate(cell, grid.name, out, digest)[1] for cell in cells])
    save_records(path, results, header)
    known = {run_id(cell.config, digest) for cell in cells}
    folder = out / "runs" / dataset / grid.name
    others = [p for p in folder.glob("*/") if id_of(p) not in known]
    return path, results, len(others)


def _options(base: Config) -> list[str]:
    """The data's newer fields that aren't at their defaults, as NAME VALUE."""
    names = [n for n in marked(DataFields, OMITTED) if n != "columns"] + ["threshold"]
    changed = [n for n in names if getattr(base, n) != getattr(REFERENCE, n)]
    values = [(n, getattr(base, n)) for n in changed]
    return [f"{n} {v:g}" if isinstance(v, float) else f"{n} {v}" for n, v in values]


def _made(folders: list[Path]) -> dict[str, list[str]]:
    """What made the runs in these folders: commits, processors, versions of JAX."""
    made: dict[str, set[str]] = {"commits": set(), "processors": set(), "jax": set()}
    for folder in folders:
        if not why_unfinished(folder):
            about = read_json(folder / "env.json")
            changed = " with changes" if about["dirty"] else ""
            made["commits"].add(about["commit"][:7] + changed)
            made["processors"].add(about["processor"])
            made["jax"].add(about["packages"]["jax"])
    return {name: sorted(found) for name, found in made.items()}


def _result(
    cell: Cell, grid: str, out: Path, digest: str, why: Mapping[str, str]
) -> RunResult:
    config = cell.config
    folder = locate(cell, grid, out, digest)[1]
    ran = RunResult(cell.arm, cell.swept, cell.seed, settings=settings_of(config))
    if why_unfinished(folder, config):
        failed = folder / "failed.json"
        reason = why.get(id_of(folder), "")
        if not reason:
            said = read_json(failed) if failed.is_file() else {}
            reason = said.get("reason", ABSENT)
        return ran._replace(reason=reason)
    where = serving_folder(folder, config)
    record = unpack(read_arrays(where / "per_user.npz"))
    return ran._replace(record=record, history=history_of(folder))


def settings_of(config: Config) -> dict[str, float]:
    """The fields of a run's config that its record keeps; none for a baseline."""
    names = SETTINGS if is_towers(config) else ()
    return {name: float(getattr(config, name)) for name in names}


def history_of(folder: Path) -> dict[str, list[float]] | None:
    """The training curve in a run's folder; None without one."""
    path = folder / "history.csv"
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    names: list[str] = list(lines[0]) if lines else []
    return {n: [float(r[n]) if r[n] else math.nan for r in lines] for n in names}


def report(
    grid: Grid, records: Path, out: Path, without: Collection[str] = ()
) -> tuple[pd.DataFrame, list[Path]]:
    """Writes the grid's tables and figures under ``out`` from a file of records.

    Arms of ``without`` are left out.

    Returns:
      its long table; the files.
    """
    header, results = read_header(records), load_records(records)
    grid = grid.but(reference=header.get("reference", grid.reference))
    if header.get("grid", grid.name) != grid.name:  # a file that was renamed
        raise InputError(f"{records}: records of {header['grid']}, not of {grid.name}")
    name, dataset = file_name(grid.name, header["split"]), header["dataset"]
    path = out / "tables" / dataset / name
    results = [result for result in results if result.arm not in without]
    if not results:
        left = "other code made all of them" if without else "records of no run"
        raise InputError(f"{records}: {left}")
    results = of_common_seeds(results, name)
    contrasts = contrast_frame(results, grid.contrasts)
    prediction = judged_prediction(grid, header, results, contrasts)
    more = [header.get("choices", ""), grid.note, *prediction]
    notes = [*notes_on(header), *filter(None, more)]
    frame = write_report(
        results, grid.reference, path, grid.question, grid.swept_fields, notes
    )
    for line in not_recorded(results):
        say(f"{name}: {line}")
    written = [path.with_name(f"{name}.csv"), path.with_name(f"{name}.md")]
    if grid.contrasts:
        written += write_texts(path, contrast_texts(contrasts, grid.question))
    for write in grid.tables:
        written += write(results, frame, path)
    figures = dict(grid.figures)
    if grid.figures is ARMS_FIGURE and not frame.against.any():
        # nothing has a difference from the reference, which may not be among the arms
        compared = grid.contrasts and contrasts.difference.notna().any()
        figures = dict(CONTRASTS_FIGURE if compared else POINTS_FIGURE)
    drawings = {
        what: one.draw(contrasts) if isinstance(one, OfContrasts) else one(frame)
        for what, one in figures.items()
    }
    if curves := header.get("validation"):
        drawings["validation"] = _validation_figure(curves)
    for what, (figure, points) in drawings.items():
        if header["quick"]:
            mark_quick(figure)
        written += save_figure(
            figure, points, out / "figures" / dataset / f"{name}-{what}"
        )
    return frame, written


def _validation_figure(curves: Sequence[Any]) -> Drawing:
    """Draws what validation said after each epoch of the chosen trials."""
    looked = [
        RunResult(
            arm,
            swept,
            0,
            history={"epoch": [1.0 + n for n in range(len(values))], LOOK: values},
        )
        for arm, swept, values in curves
    ]
    return history_figure(looked, [LOOK])


def notes_on(header: dict[str, Any]) -> list[str]:
    """The paragraphs below every table of a grid, from its records' header."""
    # A file that doesn't name its phase is older than the choice on validation.
    fit_on = header.get("fit_on", REFERENCE.fit_on)
    fitted = "train + validation" if fit_on == "train+validation" else "train"
    judged = "validation" if fit_on == "train" else "test"
    options = "".join(f", {option}" for option in header.get("options", ()))
    note = (
        f"{header['dataset']}, split {header['split']}{options}, fitted on {fitted}, "
        f"judged on {judged}; data {header['data_digest'][:12]}, "
        f"results version {RESULTS_VERSION}."
    )
    quick = ["A quick run of two epochs, to see that everything works: not a result."]
    return [note, *(quick if header["quick"] else [])]
