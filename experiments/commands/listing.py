"""The command list: grids, a grid's arms, or the entries of a registry."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from experiments.arms import ARMS
from experiments.grid import Grid
from experiments.grids import GRIDS
from experiments.lookup import experiments
from experiments.registries import REGISTRIES, about, described
from experiments.resolve import expand
from experiments.topics import TOPICS, by_topic
from research.config import Config
from research.prepare import is_towers
from research.types import InputError, choose

WHAT = (
    "grids, losses, sources, frequencies, features, encoders, metrics, arms, "
    "baselines, temperatures, optimisers, positives or datasets; api writes the page "
    "docs/api.md."
)


@dataclass(frozen=True)
class List:
    """List every grid with its question, runs and time; or the names of a registry."""

    what: tyro.conf.Positional[
        Annotated[str, tyro.conf.arg(help=WHAT, metavar="NAME")]
    ] = "grids"
    grid: str = ""
    """A grid whose arms are listed, with what each changes and its temperatures."""

    def __call__(self) -> int:
        """Prints a table, of grids and studies one for each topic."""
        if self.what == "api":
            from experiments.commands.api import api_page

            print(api_page(), end="")
            return 0
        known: dict[str, Any] = {"grids": GRIDS, **REGISTRIES, "api": {}}
        entry = choose(self.what, known, "list")
        if self.grid and self.what != "grids":
            raise InputError(f"list {self.what} has no use for --grid")
        if self.grid in experiments() and self.grid not in GRIDS:
            raise InputError(f"--grid {self.grid}: a study, not a grid")
        if self.grid:
            table = _arms(choose(self.grid, GRIDS, "grid"))
        elif self.what == "grids":
            return _print_grids()
        else:
            table = Table("name", "what it is")
            for text, (_, value) in zip(described(entry), entry.items(), strict=True):
                table.add_row(text, Text(about(value)))
        Console().print(table)
        return 0


def _print_grids() -> int:
    """Prints a table for each topic, the first one with the heads of the columns."""
    known, console = experiments(), Console()
    width = max(len("grid or study"), *map(len, known))
    for i, (topic, group) in enumerate(by_topic(known).items()):
        heading, pages = TOPICS[topic]
        files = dict.fromkeys(page.partition("#")[0] for page in pages.values())
        read = f" (docs/{', docs/'.join(files)})" if files else ""
        table = Table(
            Column("grid or study", width=width),
            Column("question, and arms", ratio=1),
            Column("runs", width=len("runs")),
            Column("min", width=len("min")),
            title=Text(f"{heading}{read}", style="bold"),
            title_justify="left",
            show_header=not i,
            expand=True,
        )
        for one in group:
            text, runs = Text(one.question), "-"
            if isinstance(one, Grid):
                text.append(f"\n{', '.join(one.arms)}", style="dim")
                runs = str(len(expand(one, Config())))
            table.add_row(one.name, text, runs, one.minutes)
        console.print(table)
    console.print("The first of each topic is the one to begin with.")
    console.print("min: minutes on 2 cores. list --grid GRID shows its arms.")
    return 0


def _arms(grid: Grid) -> Table:
    """The arms of a grid, with the temperatures and what else is swept."""
    cells = expand(grid, Config(), seeds=1)
    changes = Column("what it changes", overflow="fold")
    table = Table("arm", changes, "in this grid", title=grid.question)
    for name in grid.arms:
        runs = [cell for cell in cells if cell.arm == name]
        swept = dict.fromkeys(field for run in runs for field in run.swept)
        shown = dict.fromkeys((*swept, "temperature", "learning_rate"))
        lines = []
        for field in shown if is_towers(runs[0].config) else ():
            values = dict.fromkeys(f"{getattr(r.config, field):g}" for r in runs)
            lines.append(f"{field} {', '.join(values)}")
        own = Text(about(ARMS[name]) or "nothing: the reference recipe")
        table.add_row(name, own, "\n".join(lines))
    return table
