"""What a grid is: a question, arms by swept values by seeds, and its quick variant."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.arms import arm
from research.config import Config
from research.registry import deferred
from research.types import InputError, choose

__all__ = ["ARMS_FIGURE", "SIMULATED", "Cell", "Grid", "Study", "expand"]

QUICK_EPOCHS = 2
QUICK_VALUES = 2
QUICK_WARMUP = 10  # steps, so that a cache has its turn in two epochs

Sweep = dict[str, tuple[float, ...]]


SIMULATED = "simulated"  # the data set, in folders, of grids that need none
# What a grid shows that names no figures: each arm and swept value on its own line.
ARMS_FIGURE: dict[str, Callable[..., Any]] = {
    "arms": deferred("research.report.arms:dots_figure")
}


class Study(NamedTuple):
    """A grid that isn't made of runs: it measures, and writes what it found.

    run(out, dataset, data_dir, quick, progress) -> its file of records;
    report(records, out) -> the tables and figures made from them. place is the folder
    of its results where that isn't the data set's.
    """

    run: Callable[[Path, str, str | None, bool, Callable[[str], None]], Path]
    report: Callable[[Path, Path], list[Path]]
    place: str | None = None


class Grid(NamedTuple):
    """A named grid.

    arms are names in ARMS; every combination of the swept values makes a run of each
    arm and seed; deltas in the tables are taken from the reference arm. An arm that
    ``apart`` names has its own sweeps, one after the other, in place of the common one
    ({} is a run with nothing swept); they may be of structure, numbers or switches.
    runner, where a grid trains nothing, makes a run's curves out of its config; study
    stands in for runs altogether. changes are made to every run, beneath its arm's; so
    are, where the data set is the one named, those of on. note stands under its tables:
    what their numbers must not be taken for.

    figures are functions of its long table, each of a Drawing, by what the names of
    their files end in; {} for none. tables write further tables: functions of its
    results, its long table and that table's path (without an end), each of the paths
    it wrote. Both are ``deferred``, so that naming them loads neither matplotlib nor
    pandas.
    """

    name: str
    question: str
    arms: tuple[str, ...]
    reference: str
    seeds: int
    minutes: str
    swept: Sweep
    apart: dict[str, tuple[Sweep, ...]] = {}  # noqa: RUF012 - never written to
    runner: Callable[[Config], dict[str, list[float]]] | None = None
    changes: dict[str, Any] = {}  # noqa: RUF012 - never written to
    on: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - never written to
    study: Study | None = None
    note: str = ""
    figures: dict[str, Callable[..., Any]] = ARMS_FIGURE
    tables: tuple[Callable[..., list[Path]], ...] = ()

    @property
    def fields(self) -> list[str]:
        """Every field that some arm sweeps, in order of appearance."""
        own = [sweep for sweeps in self.apart.values() for sweep in sweeps]
        return list(
            dict.fromkeys(name for sweep in (self.swept, *own) for name in sweep)
        )


class Cell(NamedTuple):
    """One cell of a grid and a seed: the arm's name, its swept values, its config.

    The config of a baseline has no seed of its own: all its seeds are one run.
    """

    arm: str
    swept: dict[str, float]
    seed: int
    config: Config


def expand(
    grid: Grid,
    base: Config,
    seeds: int | None = None,
    arms: tuple[str, ...] = (),
    quick: bool = False,
) -> list[Cell]:
    """Every run of the grid, in the order of its arms.

    Args:
      grid: the grid.
      base: data set, split and whatever else all runs share.
      seeds: number of seeds (0, 1, ...); default the grid's own, or 1 when quick.
      arms: only these arms; default all.
      quick: two epochs, the first and the last value of a sweep, one seed.

    Raises:
      InputError: an arm isn't one of the grid's, or seeds is below 1.
    """
    for name in arms:
        choose(name, dict.fromkeys(grid.arms), f"arm of grid {grid.name}")
    changes = grid.changes | grid.on.get(base.dataset, {})
    base = dataclasses.replace(base, **changes)
    n = seeds if seeds is not None else (1 if quick else grid.seeds)
    if n < 1:
        raise InputError(f"seeds is {n}: it must be at least 1")
    cells = []
    for name in grid.arms:
        if arms and name not in arms:
            continue
        for swept in _cells(grid, name, quick):
            for seed in range(n):
                cells.append(Cell(name, swept, seed, _config(name, base, swept, seed)))
    if not quick:
        return cells
    return [cell._replace(config=_quick(cell.config)) for cell in cells]


def _cells(grid: Grid, name: str, quick: bool) -> list[dict[str, float]]:
    """The combinations of an arm's swept values; of each sweep two when quick."""
    cells = []
    for sweep in grid.apart.get(name, (grid.swept,)):
        combined = [
            dict(zip(sweep, values)) for values in itertools.product(*sweep.values())
        ]
        step = max(1, len(combined) - 1)
        cells += combined[::step][:QUICK_VALUES] if quick else combined
    return cells


def _config(name: str, base: Config, swept: dict[str, float], seed: int) -> Config:
    """The arm's config with its swept values, each in its field's own type."""
    typed: dict[str, Any] = {n: type(getattr(base, n))(v) for n, v in swept.items()}
    return dataclasses.replace(arm(name, base), **typed, seed=seed)


def _quick(config: Config) -> Config:
    warmup = min(config.warmup, QUICK_WARMUP)
    return dataclasses.replace(config, epochs=QUICK_EPOCHS, warmup=warmup)
