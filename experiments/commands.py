"""The commands run, report and check. Each returns an exit status.

Flags are read and refused without JAX, pandas or matplotlib; what needs them is in
experiments/finish.py and is imported when there is something to do.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.engine import EngineOptions
from experiments.folders import (
    FAILED,
    FINISHED,
    checked,
    file_name,
    records_path,
    writable,
)
from experiments.grid import Grid, expand
from experiments.lookup import experiments, find, find_by_file
from experiments.studies import Study, StudyOptions
from research.config import Config
from research.data import DATASETS
from research.events import SPLITS
from research.prepare import check_config
from research.types import InputError, choose

RESULTS = Path("results")


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
        self._engine().check()
        choose(self.dataset, DATASETS, "data set")
        out = checked(self.out)
        if isinstance(chosen, Study):
            status = self._run_study(chosen, out)
        else:
            status = self._run_grid(chosen, out)
        from experiments.explore import write_explorable

        write_explorable(out)
        return status

    def _engine(self) -> EngineOptions:
        return EngineOptions(self.engine, self.ray_address, self.jobs, self.at_once)

    def _run_study(self, study: Study, out: Path) -> int:
        if self.engine == "ray":
            raise InputError(f"study {study.name} isn't made of runs: --engine local")
        for flag, value in (("arms", self.arms), ("split", self.split)):
            if value != getattr(Run, flag):
                raise InputError(f"study {study.name} has no use for --{flag}")
        seeds = study.repetitions(self.seeds, self.quick)
        options = StudyOptions(
            writable(out), self.dataset, self.data_dir, seeds, self.quick, _say
        )
        records = study.run(options)
        written = study.report(records, out)
        print(*(f"wrote {name}" for name in (records, *written)), sep="\n")
        return FINISHED

    def _run_grid(self, grid: Grid, out: Path) -> int:
        base = Config(dataset=self.dataset, split=self.split)
        cells = expand(grid, base, self.seeds, self.arms, self.quick)
        for cell in cells:  # what needs no data is refused before any is read
            check_config(cell.config)
        from experiments.finish import finish_grid

        name = f"{file_name(grid.name, self.split)}.csv"
        committed: Path | None = RESULTS / "tables" / self.dataset / name
        if self.out.resolve() == RESULTS.resolve():
            committed = None
        given = (out, self.data_dir, self.quick, self._engine(), committed)
        complete = finish_grid(grid, cells, *given)
        return FINISHED if complete else FAILED


def _say(line: str) -> None:
    print(line, flush=True)


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
    html: bool = False
    """Instead, one page to explore in a browser: all records of every data set."""

    def __call__(self) -> int:
        """Writes them."""
        if self.html:
            return self._page()
        choose(self.dataset, DATASETS, "data set")
        SPLITS.choose(self.split)
        chosen = [find(name) for name in self.grids] or [
            one for one in experiments().values() if self._records(one).is_file()
        ]
        if not chosen:
            raise InputError(f"no records of any grid under {self.out / 'records'}")
        for one in chosen:
            written = _reported(one, self._records(one), self.out)
            print(*(f"wrote {path}" for path in written), sep="\n")
        return FINISHED

    def _page(self) -> int:
        for name in self.grids:
            find(name)
        from experiments.explore import write_explorable

        return FINISHED if write_explorable(self.out, self.grids) else FAILED

    def _records(self, one: Grid | Study) -> Path:
        return records_path(self.out, one.folder(self.dataset), one.name, self.split)


def _reported(one: Grid | Study, records: Path, out: Path) -> list[Path]:
    """Writes the tables and figures of a grid or a study; returns their paths."""
    if isinstance(one, Study):
        return one.report(records, out)
    from experiments.collect import report

    return report(one, records, out)[1]


@dataclass(frozen=True)
class Check:
    """Derive the committed tables and figures' points from the committed records."""

    results: Path = RESULTS
    """Folder of committed results."""

    def __call__(self) -> int:
        """Compares file by file; exit status 1 on any difference."""
        records = sorted((self.results / "records").glob("*/*.npz"))
        if not records:
            raise InputError(f"no records under {self.results / 'records'}")
        different = 0
        with tempfile.TemporaryDirectory() as scratch:
            for path in records:
                for new in _reported(find_by_file(path.stem), path, Path(scratch)):
                    if new.suffix not in (".csv", ".md"):
                        continue
                    name = new.relative_to(scratch)
                    old = self.results / name
                    same = old.is_file() and old.read_text() == new.read_text()
                    different += not same
                    print(f"{'same' if same else 'DIFFERENT'}  {name}")
        return FAILED if different else FINISHED
