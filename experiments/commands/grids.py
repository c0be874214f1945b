"""The commands run and report. Each returns an exit status.

Flags are read and refused without JAX, pandas or matplotlib; what needs them is in
experiments/finish.py and is imported when there is something to do.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.arms import ARMS
from experiments.commands.flags import (
    DATA_FIELDS,
    NO_DATA_FLAGS,
    DataFlags,
    data_values,
    data_words,
    run_command,
)
from experiments.engine import EngineOptions
from experiments.grid import Grid, Tuning
from experiments.grids.ssb import QUESTIONS
from experiments.loaded import AUTO, chosen_split
from experiments.lookup import experiments, find
from experiments.output.folders import (
    FAILED,
    FINISHED,
    checked,
    file_name,
    output,
    records_near,
    records_path,
    writable,
)
from experiments.output.locks import alone
from experiments.resolve import Cell, Key, changes_on, key_of, resolve
from experiments.study import SIMULATED, Study, StudyOptions, report_study
from research.compiler import compute_where_called
from research.config import Config
from research.data import check_dataset, is_own, name_of
from research.entries import read
from research.files import read_json
from research.notices import say
from research.registry import entry_name
from research.splits import SPLITS
from research.types import InputError, check_distinct, choose

if TYPE_CHECKING:
    from experiments.output.plan import Run as PlannedRun
    from experiments.tuner import Choice

RESULTS = Path("results")
WRITTEN = ("columns", "core", "split")
OF_GRIDS = ("tune", "epochs", "fixed_epochs", "set", "reference")  # flags
CLAIMS = "claims"  # the page that experiments/pages/claims.py writes, for report


@dataclass(frozen=True)
class Run:
    """Train the runs of a grid that are missing, then write its tables and figures.

    A study, which is not made of such runs, is run from the beginning.
    """

    grid: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="GRID")]
    """Name of the grid or study (see list)."""
    dataset: str = "ml-100k"
    """Data set: a name, or the path of your own file or folder (docs/own-data.md)."""
    split: str = AUTO
    """Split: ratio, last, time, random, given or auto (docs/own-data.md)."""
    data: tyro.conf.OmitArgPrefixes[DataFlags] = NO_DATA_FLAGS  # type: ignore[valid-type]
    """What of the data is used, and how it is split."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    seeds: int | None = None
    """Number of seeds; default: that of the grid or study."""
    arms: tuple[str, ...] = ()
    """Only these arms of the grid or study."""
    tune: int | None = None
    """Trials of each arm on validation (docs/own-data.md); default: committed choices
    where there are any, else one trial, which chooses length and prior alone."""
    epochs: int | None = None
    """Most epochs; validation chooses among them where the grid goes by validation."""
    fixed_epochs: bool = False
    """Train all epochs, choosing nothing on validation."""
    set: tuple[str, ...] = ()
    """Fields of the config for every run, as NAME=VALUE: batch=1024."""
    reference: str = ""
    """Arm that differences are taken from; default: that of the grid."""
    quick: bool = False
    """A smoke run: every arm, two epochs, few swept values, one seed."""
    out: Path = Path("out")
    """Output folder; a smoke run writes into its folder quick."""
    engine: str = "local"
    """Where runs are trained: local (this machine's cores) or ray (a Ray cluster)."""
    ray_address: str | None = None
    """HOST:PORT of a running Ray cluster; default: one on this machine's cores."""
    jobs: int | None = None
    """Worker processes (default: one per core); with 1, runs are in this process."""
    at_once: int | None = None
    """Runs of one shape that are trained together (default: 1 on a CPU, else 8)."""
    show: bool = False
    """Print what the runs would be: config, shapes, sizes, time. Nothing is trained."""

    def __call__(self) -> int:
        """Runs and reports."""
        chosen = find(self.grid)
        self._engine().check()
        check_dataset(self.dataset)
        out = checked(output(self.out, self.quick))
        if isinstance(chosen, Study):
            status = self._run_study(chosen, out)
        else:
            status = self._run_grid(chosen, out)
        if not self.show:
            from experiments.pages.explore import write_explorable

            with alone(out):
                write_explorable(out)
        return status

    def _engine(self) -> EngineOptions:
        return EngineOptions(self.engine, self.ray_address, self.jobs, self.at_once)

    def _run_study(self, study: Study, out: Path) -> int:
        if self.engine == "ray":
            raise InputError(f"study {study.name} isn't made of runs: --engine local")
        study.check_arms(self.arms)
        self._check_flags(study)
        seeds = study.repetitions(self.seeds, self.quick)
        options = StudyOptions(
            writable(out),
            self.dataset,
            self.data_dir,
            seeds,
            self.quick,
            partial(print, flush=True),
            self.jobs,
            self.arms,
        )
        compute_where_called()
        records = study.run(options)
        written = report_study(study, records, out)
        print(*(f"wrote {name}" for name in (records, *written)), sep="\n")
        return FINISHED

    def _check_flags(self, study: Study) -> None:
        """Refuses flags that a study would ignore.

        Raises:
          InputError: naming the first.
        """
        simulated = study.place == SIMULATED
        unused = ["at_once", "show", "split", *OF_GRIDS, *data_values(self.data)]
        unused += ["dataset", "data_dir"] if simulated else []
        for flag in self._given(*unused):
            name, about = flag.replace("_", "-"), ""
            if simulated and flag not in ("at_once", "show"):
                about = ": it simulates its data"
            elif flag in WRITTEN:
                about = (
                    f": python -m experiments data DATASET --{name} ... --write parts "
                    "DIR writes the positives so, for --dataset DIR"
                )
            raise InputError(f"study {study.name} has no use for --{name}{about}")

    def _given(self, *flags: str) -> list[str]:
        """Those of these flags that aren't at their default."""
        values = {**vars(self), **data_values(self.data)}
        usual = {**data_values(NO_DATA_FLAGS), **vars(Run)}
        return [flag for flag in flags if values[flag] != usual[flag]]

    def _run_grid(self, grid: Grid, out: Path) -> int:
        usual, grid = grid.reference, self._changed(grid)
        own = changes_on(grid, self.dataset)
        for flag in self._given("split", *data_values(self.data)):
            if flag in own:
                name, value = flag.replace("_", "-"), own[flag]
                raise InputError(
                    f"grid {grid.name} has no use for --{name}: its own is {value}"
                )
        columns = data_values(self.data)["columns"]
        split = own.get("split", self.split)
        if split == AUTO and is_own(self.dataset):
            # Refused before any data is read.
            self._cells(grid, Config(dataset=self.dataset))
        split = chosen_split(split, self.dataset, self.data_dir, columns)
        base = Config(dataset=self.dataset, split=split, **data_values(self.data))
        cells = self._cells(grid, base)
        if grid.reference not in (usual, self.reference):
            print(f"without {usual}, differences are from {grid.reference}")
        choices: dict[Key, Choice] = {}
        if grid.tuning and not (self.quick or self.fixed_epochs):
            choices = self._choices(grid, cells, out)
            chosen = {key: choice.changes for key, choice in choices.items()}
            cells = resolve(grid, base, self.seeds, self.arms, False, chosen)
        if self.show:
            from experiments.commands.show import show

            return show(cells, grid.name, out, self.data_dir)
        from experiments.finish import finish_grid

        name = f"{file_name(grid.name, cells[0].config.split)}.csv"
        committed: Path | None = RESULTS / "tables" / name_of(self.dataset) / name
        if self.data != NO_DATA_FLAGS or out.resolve() == RESULTS.resolve():
            committed = None
        complete = finish_grid(
            grid,
            base,
            cells,
            out,
            self.data_dir,
            self.quick,
            self._engine(),
            committed,
            choices,
        )
        return FINISHED if complete else FAILED

    def _changed(self, grid: Grid) -> Grid:
        """The grid as the flags change it."""
        changes = dict(parsed(word) for word in self.set)
        if self.epochs is not None:
            changes["epochs"] = self.epochs
        for name in (arm for arm in self.arms or grid.arms if arm in ARMS):
            for field in changes.keys() & ARMS[name].keys():
                flag = "--epochs" if field == "epochs" else f"--set {field}"
                raise InputError(f"{flag}: arm {name} has its own value of {field}")
        if self.tune is not None:
            if self.tune < 1:
                raise InputError(f"tune is {self.tune}: it must be at least 1")
            if self.quick or self.fixed_epochs:
                raise InputError("--tune chooses epochs: not with a fixed number")
            grid = grid.but(tuning=grid.tuning or Tuning())
        reference = self.reference or grid.reference
        choose(reference, dict.fromkeys(grid.arms), f"arm of grid {grid.name}")
        if self.arms and reference not in self.arms and self.reference:
            raise InputError(f"reference {reference} is not among --arms")
        if len(self.arms) > 1 and reference not in self.arms:
            reference = next((arm for arm in self.arms if arm in grid.arms), reference)
        return grid.but(changes={**grid.changes, **changes}, reference=reference)

    def _choices(self, grid: Grid, cells: list[Cell], out: Path) -> "dict[Key, Choice]":
        """What validation chose for each arm: found in a file, or by trials now.

        To show runs there are no trials.
        """
        from experiments.finish import do_runs
        from experiments.tuner import TOWERS, choose, known, notes

        chosen = {"prior", *(TOWERS if self.tune else ())}
        for name in (name for name, _ in map(parsed, self.set) if name in chosen):
            raise InputError(f"--set {name}: validation chooses it (--fixed-epochs)")

        def do(runs: "list[PlannedRun]") -> dict[str, str]:
            return do_runs(runs, self.data_dir, self._engine())

        choices: dict[Key, Choice] = {}
        if self.tune is None:
            choices = known(grid, cells, out, self.data_dir)
        left = [cell for cell in cells if key_of(cell) not in choices]
        if left and not self.show:
            if self.tune is None:
                say(
                    f"{grid.name}: not tuned on {name_of(self.dataset)}: validation "
                    "chooses length and prior alone; --tune 8 tries other values, too"
                )
            writable(out)
            choices |= choose(grid, left, self.tune or 1, out, self.data_dir, do)
        for line in notes(choices, cells):
            say(line)
        return choices

    def _cells(self, grid: Grid, base: Config) -> list[Cell]:
        return resolve(grid, base, self.seeds, self.arms, self.quick)


