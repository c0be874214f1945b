"""Test metrics at every total strength, after each epoch of a training.

A total is the strength of log q in the loss plus the popularity prior when serving. The
validation part gives the recall that chooses among models, and its clicks calibrate the
model (research/calibration.py): what they give for the total stands beside the others.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from experiments.grid import SHORTER
from experiments.inputs import fold_of, prepared_run
from experiments.serve import CLICKS, calibrated, metric_means, serve
from experiments.study import StudyOptions, save_cells
from research.calibration import NoScale
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared, prepare
from research.serving import Serving
from research.train.loop import train
from research.types import Fold, check

TOTALS = tuple(np.round(np.arange(0.0, 3.001, 0.2), 2))
MEASURED = ("recall", "recall_item")
Vectors = tuple[Float[ndarray, "v d"], Float[ndarray, "i d"]]


def config_at(options: StudyOptions, temperature: float, seed: int) -> Config:
    """The config of one of these runs; a quick one's has two epochs."""
    changes = {"temperature": temperature, **SHORTER.get(options.dataset, {})}
    if options.quick:
        changes["epochs"] = 2
    return options.config(left_out="fitted", seed=seed, **changes)


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
    """Means of metrics at cut-off 20 on a run's held-out events, by total."""
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
    """Writes the records of a study that sweeps the temperature; returns their path."""
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
