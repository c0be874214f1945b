"""Chooses the values of each arm on validation: length and prior, and more by trials.

Every arm of a grid has the same number of trials on the training part: its own values,
then Sobol points, the same ones for every arm. Each is looked at after every epoch with
several popularity priors (experiments/looks.py), so one training tries all lengths and
priors. The best three trials are run with two more seeds, and the mean of NDCG@20
decides. A baseline has as many trials over its own options. With a single trial an arm
keeps its values, and validation chooses length and prior alone.

What was tried and chosen lies in ``choices/DATASET/GRID.csv`` of the output folder, one
row per trial and seed. Committed choices are in results/choices; of older ones, made by
grids of trials, the values alone are left, and how many trials there were.
"""

import csv
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.grid import Grid
from experiments.loaded import LENT, digest_of, ratings_of
from experiments.looks import NDCG, PRIORS, column_of
from experiments.output.folders import file_name, id_of, run_id, serving_folder
from experiments.output.plan import Run, is_seeded, locate, plan
from experiments.output.seals import read_metrics, why_unfinished
from experiments.resolve import Cell, Key, key_of
from research.config import Config
from research.contrast import cell_name
from research.data import name_of
from research.entries import read
from research.evaluate.metrics import CUTOFF
from research.files import read_json, write_csv
from research.notices import say
from research.prepare import is_towers
from research.registry import entry_name
from research.splits import SPLITS, VALIDATION
from research.train.run_state import NOT_FINITE
from research.types import InputError

if TYPE_CHECKING:
    from research.report.records import RunResult

PATIENCE = 4  # looks without a better one after which a trial ends
LEADERS, MORE_SEEDS = 3, (1, 2)  # trials that are run again, and with which seeds
MORE_TRIALS = LEADERS * len(MORE_SEEDS)


class Values(NamedTuple):
    """A range of values to try: log-uniform, or uniform where ``low`` is 0."""

    low: float
    high: float
    whole: bool = False

    def at(self, share: float) -> float:
        """The value at a share in [0, 1) of the range.

        >>> Values(0.01, 1.0).at(0.5), Values(0.0, 0.8).at(0.5)
        (0.1, 0.4)
        """
        if self.low > 0:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.high * share
        return float(round(value)) if self.whole else float(f"{value:.4g}")

    def near_end(self, value: float) -> bool:
        """Whether a value lies in the outer twentieths of the range."""
        return value <= self.at(0.05) or value >= self.at(0.95)


# Fields of the towers, in the order of the dimensions of the Sobol points.
TOWERS: dict[str, Values] = {
    "temperature": Values(0.03, 0.6),
    "learning_rate": Values(3e-4, 3e-2),
    "weight_decay": Values(1e-6, 1e-2),
    "dropout": Values(0.0, 0.6),
    "click_dropout": Values(0.0, 0.8),
}
# Options of the baselines that have some worth choosing.
OPTIONS: dict[str, dict[str, Values]] = {
    "recent-popularity": {"days": Values(7, 365, whole=True)},
    "item-knn": {
        "neighbours": Values(5, 500, whole=True),
        "shrink": Values(0, 100, whole=True),
    },
    "ease": {"l2": Values(10, 1e4)},
    "slim": {"l1": Values(0.1, 10), "l2": Values(1, 300)},
    "ials": {
        "factors": Values(32, 256, whole=True),
        "regularization": Values(1, 100),
        "alpha": Values(0.5, 20),
    },
    "bpr-mf": {
        "factors": Values(32, 128, whole=True),
        "regularization": Values(3e-3, 0.3),
        "prior": Values(0, 1.5),
        "iterations": Values(100, 400, whole=True),
    },
    "item2vec": {
        "epochs": Values(5, 60, whole=True),
        "power": Values(0.5, 1.25),
        "prior": Values(0, 1.5),
    },
    "fm": {
        "epochs": Values(5, 60, whole=True),
        "learning_rate": Values(5e-4, 5e-3),
        "l2": Values(1e-4, 1e-2),
    },
}
COMMITTED = Path("results")
BY_LOOKS = ("epochs", "prior")  # chosen without trials


class Trial(NamedTuple):
    """Values of one row of a grid, judged on validation with one seed.

    ndcg holds NDCG@20 by epoch and prior [e, p], [1, 1] for a baseline; NaN where
    training failed.
    """

    key: Key
    number: int
    values: Mapping[str, float]
    cell: Cell
    ndcg: np.ndarray = np.full((1, 1), np.nan)
    seconds: float = 0.0


