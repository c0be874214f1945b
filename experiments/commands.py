"""The commands over grids: list and run. Each returns an exit status."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from experiments.collect import collect, file_name, place, records_path, report
from experiments.engine.display import beside_committed, display
from experiments.engine.local import cores, run_here, run_in_workers
from experiments.folders import writable
from experiments.grid import Grid, expand
from experiments.grids import GRIDS
from experiments.inputs import ratings_of
from experiments.plan import Run as PlannedRun
from experiments.plan import plan
from experiments.studies.curves import SIMULATED, simulate
from research.config import Config
from research.data import DATASETS
from research.events import SPLITS
from research.report.pages import read_table
from research.types import InputError, choose

__all__ = [
    "FAILED",
    "FINISHED",
    "RESULTS",
    "Check",
    "Report",
    "Run",
    "announce",
    "checked",
    "finish",
]

RESULTS = Path("results")
ENGINES = ("local", "ray")
AT_ONCE = 8  # on an accelerator; no accelerator was at hand to measure what is best
FAILED, FINISHED = 1, 0


@dataclass(frozen=True)
class Run:
    """Finish a grid: train what is missing, then write its tables and figures."""

    grid: tyro.conf.Positional[str]
    """Name of the grid (see list)."""
    dataset: str = "ml-100k"
    """Data set."""
    split: str = "ratio"
    """Split: ratio, last or time."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    seeds: int | None = None
    """Number of seeds; default: the grid's own."""
    arms: tuple[str, ...] = ()
    """Only these arms of the grid."""
    quick: bool = False
    """A smoke run: every arm, two epochs, few swept values, one seed."""
    out: Path = Path("out")
    """Output folder."""
    engine: str = "local"
    """What runs the runs: local (this machine's cores) or ray (a Ray cluster)."""
    ray_address: str | None = None
    """HOST:PORT of a running Ray cluster; default: one on this machine's cores."""
    jobs: int | None = None
    """Worker processes of one core each (default: one a core); 1 is in process."""
    at_once: int | None = None
    """Runs alike that one program trains (default: 1 on a CPU, else 8)."""

    def __call__(self) -> int:
        """Runs and reports."""
        grid = choose(self.grid, GRIDS, "grid")
        choose(self.engine, dict.fromkeys(ENGINES), "engine")
        if self.engine != "ray" and self.ray_address is not None:
            raise InputError("--ray-address needs --engine ray")
        if self.engine == "ray" and (grid.study or grid.runner):
            raise InputError(f"grid {grid.name} isn't made of runs: --engine local")
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}: it must be at least 1")
        if self.at_once is not None and self.at_once < 1:
            raise InputError(f"at_once is {self.at_once}: it must be at least 1")
        if (self.at_once or 1) > 1 and (self.engine == "ray" or (self.jobs or 1) > 1):
            raise InputError(
                f"at_once is {self.at_once}: it needs --engine local and --jobs 1"
            )
        choose(self.dataset, DATASETS, "data set")
        base = Config(dataset=self.dataset, split=self.split)
        out = checked(self.out)
        if grid.study is not None:
            records = grid.study.run(
                writable(out), self.dataset, self.data_dir, self.quick, print
            )
            print(f"wrote {records}, and its tables and figures")
            return FINISHED
        cells = expand(grid, base, self.seeds, self.arms, self.quick)
        if grid.runner is not None:
            path = records_path(writable(out), SIMULATED, grid.name, Config().split)
            _, written = report(grid, simulate(grid, cells, path, self.quick), out)
            print(*(f"wrote {name}" for name in written), sep="\n")
            return FINISHED
        cells, runs, total = plan(cells, grid.name, out, self.data_dir)
        writable(out)
        announce(grid.name, total, len(runs))
        if self.engine == "ray":
            failed = _finish_on_ray(runs, self.data_dir, self.ray_address)
        else:
            failed = finish(runs, self.data_dir, self.jobs, self.at_once)
        digest = ratings_of(self.dataset, self.data_dir).digest
        path, missing, ignored = collect(grid, cells, out, digest, self.quick)
        frame, written = report(grid, path, out)
        if ignored:
            print(f"{ignored} other runs in the grid's folder were ignored")
        print(*(f"wrote {name}" for name in written), sep="\n")
        self._compare(grid, frame)
        return FAILED if failed or missing else FINISHED

    def _compare(self, grid: Grid, frame: pd.DataFrame) -> None:
        name = f"{file_name(grid.name, self.split)}.csv"
        committed = RESULTS / "tables" / self.dataset / name
        if self.quick:
            print("a quick run: its numbers are no results, and aren't compared")
        elif committed.is_file() and self.out.resolve() != RESULTS.resolve():
            beside_committed(frame, read_table(committed))


def checked(out: Path) -> Path:
    """The folder, if something could be written there; nothing is written yet."""
    if out.exists() and not out.is_dir():
        raise InputError(f"output folder {out} is a file")
    return out


def announce(grid: str, runs: int, to_do: int) -> None:
    """Says how many runs there are, and how many of them are still to be done."""
    if to_do:
        print(f"{grid}: {runs} runs, {runs - to_do} finished already, {to_do} to do")
    else:
        print(f"{grid}: all {runs} runs are finished already, nothing to train")


def finish(
    runs: list[PlannedRun],
    data_dir: str | None,
    jobs: int | None,
    at_once: int | None = None,
) -> int:
    """Does the runs under a display; returns how many failed."""
    import jax

    workers = len(cores()) if jobs is None else jobs
    on_cpu = jax.default_backend() == "cpu"
    at_once = at_once or (1 if on_cpu else AT_ONCE)
    if at_once > 1 or not on_cpu:
        workers = 1
    with display(len(runs)) as shown:
        if workers == 1:
            run_here(runs, data_dir, shown.finished, shown.running, at_once)
        else:
            run_in_workers(runs, data_dir, shown.finished, shown.running, workers)
        return shown.failed


def _finish_on_ray(
    runs: list[PlannedRun], data_dir: str | None, address: str | None
) -> int:
    """Does the runs on a Ray cluster; returns how many failed."""
    from experiments.engine.ray import run_on_ray

    with display(len(runs)) as shown:
        if runs:
            run_on_ray(runs, data_dir, shown.finished, shown.running, address)
        return shown.failed


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
