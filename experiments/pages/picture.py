"""One figure of any two metrics, from the tables under an output folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from research.evaluate.metrics import CUTOFF, METRICS
from research.notices import say
from research.report.figures import arms_figure, mark_quick
from research.report.filters import parse_filter
from research.report.pages import read_table
from research.report.pictures import save_figure
from research.report.records import read_header
from research.types import InputError, choose


def draw_picture(
    out: Path, dataset: str, grids: Sequence[str], where: str, x: str, y: str
) -> list[Path]:
    """Draws one metric against another at cut-off 20; returns the files.

    Raises:
      InputError: no table, an unknown metric or column, or no row is left.
    """
    for name in (x, y):
        choose(name, METRICS, "metric")
    folder = out / "tables" / dataset
    frame = _long_tables(folder, grids)
    values = [c for c in frame.columns if c not in ("metric", "mean", "low", "high")]
    keep = parse_filter(where, values) if where else lambda row: True
    rows = frame.to_dict("records")
    frame = frame[[keep(row) for row in rows]].reset_index(drop=True)
    shown = frame[frame.metric.isin((x, y)) & (frame.k == CUTOFF)]
    # a cell that several grids hold is drawn once
    measured = ["mean", "low", "high", "seeds", "users", "note"]
    same = [c for c in shown if not c.startswith(("delta", "against"))]
    same = [c for c in same if c not in ("grid", *measured)]
    several = shown.groupby(same, dropna=False)["mean"].nunique() > 1
    if several.any():
        say(
            f"{several.sum()} numbers have another value in another table (another "
            f"split or part, or other fields): the first one is drawn; name the grids"
        )
    shown = shown.drop_duplicates(same).drop(columns="grid").assign(against="")
    shown = shown.reset_index(drop=True)  # grids have references of their own
    if shown.empty:
        raise InputError(
            f"--where '{where}' leaves no row that has {x} and {y} at {CUTOFF} in "
            f"{folder}"
        )
    title = f"{METRICS[y].title(CUTOFF)} against {METRICS[x].title(CUTOFF)}, {dataset}"
    figure, points = arms_figure(shown, title, across=x, up=y)
    if any(_quick(out, dataset, grid) for grid in frame.grid.unique()):
        mark_quick(figure)
    return save_figure(figure, points, out / "figures" / dataset / f"picture-{x}-{y}")


def _quick(out: Path, dataset: str, grid: str) -> bool:
    """Whether a table is of a smoke run, as far as there are records of it."""
    records = out / "records" / dataset / f"{grid}.npz"
    return records.is_file() and bool(read_header(records).get("quick"))


def _long_tables(folder: Path, grids: Sequence[str]) -> pd.DataFrame:
    """The rows of the grids' long tables, one of each cell that several grids hold."""
    paths = [folder / f"{name}.csv" for name in grids] or sorted(folder.glob("*.csv"))
    frames = []
    for path in paths:
        if not path.is_file():
            raise InputError(f"no {path}: run the grid, or report it, first")
        try:
            columns = set(pd.read_csv(path, nrows=0).columns)
            if {"arm", "metric", "k", "mean", "against"} <= columns:
                frames.append(read_table(path).assign(grid=path.stem))
        except (ValueError, LookupError) as error:  # a file of somebody else
            raise InputError(f"{path}: not a table ({error})") from None
    if not frames:
        raise InputError(f"no table of a grid in {folder}")
    return pd.concat(frames, ignore_index=True)
