"""The commands over grids: list and run. Each returns an exit status."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from rich.console import Console
from rich.table import Table

from experiments.collect import collect, report
from experiments.engine.display import beside_committed, display
from experiments.engine.local import cores, run_here, run_in_workers
from experiments.folders import file_name, records_path, writable
from experiments.grid import Grid, expand
from experiments.lookup import experiments, find, find_by_file
from experiments.plan import Task, plan
from experiments.runs import ratings_of
from experiments.studies import Study, StudyOptions
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
    "List",
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
class List:
    """Every grid and study: its question, its runs, its expected time."""

    def __call__(self) -> int:
        """Prints the table of grids and, without arms and runs, studies."""
        table = Table("grid", "question", "arms", "runs", "minutes on 2 cores")
        for name, one in experiments().items():
            sizes = ("-", "-")
            if isinstance(one, Grid):
                sizes = str(len(one.arms)), str(len(expand(one, Config())))
            table.add_row(name, one.question, *sizes, one.minutes)
        Console().print(table)
        return FINISHED


@dataclass(frozen=True)
class Run:
    """Finish a grid: train what is missing, then write its tables and figures.

    A study, which isn't made of training runs, is run from the beginning.
    """

    grid: tyro.conf.Positional[str]
    """Name of the grid or study (see list)."""
    dataset: str = "ml-100k"
    """Data set."""
    split: str = "ratio"
    """Split: ratio, last or time."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    seeds: int | None = None
    """Number of seeds; default: that of the grid or study."""
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
        chosen = find(self.grid)
        choose(self.engine, dict.fromkeys(ENGINES), "engine")
        if self.engine != "ray" and self.ray_address is not None:
            raise InputError("--ray-address needs --engine ray")
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}: it must be at least 1")
        if self.at_once is not None and self.at_once < 1:
            raise InputError(f"at_once is {self.at_once}: it must be at least 1")
        if (self.at_once or 1) > 1 and (self.engine == "ray" or (self.jobs or 1) > 1):
            raise InputError(
                f"at_once is {self.at_once}: it needs --engine local and --jobs 1"
            )
        choose(self.dataset, DATASETS, "data set")
        out = checked(self.out)
        if isinstance(chosen, Study):
            return self._run_study(chosen, out)
        return self._run_grid(chosen, out)

    def _run_study(self, study: Study, out: Path) -> int:
        if self.engine == "ray":
            raise InputError(f"study {study.name} isn't made of runs: --engine local")
        for flag, value in (("arms", self.arms), ("split", self.split)):
            if value != getattr(Run, flag):
                raise InputError(f"study {study.name} has no use for --{flag}")
        seeds = study.repetitions(self.seeds, self.quick)
        given = (writable(out), self.dataset, self.data_dir, seeds, self.quick, _say)
        records = study.run(StudyOptions(*given))
        written = study.report(records, out)
        print(*(f"wrote {name}" for name in (records, *written)), sep="\n")
        return FINISHED

    def _run_grid(self, grid: Grid, out: Path) -> int:
        base = Config(dataset=self.dataset, split=self.split)
        cells = expand(grid, base, self.seeds, self.arms, self.quick)
        cells, tasks, runs = plan(cells, grid.name, out, self.data_dir)
        writable(out)
        announce(grid.name, runs, len(tasks))
        if self.engine == "ray":
            failed = _finish_on_ray(tasks, self.data_dir, self.ray_address)
        else:
            failed = finish(tasks, self.data_dir, self.jobs, self.at_once)
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


def _say(line: str) -> None:
    print(line, flush=True)


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
    tasks: list[Task],
    data_dir: str | None,
    jobs: int | None,
    at_once: int | None = None,
) -> int:
    """Does the tasks under a display; returns how many failed."""
    import jax

    workers = len(cores()) if jobs is None else jobs
    on_cpu = jax.default_backend() == "cpu"
    at_once = at_once or (1 if on_cpu else AT_ONCE)
    if at_once > 1 or not on_cpu:
        workers = 1
    with display(len(tasks)) as shown:
        if workers == 1:
            run_here(tasks, data_dir, shown.finished, shown.running, at_once)
        else:
            run_in_workers(tasks, data_dir, shown.finished, shown.running, workers)
        return shown.failed


def _finish_on_ray(tasks: list[Task], data_dir: str | None, address: str | None) -> int:
    """Does the tasks on a Ray cluster; returns how many failed."""
    from experiments.engine.ray import run_on_ray

    with display(len(tasks)) as shown:
        if tasks:
            run_on_ray(tasks, data_dir, shown.finished, shown.running, address)
        return shown.failed


@dataclass(frozen=True)
class Report:
    """Tables and figures anew, from the records under the output folder."""

    grids: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of grids and studies; default: all that have records."""
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
        chosen = [find(name) for name in self.grids] or [
            one for one in experiments().values() if self._records(one).is_file()
        ]
        if not chosen:
            raise InputError(f"no records of any grid under {self.out / 'records'}")
        for one in chosen:
            written = _reported(one, self._records(one), self.out)
            print(*(f"wrote {path}" for path in written), sep="\n")
        return FINISHED

    def _records(self, one: Grid | Study) -> Path:
        return records_path(self.out, one.folder(self.dataset), one.name, self.split)


def _reported(one: Grid | Study, records: Path, out: Path) -> list[Path]:
    """Writes the tables and figures of a grid or a study; returns their paths."""
    if isinstance(one, Study):
        return one.report(records, out)
    return report(one, records, out)[1]


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
                one = find_by_file(path.stem)
                for new in _reported(one, path, Path(scratch)):
                    if new.suffix not in (".csv", ".md"):
                        continue
                    name = new.relative_to(scratch)
                    old = self.results / name
                    same = old.is_file() and old.read_text() == new.read_text()
                    different += not same
                    print(f"{'same' if same else 'DIFFERENT'}  {name}")
        return FAILED if different else FINISHED