def parsed(word: str) -> tuple[str, Any]:
    """A field of the config and its value, from NAME=VALUE.

    Raises:
      InputError: no such field, one with a flag of its own, or a value of another type.

    >>> parsed("batch=1024"), parsed("negatives=in-batch,extra:8,mix=0.5,alpha=0")
    (('batch', 1024), ('negatives', ('in-batch', 'extra:8,mix=0.5,alpha=0')))
    """
    name, equals, text = word.partition("=")
    usual = choose(name, vars(Config()), "field to set")
    if not equals:
        raise InputError(f"--set {word}: expected NAME=VALUE")
    if name in ("dataset", "split", "seed", *DATA_FIELDS):
        raise InputError(f"--set {name}: it has a flag of its own")
    if isinstance(usual, bool):
        return name, choose(text, {"True": True, "False": False}, f"value of {name}")
    try:
        if usual is None or isinstance(usual, tuple):
            # a comma parts entries, unless a value of the last one follows
            parts = tuple(filter(None, re.split(r",(?![\w-]+=)", text)))
            return name, tuple(map(int, parts)) if name.endswith("hidden") else parts
        return name, type(usual)(text)
    except ValueError:
        kind = "number" if isinstance(usual, float) else "whole number"
        raise InputError(f"--set {word}: {name} is a {kind}") from None


