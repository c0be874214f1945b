"""The command list: grids, a grid's arms, or the entries of a registry."""

from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Column, Table

from experiments.arms import ARMS
from experiments.grid import Grid, expand
from experiments.grids import GRIDS
from experiments.lookup import experiments
from experiments.registries import REGISTRIES, about, described
from research.config import Config
from research.types import choose


@dataclass(frozen=True)
class List:
    """Every grid with its question, runs and time; or the names that can be used."""

    what: tyro.conf.Positional[str] = "grids"
    """grids, losses, sources, frequencies, features, encoders, metrics, arms,
    baselines, temperatures, optimisers, positives or datasets; or api, the page
    docs/api.md."""
    grid: str = ""
    """A grid whose arms are listed, with what each changes."""

    def __call__(self) -> int:
        """Prints a table."""
        if self.what == "api":
            from experiments.commands.api import api_page

            print(api_page(), end="")
            return 0
        known: dict[str, Any] = {"grids": GRIDS, **REGISTRIES, "api": {}}
        entry = choose(self.what, known, "list")
        if self.grid:
            table = _arms(choose(self.grid, GRIDS, "grid"))
        elif self.what == "grids":
            table = _grids()
        else:
            table = Table("name", "what it is")
            for text, (_, value) in zip(described(entry), entry.items(), strict=True):
                table.add_row(text, about(value))
        Console().print(table)
        return 0


def _grids() -> Table:
    first = Column("grid or study", no_wrap=True)
    table = Table(first, "question", "arms", "runs", "minutes on 2 cores")
    for name, one in experiments().items():
        arms, runs = "-", "-"
        if isinstance(one, Grid):
            arms = f"{len(one.arms)}: {' '.join(one.arms)}"
            runs = str(len(expand(one, Config())))
        table.add_row(name, one.question, arms, runs, one.minutes)
    return table


def _arms(grid: Grid) -> Table:
    table = Table("arm", "what it changes", title=grid.question)
    for name in grid.arms:
        table.add_row(name, about(ARMS[name]) or "the reference recipe")
    return table
