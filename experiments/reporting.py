"""The commands that only read records: report, check. Each returns an exit status."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.collect import place, records_path, report
from experiments.commands import FAILED, FINISHED, RESULTS
from experiments.grids import GRIDS
from experiments.grids.grid import Grid
from research.choose import choose
from research.data import DATASETS
from research.splits import SPLITS
from research.types import InputError

__all__ = ["Check", "Report"]


@dataclass(frozen=True)
class Report:
    """Tables and figures anew, from the records under the output folder."""

    grids: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of grids; default: all that have records."""
    dataset: str = "ml-100k"
    """Data set."""
    split: str = "ratio"
    """Split."""
    out: Path = Path("out")
    """Output folder."""

    def __call__(self) -> int:
        """Writes them."""
        choose(self.dataset, DATASETS, "data set")
        choose(self.split, SPLITS, "split")
        names = self.grids or tuple(
            name for name, grid in GRIDS.items() if self._records(grid).is_file()
        )
        if not names:
            raise InputError(f"no records of any grid under {self.out / 'records'}")
        for name in names:
            grid = choose(name, GRIDS, "grid")
            _, written = report(grid, self._records(grid), self.out)
            print(*(f"wrote {name}" for name in written), sep="\n")
        return FINISHED

    def _records(self, grid: Grid) -> Path:
        folder = place(grid, self.dataset)
        return records_path(self.out, folder, grid.name, self.split)


@dataclass(frozen=True)
class Check:
    """Derive the committed tables and figures' points from the committed records."""

    results: Path = RESULTS
    """Folder of committed results."""

    def __call__(self) -> int:
        """Compares file by file; exit status 1 on any difference."""
        found = sorted((self.results / "records").glob("*/*.npz"))
        if not found:
            raise InputError(f"no records under {self.results / 'records'}")
        different = 0
        with tempfile.TemporaryDirectory() as scratch:
            for path in found:
                grid = choose(_grid_of(path.stem), GRIDS, "grid")
                _, written = report(grid, path, Path(scratch))
                for new in written:
                    if new.suffix not in (".csv", ".md"):
                        continue
                    name = new.relative_to(scratch)
                    old = self.results / name
                    same = old.is_file() and old.read_text() == new.read_text()
                    different += not same
                    print(f"{'same' if same else 'DIFFERENT'}  {name}")
        return FAILED if different else FINISHED


def _grid_of(stem: str) -> str:
    """The grid in a file's name, which may end in a split."""
    named = [name for name in GRIDS if stem == name or stem.startswith(f"{name}-")]
    return max(named, key=len, default=stem)