class Choice(NamedTuple):
    """The fields that validation chose for a row of a grid, and from how much.

    curve holds NDCG@20 on validation by epoch, of the chosen trial at its prior.
    """

    changes: dict[str, Any]
    ndcg: float
    number: int
    trials: int
    seeds: int
    seconds: float
    most_epochs: int
    curve: tuple[float, ...] = ()


Do = Callable[[list[Run]], Mapping[str, str]]  # does runs; why some failed, by id
Tried = dict[Key, dict[int, list[Trial]]]  # by number, a trial per seed


def choose(
    grid: Grid,
    cells: Sequence[Cell],
    trials: int,
    out: Path,
    data_dir: str | None,
    do: Do,
) -> dict[Key, Choice]:
    """Runs the trials that are missing, chooses, and writes the file of choices.

    An arm whose trials all failed has no choice, which a line says.

    Raises:
      InputError: every trial of all arms failed.
    """
    rows = {key_of(cell): _with_seed(cell, 0) for cell in cells}
    first = [t for cell in rows.values() for t in _trials(grid, cell, trials, data_dir)]
    tried: Tried = {key: {} for key in rows}
    for trial in _judged(grid, first, out, data_dir, do):
        tried[trial.key][trial.number] = [trial]
    if trials > 1:
        again = [
            one._replace(cell=_with_seed(one.cell, seed))
            for by_number in tried.values()
            for (one,) in sorted(by_number.values(), key=_best, reverse=True)[:LEADERS]
            if is_seeded(one.cell.config) and np.isfinite(one.ndcg).all()
            for seed in MORE_SEEDS
        ]
        for trial in _judged(grid, again, out, data_dir, do):
            tried[trial.key][trial.number].append(trial)
    found = {key: _choice(list(one.values())) for key, one in tried.items()}
    choices = {key: choice for key, choice in found.items() if choice is not None}
    for arm in dict.fromkeys(key[0] for key in tried if key not in choices):
        say(f"{arm}: every trial failed")
    if not choices:
        raise InputError(f"{grid.name}: every trial failed, there is nothing to choose")
    digest = digest_of(cells[0].config, data_dir)
    ids = {key: run_id(cell.config, digest) for key, cell in rows.items()}
    _write(choices_path(out, cells[0].config, grid), tried, choices, ids)
    return choices


def known(
    grid: Grid, cells: Sequence[Cell], out: Path, data_dir: str | None
) -> dict[Key, Choice]:
    """The choices, committed or in an output folder, for these cells on these data."""
    digest, found = digest_of(cells[0].config, data_dir), {}
    for place in (COMMITTED, out):
        rows = _rows(choices_path(place, cells[0].config, grid))
        for key, cell in {key_of(c): _with_seed(c, 0) for c in cells}.items():
            mine = [row for row in rows if (row["arm"], row["swept"]) == key]
            chosen = [row for row in mine if row["chosen"] == "1"]
            if chosen and chosen[0]["config"] == run_id(cell.config, digest):
                found[key] = _read(chosen, mine)
    return found


def choices_path(out: Path, config: Config, grid: Grid) -> Path:
    """The file of choices of a grid on a data set and split."""
    name = f"{file_name(grid.name, config.split)}.csv"
    return out / "choices" / name_of(config.dataset) / name


def _trials(
    grid: Grid, cell: Cell, trials: int, data_dir: str | None
) -> Iterator[Trial]:
    """A row on the training part, with its own values and with Sobol points."""
    config = _on_validation(cell.config, data_dir)
    ranges = _ranges(config, cell.swept)
    if is_towers(config):
        as_trained = grid.tuning.as_trained if grid.tuning else ()
        own_prior = cell.arm in as_trained or "prior" in cell.swept
        config = dataclasses.replace(
            config,
            prior=0.0,
            evaluate_every=1,
            evaluate_prior="none" if own_prior else "best",
            patience=PATIENCE,
        )
    points = _points(ranges, trials)
    for number, values in enumerate(points):
        tried = {**cell.swept, "trial": number}
        changed = dataclasses.replace(config, **_changes(config, values))
        at = cell._replace(swept=tried, config=changed)
        yield Trial(key_of(cell), number, values, at)


def _points(ranges: Mapping[str, Values], trials: int) -> list[dict[str, float]]:
    """The values of each trial; those of the first one are the arm's own."""
    from scipy.stats import qmc

    if trials == 1 or not ranges:
        return [{}]
    dimensions = max(map(len, (TOWERS, *OPTIONS.values())))
    exponent = math.ceil(math.log2(trials))
    shares = qmc.Sobol(dimensions, seed=0).random_base2(exponent)[: trials - 1]
    return [{}] + [
        {name: ranges[name].at(share) for name, share in zip(ranges, point)}
        for point in shares
    ]


