"""What a grid is: a question, arms by swept values by seeds, and its quick variant."""

import dataclasses
import itertools
from typing import Any, NamedTuple

from experiments.arms import arm
from research.choose import choose
from research.config import Config
from research.types import InputError

__all__ = ["Grid", "Spec", "expand"]

QUICK_EPOCHS = 2
QUICK_VALUES = 2


class Grid(NamedTuple):
    """A named grid.

    arms are names in ARMS; every combination of the swept values makes a run of each
    arm and seed; deltas in the tables are taken from the reference arm.
    """

    name: str
    question: str
    arms: tuple[str, ...]
    reference: str
    seeds: int
    minutes: str
    swept: dict[str, tuple[float, ...]]


class Spec(NamedTuple):
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
) -> list[Spec]:
    """Every run of the grid, in the order of its arms.

    Args:
      grid: the grid.
      base: data set, split and whatever else all runs share.
      seeds: number of seeds (0, 1, ...); default the grid's own, or 1 when quick.
      arms: only these arms; default all.
      quick: two epochs, the first and the last swept value, one seed.

    Raises:
      InputError: an arm isn't one of the grid's, or seeds is below 1.
    """
    for name in arms:
        choose(name, dict.fromkeys(grid.arms), f"arm of grid {grid.name}")
    n = seeds if seeds is not None else (1 if quick else grid.seeds)
    if n < 1:
        raise InputError(f"seeds is {n}: it must be at least 1")
    specs = []
    for name in grid.arms:
        if arms and name not in arms:
            continue
        for values in itertools.product(*_values(grid, quick)):
            swept = dict(zip(grid.swept, values))
            for seed in range(n):
                changes: dict[str, Any] = {**swept, "seed": seed}
                if quick:
                    changes["epochs"] = QUICK_EPOCHS
                config = dataclasses.replace(arm(name, base), **changes)
                specs.append(Spec(name, swept, seed, config))
    return specs


def _values(grid: Grid, quick: bool) -> list[tuple[float, ...]]:
    if not quick:
        return list(grid.swept.values())
    step = {n: max(1, len(v) - 1) for n, v in grid.swept.items()}
    return [v[:: step[n]][:QUICK_VALUES] for n, v in grid.swept.items()]
