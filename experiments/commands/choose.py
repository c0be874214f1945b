"""The command choose: which model to train on one's own data, and that model saved."""

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.commands.flags import (
    NO_DATA_FLAGS,
    DataFlags,
    data_values,
    data_words,
)
from experiments.commands.train import is_saved, saving_run
from experiments.engine import EngineOptions
from experiments.grid import Grid
from experiments.grids.choose import CHOOSE, SIMPLE
from experiments.loaded import AUTO, chosen_split, digest_of, fold_of, prepared_run
from experiments.output.folders import FAILED, FINISHED, checked, records_path, writable
from experiments.output.locks import alone
from experiments.output.plan import Run, locate
from experiments.resolve import Cell, Key, key_of, resolve
from research.config import Config
from research.contrast import Contrast
from research.data import check_dataset, name_of
from research.evaluate.metrics import CUTOFF
from research.notices import say
from research.types import InputError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.tuner import Choice

FIRST, MOST = 4, 32  # trials in the second round, and at most
LEADERS = 3  # trained arms that are fitted for the answer
SHARE = 0.6  # of the time for trials; the rest is for the models of the answer
STEPS = 4  # batches that an epoch has at least


@dataclass(frozen=True)
class Choose:
    """Answer which model to train on your data, and with which values; save it.

    Trials on validation by successive halving within the time given; the leaders are
    then trained with several seeds and compared on test. Interrupted, it goes on.
    """

    dataset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """Your own file or folder (docs/own-data.md), or the name of a data set."""
    minutes: float = 20.0
    """About how long it may take; one trial of each model is run in any case."""
    seeds: int = 3
    """Seeds of the models that are compared in the answer."""
    split: str = AUTO
    """Split: ratio, last, time, random, given or auto (docs/own-data.md)."""
    data: tyro.conf.OmitArgPrefixes[DataFlags] = NO_DATA_FLAGS  # type: ignore[valid-type]
    """What of the data is used, and how it is split."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    jobs: int | None = None
    """Worker processes (default: one per core)."""
    out: Path = Path("out")
    """Output folder."""

    def __call__(self) -> int:
        """Chooses, compares, saves and answers."""
        if not self.minutes > 0:
            raise InputError(f"minutes is {self.minutes:g}: it must be above 0")
        EngineOptions(jobs=self.jobs).check()
        check_dataset(self.dataset)
        out = checked(self.out)
        columns = data_values(self.data)["columns"]
        split = chosen_split(self.split, self.dataset, self.data_dir, columns)
        base = Config(dataset=self.dataset, split=split, **data_values(self.data))
        grid = self._sized(base)
        cells = self._fitting(resolve(grid, base, 1))
        writable(out)
        choices = self._screened(grid, cells, out)
        trained, simple = _by_quality(choices)
        best = (trained or simple)[0]
        grid = grid.but(reference=best)
        asked = (*trained[:LEADERS], *simple[:1])
        chosen = {key: choice.changes for key, choice in choices.items()}
        finals = resolve(grid, base, self.seeds, asked, False, chosen)
        model = out / "models" / name_of(self.dataset)
        cell = next(cell for cell in finals if cell.arm == best)
        # first, so that the grid finds this run finished
        saved = bool(trained) and self._save(cell, out, model)
        from experiments.finish import finish_grid

        engine = EngineOptions(jobs=self.jobs)
        complete = finish_grid(
            grid, base, finals, out, self.data_dir, False, engine, None, choices
        )
        records = records_path(out, name_of(self.dataset), grid.name, split)
        frame = _contrasts(records, best, [arm for arm in asked if arm != best])
        from experiments.pages.explore import write_explorable

        with alone(out):
            write_explorable(out)
        rivals = simple[:1] if trained else []
        print(*_answer(cell, choices, frame, rivals), sep="\n")
        if saved:
            print(f"model      {model}")
        print(f"again      {_train_command(cell, model, out)}")
        return FINISHED if complete and (saved or not trained) else FAILED

    def _sized(self, base: Config) -> Grid:
        """The arms, with a batch of which small data fill several."""
        pairs = len(fold_of(base, self.data_dir).fitted.item)
        batch = base.batch
        while batch > 1 and batch * STEPS > pairs:
            batch //= 2
        if batch == base.batch:
            return CHOOSE
        say(f"choose: batch {batch}, as there are {pairs} training positives")
        return CHOOSE.but(changes={**CHOOSE.changes, "batch": batch})

    def _fitting(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that can be run on these data; why others can't is said.

        Raises:
          InputError: none can.
        """
        fold_of(cells[0].config, self.data_dir)  # what is wrong with the data is raised
        kept, reasons = [], []
        for cell in cells:
            try:
                prepared_run(cell.config, self.data_dir)
            except InputError as error:
                reasons.append(error)
                say(f"{cell.arm} left out: {error}")
            else:
                kept.append(cell)
        if not kept:
            raise reasons[0]
        return kept

    def _screened(
        self, grid: Grid, cells: list[Cell], out: Path
    ) -> "dict[Key, Choice]":
        """What validation chose, the better half with more trials while time is left.

        Time is that of the runs as measured, not of the clock, so that an interrupted
        command decides as an undisturbed one would. Where there is too little for a
        second round, a line says how much is needed.
        """
        from experiments.finish import do_runs
        from experiments.tuner import MORE_TRIALS, choose
        from research.compiler import cores

        engine = EngineOptions(jobs=self.jobs)
        workers = self.jobs or len(cores())

        def do(runs: "list[Run]") -> dict[str, str]:
            return do_runs(runs, self.data_dir, engine)

        choices = choose(grid, cells, 1, out, self.data_dir, do)
        a_minute = 60 * SHARE * workers  # seconds of trials in a minute of the answer
        left = self.minutes * a_minute
        left -= sum(choice.seconds for choice in choices.values())
        trials, kept = 1, [cell.arm for cell in cells]
        while True:
            more = FIRST if trials == 1 else 2 * trials
            found = {key: one for key, one in choices.items() if key[0] in kept}
            trained, simple = _by_quality(found)
            kept = [*trained[: _half(trained, 2)], *simple[: _half(simple, 2)]]
            seconds = sum(choices[arm, "{}"].seconds for arm in kept)
            left -= seconds * (more - trials + (MORE_TRIALS if trials == 1 else 0))
            if left < 0 and trials == 1:
                needed = math.ceil(self.minutes - left / a_minute)
                say(
                    f"choose: each model has one trial; {more} trials of the better "
                    f"half need --minutes {needed}"
                )
            if left < 0 or more > MOST:
                return choices
            again = [cell for cell in cells if cell.arm in kept]
            choices |= choose(grid, again, more, out, self.data_dir, do)
            trials = more

    def _save(self, cell: Cell, out: Path, folder: Path) -> bool:
        """Trains and saves a cell's model; False where that failed."""
        from experiments.finish import finish

        config = prepared_run(cell.config, self.data_dir).config
        cell = cell._replace(config=config)
        where = locate(cell, "choose", out, digest_of(config, self.data_dir))[1]
        if is_saved(cell, where, folder):
            return True
        return not finish([saving_run(cell, where, folder)], self.data_dir, jobs=1)