def _ranges(config: Config, swept: Mapping[str, Any]) -> dict[str, Values]:
    """What is tried of a config: none of what its grid sweeps."""
    own = OPTIONS.get(entry_name(config.model), {})
    ranges = TOWERS if is_towers(config) else own
    return {name: values for name, values in ranges.items() if name not in swept}


def _changes(config: Config, values: Mapping[str, float]) -> dict[str, Any]:
    """The fields of a config that hold these values."""
    if is_towers(config):
        return dict(values)
    words = tuple(f"{name}={value:g}" for name, value in values.items())
    name = entry_name(config.model)
    return {"model": ",".join([name, *words])} if words else {}


def _on_validation(config: Config, data_dir: str | None) -> Config:
    """The config fitted on train, with a validation part lent where there is none."""
    config = dataclasses.replace(config, fit_on="train")
    split = read(config.split, SPLITS)
    if split.name != "given" or split.values["validation"]:
        return config
    part = ratings_of(config.dataset, data_dir, config.columns).part
    if part is not None and (part == VALIDATION).any():
        return config
    return dataclasses.replace(config, split=split.but("validation", LENT).text())


def _with_seed(cell: Cell, seed: int) -> Cell:
    config = dataclasses.replace(cell.config, seed=seed)
    return cell._replace(seed=seed, config=config)


def _judged(
    grid: Grid, trials: list[Trial], out: Path, data_dir: str | None, do: Do
) -> list[Trial]:
    """The trials with what validation says of them, run where they are missing."""
    name = f"{grid.name}-trials"
    cells, runs, total = plan([trial.cell for trial in trials], name, out, data_dir)
    if runs:
        say(f"{name}: {total} trials, {len(runs)} to do")
        failed = do(runs)
        # A loss that isn't finite would be so again; a worker may have been killed.
        lost = [id_ for id_, why in failed.items() if not why.startswith(NOT_FINITE)]
        again = [run for run in runs if id_of(run.folder) in lost]
        if again:
            say(f"{name}: {len(again)} to do once more")
            do(again)
    judged = []
    for trial, cell in zip(trials, cells, strict=True):
        folder = locate(cell, name, out, digest_of(cell.config, data_dir))[1]
        if not why_unfinished(folder, cell.config):
            seconds = float(read_json(folder / "env.json").get("seconds", 0.0))
            ndcg = _looks(cell.config, folder)
            trial = trial._replace(ndcg=ndcg, seconds=seconds)
        judged.append(trial)
    return judged


def _looks(config: Config, folder: Path) -> np.ndarray:
    """NDCG@20 on validation by epoch and prior, of a finished trial."""
    if not is_towers(config):
        metrics = read_metrics(serving_folder(folder, config))
        return np.array([[metrics["ndcg"][str(CUTOFF)]]], float)
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [NDCG]
    if config.evaluate_prior == "best":
        names = [column_of(prior) for prior in PRIORS]
    return np.array([[float(row[name]) for name in names] for row in rows])


def _mean(seeds: Sequence[Trial]) -> np.ndarray:
    """Mean NDCG@20 over the seeds of a trial, of the epochs that all of them have."""
    epochs = min(len(trial.ndcg) for trial in seeds)
    return np.mean([trial.ndcg[:epochs] for trial in seeds], axis=0)


def _best(seeds: Sequence[Trial]) -> float:
    """The best look of a trial; a failed one is below all others."""
    best = _mean(seeds).max()
    return -np.inf if np.isnan(best) else float(best)


def _choice(tried: Sequence[list[Trial]]) -> Choice | None:
    """The best trial of a row; of those with most seeds, where some have more.

    None where all failed.
    """
    whole = [one for one in tried if np.isfinite(_mean(one)).all()]
    if not whole:
        return None
    most = max(map(len, whole))
    seeds = max((one for one in whole if len(one) == most), key=_best)
    ndcg, (_, number, values, cell, *_) = _mean(seeds), seeds[0]
    seconds = float(np.mean([trial.seconds for one in tried for trial in one]))
    changes = _changes(cell.config, values)
    epoch, prior = np.unravel_index(ndcg.argmax(), ndcg.shape)
    if is_towers(cell.config):
        changes["epochs"] = int(epoch) + 1
        if cell.config.evaluate_prior == "best":
            changes["prior"] = PRIORS[prior]
    best = float(ndcg.max())
    most_epochs = cell.config.epochs
    curve = tuple(map(float, ndcg[:, prior])) if is_towers(cell.config) else ()
    return Choice(changes, best, number, len(tried), most, seconds, most_epochs, curve)