@dataclass(frozen=True)
class Report:
    """Write tables and figures anew, from the records under the output folder."""

    grids: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="GRID")
    ] = ()
    """Names of grids and studies, or claims; default: all that have records."""
    dataset: str = "ml-100k"
    """Data set, or its name in the output folder."""
    split: str = AUTO
    """Split; auto is ratio, or another one that there are records of."""
    out: Path = Path("out")
    """Output folder."""
    html: bool = False
    """Write one page of all records and data sets instead, to explore in a browser."""
    x: str = ""
    """Draw one figure of the tables instead: metric along the horizontal axis."""
    y: str = ""
    """Metric along the figure's vertical axis."""
    where: str = ""
    """Rows of the figure, such as: arm in ("mixed", "ease") and temperature < 0.3."""
    this_code: bool = False
    """Leave out the arms whose runs other code made."""

    def __call__(self) -> int:
        """Writes them."""
        check_distinct(self.grids, "report")
        if self.html:
            return self._page()
        self._check_records()
        if self.split != AUTO:
            read(self.split, SPLITS)
        if self.x or self.y or self.where:
            return self._picture()
        chosen = [find(name) for name in self.grids if name != CLAIMS] or [
            one for one in experiments().values() if self._records(one)[0].is_file()
        ]
        if self.grids == (CLAIMS,):
            chosen = []
        elif not chosen:
            raise InputError(f"no records of any grid under {self.out / 'records'}")
        from experiments.pages.claims import write_claims
        from experiments.pages.overview import write_overview
        from experiments.pages.questions import write_questions

        refused: list[InputError] = []
        for one in chosen:
            try:
                self._look(one)
                with alone(self.out):
                    written = [
                        path
                        for records in self._records(one)
                        for path in reported(one, records, self.out, self._old(records))
                    ]
            except InputError as error:  # the others are reported all the same
                refused.append(error)
                continue
            print(*(f"wrote {path}" for path in written), sep="\n")
        for one_refused in refused[:-1]:
            say(f"error: {one_refused}")
        if not refused or len(refused) < len(chosen):
            with alone(self.out):
                written = []
                if find(QUESTIONS.name) in chosen:
                    written += write_questions(self.out, self.out)
                if CLAIMS in self.grids:
                    written += write_claims(self.out / "tables", self.out)
                written.append(write_overview(self.out / "records", self.out))
            print(*(f"wrote {path}" for path in written), sep="\n")
        if refused:
            raise refused[-1]
        return FINISHED

    def _check_records(self) -> None:
        """Refuses an unknown data set, unless it has records.

        Raises:
          InputError: it is unknown, or its only records are those of a smoke run.
        """
        name, quick = name_of(self.dataset), output(self.out, quick=True)
        if any((self.out / kind / name).is_dir() for kind in ("records", "runs")):
            return
        if (quick / "records" / name).is_dir():
            raise InputError(
                f"no records of {name} under {self.out}, but of a smoke run: "
                f"--out {quick}"
            )
        try:
            check_dataset(self.dataset)
        except InputError as error:
            reason = f"no records of {name} under {self.out}, and {error}"
            raise InputError(reason) from None

    def _old(self, records: Path) -> list[str]:
        """Says which arms of the records other code made; those to leave out."""
        from experiments.output.code import of_other_code
        from research.report.records import read_header

        arms = of_other_code(read_header(records))
        if arms:
            rest = "left out" if self.this_code else "--this-code leaves them out"
            say(f"{records}: made by other code: {', '.join(arms)} ({rest})")
        return arms if self.this_code else []

    def _look(self, one: Grid | Study) -> None:
        """Says which command gathers the runs that the records lack.

        Raises:
          InputError: there are runs, but no records.
        """
        files = self._records(one)
        missing = not files[0].is_file()
        runs = self.out / "runs" / files[0].parent.name / one.name
        runs_at = {path: path.stat().st_mtime for path in runs.glob("*/metrics.json")}
        if missing and self.split != AUTO:
            split = entry_name(self.split)
            runs_at = {
                path: at
                for path, at in runs_at.items()
                if entry_name(_config_of(path)["split"]) == split
            }
        if missing and not runs_at:
            raise InputError(f"no {files[0]}{records_near(files[0])}")
        if not runs_at:
            return
        last = max(runs_at, key=lambda path: runs_at[path])
        command = self._gathers(one, _config_of(last))
        if missing:
            raise InputError(f"no {files[0]}, but runs: {command} gathers them")
        newest = max(files, key=lambda path: path.is_file() and path.stat().st_mtime)
        if runs_at[last] > newest.stat().st_mtime:
            say(f"{newest} is older than some runs: {command} gathers them")

    def _gathers(self, one: Grid | Study, config: Mapping[str, Any]) -> str:
        """The command that finishes a grid, from the config of one of its runs."""
        words = []
        if isinstance(one, Grid):
            words = data_words(config, split="split" not in one.changes)
        return run_command(one.name, config["dataset"], words, self.out)

    def _picture(self) -> int:
        if not (self.x and self.y):
            raise InputError(
                "--where, --x and --y: a figure needs a metric on each axis"
            )
        from experiments.pages.picture import draw_picture

        names = [self._records(find(name))[0].stem for name in self.grids]
        folder = name_of(self.dataset)
        written = draw_picture(self.out, folder, names, self.where, self.x, self.y)
        print(*(f"wrote {path}" for path in written), sep="\n")
        return FINISHED

    def _page(self) -> int:
        if self.x or self.y or self.where:
            raise InputError("--x, --y and --where draw a figure: not with --html")
        if (self.dataset, self.split) != (Report.dataset, Report.split):
            raise InputError("--html is of every data set and split: not with one")
        for name in self.grids:
            find(name)
        from experiments.pages.explore import write_explorable

        with alone(self.out):
            return FINISHED if write_explorable(self.out, self.grids) else FAILED

    def _records(self, one: Grid | Study) -> list[Path]:
        """The files of its records, of every split; if none, where one would be."""
        folder = one.folder(name_of(self.dataset))
        splits = (Config.split, *SPLITS) if self.split == AUTO else (self.split,)
        paths = [records_path(self.out, folder, one.name, split) for split in splits]
        return [path for path in dict.fromkeys(paths) if path.is_file()] or paths[:1]


def _config_of(metrics: Path) -> dict[str, Any]:
    """The config of the run whose metrics these are."""
    path = metrics.with_name("config.json")
    config = read_json(path)
    if not {"dataset", "split"} <= config.keys():
        raise InputError(f"{path}: not the config of a run")
    return config


def reported(
    one: Grid | Study, records: Path, out: Path, without: Collection[str] = ()
) -> list[Path]:
    """Writes the tables and figures of a grid or a study; returns their paths.

    Arms of ``without`` are left out of a grid's.

    Raises:
      InputError: the records are damaged, or nothing of them is left.
    """
    if isinstance(one, Study):
        if one.name in without:
            raise InputError(f"{records}: other code made all of them")
        return report_study(one, records, out)
    from experiments.collect import report

    return report(one, records, out, without)[1]