def _half(arms: Sequence[str], least: int) -> int:
    return max(least, (len(arms) + 1) // 2)


def _by_quality(choices: "Mapping[Key, Choice]") -> tuple[list[str], list[str]]:
    """Trained arms and simple models, each by NDCG@20 on validation, best first."""
    arms = sorted(choices, key=lambda key: choices[key].ndcg, reverse=True)
    simple = [arm for arm, _ in arms if arm in SIMPLE]
    return [arm for arm, _ in arms if arm not in SIMPLE], simple


def _contrasts(records: Path, best: str, others: Sequence[str]) -> "pd.DataFrame":
    """The best arm against each other one in NDCG@20 on test."""
    from research.report.contrasts import contrast_frame
    from research.report.records import load_records

    pairs = tuple(Contrast(best, other, "ndcg", CUTOFF) for other in others)
    return contrast_frame(load_records(records), pairs)


def _answer(
    cell: Cell,
    choices: "Mapping[Key, Choice]",
    frame: "pd.DataFrame",
    rivals: Sequence[str],
) -> list[str]:
    """The answer on one screen."""
    rows = {row["against"]: row for row in frame.to_dict("records")}
    verdicts = {arm: str(row["verdict"]) for arm, row in rows.items()}
    choice = choices[key_of(cell)]
    lines = ["", f"train      {cell.arm}: {_values(cell.config)}"]
    for rival in rivals:
        if verdicts.get(rival) == "worse":
            lines[1] = f"use        {rival}: a simple model wins on these data"
            lines.append(f"           best towers: {cell.arm}, {_values(cell.config)}")
        elif verdicts.get(rival) != "better":
            lines.append(f"           no difference shown to {rival}, which is simpler")
    lines.append(
        f"           NDCG@{CUTOFF} on validation {choice.ndcg:.4f}; trials: "
        f"{choice.trials}; seeds of the chosen one: {choice.seeds}"
    )
    if choice.changes.get("epochs") == choice.most_epochs:
        lines.append("           the last epoch tried was the best: more may be better")
    words = {"better": "it is better", "worse": "it is worse"}
    for arm, row in rows.items():
        said = words.get(verdicts[arm], "no difference shown")
        if verdicts[arm] == "equivalent":
            said = "within 2 %"
        lines.append(
            f"against    {arm}: {row['difference']:+.4f} "
            f"[{row['low']:+.4f}, {row['high']:+.4f}] NDCG@{CUTOFF} on test, {said}"
            f"; a trial takes {choices[arm, '{}'].seconds:.0f} s, its own "
            f"{choice.seconds:.0f} s"
        )
    return lines


def _values(config: Config) -> str:
    """What is to be set, in words."""
    if "," in config.model:
        return " ".join(config.model.split(",")[1:])
    return (
        f"temperature {config.temperature:g}, learning rate {config.learning_rate:g}, "
        f"{config.epochs} epochs, prior {config.prior:g}"
    )


def _train_command(cell: Cell, model: Path, out: Path) -> str:
    """The command that trains the chosen model again and saves it."""
    config, words = cell.config, ["--dataset", cell.config.dataset]
    words += data_words(dataclasses.asdict(config))
    given = {f.name: getattr(config, f.name) for f in dataclasses.fields(Config)}
    usual: dict[str, Any] = vars(Config())
    apart = {"dataset", "split", *data_values(NO_DATA_FLAGS)}
    for name, value in given.items():
        if (value != usual[name] or name == "epochs") and name not in apart:
            words.append(f"--{name.replace('_', '-')}")
            several = isinstance(value, tuple)
            words += map(str, value if several else [value])
    if config.model == usual["model"]:
        words += ["--save", str(model)]
    command = ["train", *words, "--out", str(out)]
    return f"python -m experiments {shlex.join(command)}"