def notes(choices: Mapping[Key, Choice], cells: Sequence[Cell]) -> list[str]:
    """Lines on what was chosen at an end of what was tried."""
    lines = []
    for cell in {key_of(cell): cell for cell in cells}.values():
        if (choice := choices.get(key_of(cell))) is None:
            continue
        if choice.changes.get("epochs") == choice.most_epochs:
            lines.append(
                f"{cell.arm}: the last of {choice.most_epochs} epochs was the best on "
                "validation: more may be better (--epochs)"
            )
        ranges = _ranges(cell.config, cell.swept)
        for name, value in choice.changes.items():
            if choice.number and name in ranges and ranges[name].near_end(value):
                lines.append(f"{cell.arm}: {name} {value:g} is at an end of its range")
    return lines


def how_chosen(ran: Sequence["RunResult"], choices: Iterable[Choice]) -> str:
    """What the page of a grid says of its choices, and of values no column shows."""
    made = [choice for choice in choices if choice.changes]
    fields = [f for f in (*TOWERS, *BY_LOOKS) if any(f in one.changes for one in made)]
    words = [field.replace("_", " ") for field in fields]
    what = [f"the {_listed(words)} of each trained arm"] if fields else []
    if any("model" in choice.changes for choice in made):
        what.append("the options of baselines")
    if not what:
        return ""
    text = f"Validation chose {_listed(what)}, in NDCG@{CUTOFF}"
    trials = sorted({choice.trials for choice in made})
    if trials[-1] > 1:
        fewest = f"{trials[0]} to " if trials[1:] else ""
        text += f", among {fewest}{trials[-1]} trials"
    shown = {"temperature": "Temperatures", "learning_rate": "Learning rates",
             "epochs": "Epochs", "prior": "Priors"}  # fmt: skip
    lists = [_by_value(ran, field, shown[field]) for field in fields if field in shown]
    return " ".join([f"{text}.", *filter(None, lists)])


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _by_value(ran: Sequence["RunResult"], field: str, word: str) -> str:
    """Which runs have which value of a field; "" where all have one."""
    names: dict[float, dict[str, None]] = {}
    for run in ran:
        if run.settings:
            name = f"`{cell_name(run.arm, run.swept)}`"
            names.setdefault(run.settings[field], {})[name] = None
    if len(names) < 2:
        return ""
    lists = (f"{value:g} ({', '.join(of)})" for value, of in sorted(names.items()))
    return f"{word}: {', '.join(lists)}."


def _write(
    path: Path,
    tried: Tried,
    choices: Mapping[Key, Choice],
    ids: Mapping[Key, str],
) -> None:
    """Writes a row per trial and seed, the chosen ones marked; keeps other arms'."""
    rows: list[dict[str, Any]] = [
        row for row in _rows(path) if (row["arm"], row["swept"]) not in tried
    ]
    for key, by_number in tried.items():
        for trial in (t for seeds in by_number.values() for t in seeds):
            choice = choices.get(key)
            chosen = choice is not None and trial.number == choice.number
            changes = choice.changes if choice and chosen else {}
            row: dict[str, Any] = dict(zip(("arm", "swept"), key, strict=True))
            row |= {"config": ids[key], "trial": trial.number, "seed": trial.cell.seed}
            row |= {name: trial.values.get(name, "") for name in TOWERS}
            model = trial.cell.config.model
            row["model"] = "" if is_towers(trial.cell.config) else model
            row |= {"looks": len(trial.ndcg), "ndcg": f"{trial.ndcg.max():.6f}"}
            row |= {"seconds": f"{trial.seconds:.1f}", "most": trial.cell.config.epochs}
            row |= {"chosen": int(chosen)}
            row |= {name: changes.get(name, "") for name in BY_LOOKS}
            row["mean"] = f"{choice.ndcg:.6f}" if choice and chosen else ""
            row["trials"] = choice.trials if choice and chosen else ""
            curve = choice.curve if choice and chosen else ()
            row["curve"] = " ".join(f"{value:.6f}" for value in curve)
            rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of choices; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read(chosen: Sequence[Mapping[str, str]], rows: Sequence[Any]) -> Choice:
    """The choice in the rows of its trial, and in all rows of a row of a grid."""
    row = chosen[0]
    changes: dict[str, Any] = {
        name: float(row[name]) for name in (*TOWERS, "prior") if row[name]
    }
    if row["epochs"]:
        changes["epochs"] = int(row["epochs"])
    if "," in row["model"]:
        changes["model"] = row["model"]
    return Choice(
        changes,
        float(row["mean"] or "nan"),
        int(row["trial"]),
        int(row["trials"]),
        len(chosen),
        float(np.mean([float(one["seconds"] or "nan") for one in rows])),
        int(row["most"] or 0),
        tuple(map(float, row.get("curve", "").split())),
    )
