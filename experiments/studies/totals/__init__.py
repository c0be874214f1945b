"""At which total strength is held-out recall highest, after each epoch of training?

The study ``strength`` serves models that were all trained for the same number of
epochs, and ``stopping`` shows, on clicks drawn anew, that training beyond the epoch
that held-out clicks choose raises the best strength. Here the clicks are the real ones.
A model is trained without log q on the training part alone. After each epoch the
validation part gives the recall that chooses the epoch, with the full correction when
serving, and the test part gives recall@20 and item-averaged recall@20 at every total
strength. The validation clicks also calibrate the model (research/calibration.py): what
they give for the total is compared with the one of highest recall.

    python -m experiments run totals               about 5 minutes on 2 cores, 5 seeds
    python -m experiments run totals --quick       about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes 15 minutes, on
Electronics (--dataset DIR/electronic --seeds 3) 40.
Expect on MovieLens 100K: the highest recall@20 at a total of about 1 to 1.5, which the
calibrated one follows.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from experiments.grid import SHORTER
from experiments.inputs import fold_of, prepared_run
from experiments.runs import CLICKS, calibrated, metric_means, serve
from experiments.study import StudyOptions, save_cells
from research.calibration import NoScale
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared, prepare
from research.serving import Serving
from research.train.loop import train
from research.types import Fold, check

NAME = "totals"
TOTALS = tuple(np.round(np.arange(0.0, 3.001, 0.2), 2))
TEMPERATURE = 0.1  # that of the study strength whose curves the page shows
MEASURED = ("recall", "recall_item")
FITTED = ("calibrated", "recall_calibrated")
KEPT = (*MEASURED, *FITTED, "validation")
Vectors = tuple[Float[ndarray, "v d"], Float[ndarray, "i d"]]


def run_totals(options: StudyOptions) -> Path:
    """Trains with each seed; returns the records.

    Arrays: those of ``by_epoch`` with a first axis of seeds; totals.
    """
    cells = []
    for seed in range(options.seeds):
        curves = by_epoch(config_at(options, TEMPERATURE, seed), options.data_dir)
        cells.append({name: curves[name] for name in KEPT})
        epoch = int(curves["validation"].argmax())
        total = TOTALS[int(curves["recall"][epoch].argmax())]
        options.progress(f"seed {seed}: epoch {epoch + 1}, highest at {total:.1f}")
    return save_cells(options, NAME, cells, (options.seeds,), {"totals": TOTALS})


def config_at(options: StudyOptions, temperature: float, seed: int) -> Config:
    """The config of one of these runs; a quick one's has two epochs."""
    changes = {"temperature": temperature, **SHORTER.get(options.dataset, {})}
    if options.quick:
        changes["epochs"] = 2
    return options.config(left_out="fitted", seed=seed, **changes)


def swept_configs(
    options: StudyOptions, temperatures: Sequence[float]
) -> Iterator[Config]:
    """The configs of a sweep in the order of ``save_swept``: the seed changes first."""
    for temperature in temperatures:
        for seed in range(options.seeds):
            yield config_at(options, temperature, seed)


class Judges(NamedTuple):
    """The runs whose held-out parts judge a model in training; it is fitted on neither.

    Attributes:
      choice: judged by the validation part; its config and fold are those to train.
      test: judged by the test part.
      mine: which of the first run's users the second has, too.
    """

    choice: Prepared
    test: Prepared
    mine: Bool[ndarray, " v"]

    @classmethod
    def of(cls, config: Config, data_dir: str | None, every: int) -> "Judges":
        """Of a config fitted on the training part, for a look every so many epochs."""
        watched = dataclasses.replace(config, fit_on="train", evaluate_every=every)
        choice = prepared_run(watched, data_dir)
        mine, test = judged_by_test(config, choice.fold.evaluated, data_dir)
        return cls(choice, test, mine)

    def validation(self, vectors: Vectors, total: float = 1.0) -> float:
        """Recall of the validation part at a total; NaN for one that is NaN."""
        return means_by_total(self.choice, vectors, [total]).item()

    def numbers(
        self, vectors: Vectors, names: Sequence[str]
    ) -> dict[str, ndarray | float]:
        """What ``by_epoch`` returns, for one epoch."""
        users, items = vectors
        total, scale = fitted_total(self.choice, vectors)
        served = users[self.mine], items
        rows = means_by_total(self.test, served, [*TOTALS, total], names)
        means = dict(zip(names, rows, strict=True))
        found = {"validation": self.validation(vectors)}
        found |= {"calibrated": total, "scale": scale}
        found |= {name: row[:-1] for name, row in means.items()}
        return found | {f"{name}_calibrated": row[-1] for name, row in means.items()}


def by_epoch(
    config: Config,
    data_dir: str | None,
    every: int = 1,
    names: Sequence[str] = MEASURED,
) -> dict[str, Float[ndarray, "..."]]:
    """Of validation recall and the calibrated total, and on test, by epoch.

    A total is the strength in the loss plus the prior when serving.

    Returns:
      the metrics named, on test [epoch, total]; validation, recall at a total of 1,
      calibrated, the total that validation clicks give, each metric with that on test
      (recall_calibrated), and scale, of the scores by them, each [epoch].

    Args:
      config: of the run, fitted on the training part.
      data_dir: as on the command line.
      every: epochs between two looks.
      names: metrics.

    Raises:
      NotFinite: a loss was not finite.
    """
    judges = Judges.of(config, data_dir, every)
    looks: list[dict[str, ndarray | float]] = []

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        looks.append(judges.numbers((users, items), names))
        return {f"recall@{CUTOFF}": float(looks[-1]["validation"])}

    train(judges.choice.config, judges.choice.fold, validate=look)
    return {name: np.array([values[name] for values in looks]) for name in looks[0]}


