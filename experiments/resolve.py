"""From a grid and a request to its runs: arms by swept values by seeds, each resolved.

A run has the grid's changes, beneath those of its arm, its swept values and what
validation chose. ``resolve`` is the one place where they are put together and checked.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.arms import arm
from experiments.grid import MOST_SEEDS, Grid, check_grid
from research.config import Config, entries_of, with_values
from research.data.names import name_of
from research.prepare import check_config
from research.types import InputError, check_distinct, choose

if TYPE_CHECKING:
    from research.report.records import RunResult

Key = tuple[str, str]  # of a row of a grid: its arm, its swept values as text
Chosen = Mapping[Key, Mapping[str, Any]]  # fields that validation chose for a row

QUICK_VALUES = 2
QUICK_EPOCHS = 2
QUICK_WARMUP = 10  # steps, so that a cache has its turn in two epochs


class Cell(NamedTuple):
    """One cell of a grid and a seed: the arm's name, its swept values, its config.

    The config of a baseline has no seed of its own: all its seeds are one run.
    """

    arm: str
    swept: dict[str, Any]
    seed: int
    config: Config


def key_of(cell: "Cell | RunResult") -> Key:
    """The row of a grid that a cell belongs to, with the other seeds."""
    return cell.arm, repr(cell.swept)


def resolve(
    grid: Grid,
    base: Config,
    seeds: int | None = None,
    arms: tuple[str, ...] = (),
    quick: bool = False,
    chosen: Chosen = MappingProxyType({}),
) -> list[Cell]:
    """The runs that are asked for, as in ``expand``, each config checked: once.

    What shows, plans, executes and collects takes what this returned.

    Raises:
      InputError: the first reason, before any data is read.
    """
    cells = expand(grid, base, seeds, arms, quick, chosen)
    for cell in cells:
        check_config(cell.config)
    return cells


def expand(
    grid: Grid,
    base: Config,
    seeds: int | None = None,
    arms: tuple[str, ...] = (),
    quick: bool = False,
    chosen: Chosen = MappingProxyType({}),
) -> list[Cell]:
    """Every run of the grid, in the order of its arms, with what validation chose.

    Raises:
      InputError: an arm, or one of a contrast, isn't the grid's; an arm is given
        twice; seeds is below 1.
    """
    for name in arms:
        choose(name, dict.fromkeys(grid.arms), f"arm of grid {grid.name}")
    check_distinct(arms, "arms")
    check_grid(grid)
    base = with_changes(grid, base)
    n = seeds if seeds is not None else (1 if quick else grid.seeds)
    if n < 1:
        raise InputError(f"seeds is {n}: it must be at least 1")
    MOST_SEEDS.check("seeds", n)
    cells: list[Cell] = []
    for name in grid.arms:
        if arms and name not in arms:
            continue
        for swept in combinations(grid, name, quick):
            config = with_swept(arm(name, base), swept)
            fields = chosen.get((name, repr(swept)), {})
            config = dataclasses.replace(config, **fields)
            cells += [
                Cell(name, swept, seed, dataclasses.replace(config, seed=seed))
                for seed in range(n)
            ]
    if not quick:
        return cells
    return [cell._replace(config=_quick(cell.config)) for cell in cells]


def changes_on(grid: Grid, dataset: str) -> dict[str, Any]:
    """What a grid changes in every run on a data set, by field, beneath its arms."""
    return {**grid.changes, **grid.elsewhere.changes.get(name_of(dataset), {})}


def with_changes(grid: Grid, base: Config) -> Config:
    """The base with a grid's changes.

    Raises:
      InputError: one is of no field.
    """
    changes = changes_on(grid, base.dataset)
    for name in changes:
        choose(name, vars(base), f"field in the changes of {grid.name}")
    return dataclasses.replace(base, **changes)


def combinations(grid: Grid, name: str, quick: bool) -> list[dict[str, float]]:
    """The combinations of an arm's swept values."""
    cells = []
    for sweep in grid.arm_sweeps.get(name, (grid.swept,)):
        combined = [
            dict(zip(sweep, values)) for values in itertools.product(*sweep.values())
        ]
        step = max(1, len(combined) - 1)
        cells += combined[::step][:QUICK_VALUES] if quick else combined
    return cells


def with_swept(config: Config, swept: Mapping[str, float]) -> Config:
    """The config with these values, each in its field's own type.

    Raises:
      InputError: no such field, or half a number in one of whole numbers.
    """
    fields = vars(config)
    of_entries = {name: value for name, value in swept.items() if "." in name}
    swept = {name: value for name, value in swept.items() if "." not in name}
    kinds = {name: type(choose(name, fields, "field")) for name in swept}
    for name, value in swept.items():
        if kinds[name] is int and value % 1 != 0:
            raise InputError(f"{name} is {value:g}: it must be a whole number")
    typed: dict[str, Any] = {name: kinds[name](value) for name, value in swept.items()}
    return with_values(dataclasses.replace(config, **typed), of_entries)


def _quick(config: Config) -> Config:
    chosen = entries_of(config)["negatives"]
    warm = {f"{one.name}.warmup": one.values.get("warmup", 0) for one in chosen}
    shorter = {name: QUICK_WARMUP for name, w in warm.items() if w > QUICK_WARMUP}
    return dataclasses.replace(with_values(config, shorter), epochs=QUICK_EPOCHS)
