"""The list of all runs under an output folder: out/runs/index.csv."""

from pathlib import Path

from experiments.output.folders import id_of
from experiments.output.seals import METRICS, OTHER_CODE, read_metrics, why_unfinished
from research.files import read_json, write_csv
from research.serving import Serving
from research.types import InputError


def write_index(out: Path) -> Path:
    """Writes one row per run and way of serving, with the arm's and the grid's name.

    Columns: run, dataset, grid, arm, seed, those of Serving, state, recall (at 20),
    folder. The state is finished, failed, begun, "made by other code", or "damaged".
    """
    runs = out / "runs"
    rows = []
    for folder in sorted(runs.glob("*/*/*/")):
        for served in (folder, *sorted(folder.glob("prior*/"))):
            rows.append(_row(runs, folder, served))
    return write_csv(runs / "index.csv", rows)


def _row(runs: Path, folder: Path, served: Path) -> dict[str, str | float]:
    dataset, grid, _ = folder.relative_to(runs).parts
    row: dict[str, str | float] = {
        "run": id_of(folder),
        "dataset": dataset,
        "grid": grid,
        "arm": "",
        "seed": "",
        **dict.fromkeys(Serving._fields, ""),
        "state": "failed" if (served / "failed.json").is_file() else "begun",
        "recall": "",
        "folder": str(served.relative_to(runs)),
    }
    try:
        if (served / "config.json").is_file():
            config = read_json(served / "config.json")
            named = ("arm", "seed", *Serving._fields)
            row |= {name: config.get(name, "") for name in named}
        if (served / METRICS).is_file():
            reason = why_unfinished(served)
            state = reason if reason in ("", OTHER_CODE) else "damaged"
            recall = read_metrics(served)["recall"]["20"]
            row["state"] = state or "finished"
            row["recall"] = "" if recall is None or reason else recall
    except (InputError, KeyError, TypeError):
        row["state"] = "damaged"
    return row