def at_chosen_epochs(
    config: Config, data_dir: str | None, names: Sequence[str] = MEASURED
) -> dict[str, Float[ndarray, "2 ..."]]:
    """What ``by_epoch`` has at the epochs that validation recall chooses in two ways.

    It is highest there at a total of 1, and with the calibrated total of each epoch.

    Returns:
      what ``by_epoch`` does, [2] in place of [epoch], validation as it chose, and
      epoch, from 1. Where the clicks fit a scale after no epoch, the second is epoch 1,
      with a validation of -1.

    Args:
      config: of the run, fitted on the training part.
      data_dir: as on the command line.
      names: metrics.

    Raises:
      NotFinite: a loss was not finite.
    """
    judges = Judges.of(config, data_dir, 1)
    recalls: list[list[float]] = []
    kept: list[Vectors] = [(np.empty((0, 0)), np.empty((0, 0)))] * 2

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        vectors = users, items
        fitted, _ = fitted_total(judges.choice, vectors)
        found = [judges.validation(vectors, total) for total in (1.0, fitted)]
        recalls.append([-1.0 if np.isnan(recall) else recall for recall in found])
        for n, recall in enumerate(recalls[-1]):
            if recall > max((row[n] for row in recalls[:-1]), default=-np.inf):
                kept[n] = vectors
        return {f"recall@{CUTOFF}": recalls[-1][0]}

    train(judges.choice.config, judges.choice.fold, validate=look)
    alike = kept[0] is kept[1]  # both ways have chosen the same epoch
    first = judges.numbers(kept[0], names)
    cells = [first, first if alike else judges.numbers(kept[1], names)]
    both = {name: np.array([cell[name] for cell in cells]) for name in cells[0]}
    both["validation"] = np.max(recalls, axis=0)
    return both | {"epoch": 1.0 + np.argmax(recalls, axis=0)}


def judged_by_test(
    config: Config, users: Int[ndarray, " v"], data_dir: str | None
) -> tuple[Bool[ndarray, " v"], Prepared]:
    """Which of the users have test items, and the run that these judge.

    The run is fitted on the training part; its lists leave out the validation part.
    """
    parts: dict[str, Any] = {"fit_on": "train-only", "left_out": "train+validation"}
    config = dataclasses.replace(config, **parts)
    fold = fold_of(config, data_dir)
    mine = np.isin(users, fold.evaluated)
    return mine, prepare(config, of_users(fold, users[mine]))


def means_by_total(
    run: Prepared,
    vectors: Vectors,
    totals: Sequence[float],
    names: Sequence[str] = ("recall",),
    min_clicks: int = 0,
) -> Float[ndarray, "n t"]:
    """Means of metrics at cut-off 20 on a run's held-out events, by total.

    Args:
      run: the run.
      vectors: of the task's queries and of its candidates.
      totals: the strength in the loss plus the prior when serving; NaN gives NaN.
      names: metrics.
      min_clicks: lists hold items with so many training clicks.
    """
    means = np.full((len(totals), len(names)), np.nan)
    for row, total in zip(means, totals, strict=True):
        if not np.isnan(total):
            serving = Serving(total - run.config.logq, min_clicks=min_clicks)
            scorer = serve(run, *vectors, serving=serving)
            row[:] = metric_means(run, scorer, names)
    return means.T


def fitted_total(
    run: Prepared, vectors: Vectors, clicks: int = CLICKS, places: int | None = None
) -> tuple[float, float]:
    """The total, and the scale of a model's scores, that held-out clicks fit.

    NaN where the clicks fit no scale above 0.

    Args:
      run: the run, judged by these clicks.
      vectors: of the task's queries and of its candidates.
      clicks: largest number of clicks.
      places: fits only clicks among so many first places of lists; default all items.
    """
    try:
        fit = calibrated(run, *vectors, clicks=clicks, places=places)
    except NoScale:
        return np.nan, np.nan
    return fit.by_rule(1.0).prior + run.config.logq, fit.scale


def save_swept(
    options: StudyOptions,
    name: str,
    runs: Sequence[Mapping[str, Any]],
    temperatures: Sequence[float],
    more: Mapping[str, Sequence[float]] = MappingProxyType({}),
    **about: Sequence[str],
) -> Path:
    """Writes the records of a study that sweeps the temperature; returns their path.

    Args:
      options: of the study.
      name: of the study.
      runs: the numbers of each, by name; the seed changes first, then the temperature,
        then what about lists. In the file they have one axis for each.
      temperatures: of the training; stored, like the totals.
      more: what else is stored as it is, by name; totals, if not TOTALS.
      about: what else was swept, for the header.
    """
    lengths = map(len, (*about.values(), temperatures))
    shape = *lengths, options.seeds
    swept = {"totals": TOTALS, **more, "temperatures": temperatures}
    return save_cells(options, name, runs, shape, swept, **about)


def of_users(fold: Fold, users: Int[ndarray, " v"]) -> Fold:
    """The phase judged by those of its users alone, [v]; all of them are its own."""
    kept = np.isin(fold.held_user, users)
    times, removed = fold.held_time, fold.removed
    if removed is not None:
        offsets, items = removed
        sizes, rows = np.diff(offsets), np.isin(fold.evaluated, users)
        removed = (
            np.concatenate([[0], np.cumsum(sizes[rows])]),
            items[np.repeat(rows, sizes)],
        )
    return check(
        fold._replace(
            held_user=fold.held_user[kept],
            held_item=fold.held_item[kept],
            held_time=None if times is None else times[kept],
            evaluated=users,
            removed=removed,
        )
    )
