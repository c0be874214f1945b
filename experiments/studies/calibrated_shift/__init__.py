"""Do clicks drawn as at serving time set the strength, and how many does it take?

Validation clicks carry the exposure of the training data, so that the total strength
they give (research/calibration.py) is the one for further clicks of the same exposure.
Where items will be shown otherwise, clicks from there should give another total. Here
the same interactions are split twice: at random, and with test items drawn evenly from
the catalogue (the shifted split of IR-Benchmark [yang2024psl]). Matrix factorisation is
trained on nine tenths of each training part. Its total is set by the last tenth, and by
some clicks of one half of the test users; the other half judges it. Such clicks set it
in three ways: by a fit, the likelihood of each click among all items; by the same fit
among the first 200 places of the lists that it gives itself; and by a sweep, the total
that brings most of them into the first 20 places.

    python -m experiments run calibrated-shift --dataset DIR/electronic
    python -m experiments run calibrated-shift --quick --dataset DIR/electronic

On 2 cores the first takes about 60 minutes, the second 2; on Movies, with --arms
in-batch --seeds 3, 90. The data set is a folder with the first split; the folder with
the second one is beside it and has -popularity after its name (docs/outside.md).

Expect both totals to be alike at random; on the shift, one near 0 by clicks from there
and one near 1 by validation. A sweep should need thousands of clicks, and then be right
with log q in the loss, too, where the fit of all items is not; that among the first
places should be right in both cases, with hundreds.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.inputs import fold_of
from experiments.runs import clicked_logits, drawn_clicks
from experiments.studies import STUDIES
from experiments.studies.shift import CHANGES
from experiments.studies.split import Split, splits_of
from experiments.studies.totals import (
    Vectors,
    fitted_total,
    means_by_total,
    of_users,
    save_swept,
)
from experiments.study import StudyOptions
from research.calibration import PLACES, in_first_places, most_hits
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared, prepare
from research.train.loop import train

NAME = "calibrated-shift"
TEMPERATURES = (0.1, 0.2, 0.4)
TOTALS = tuple(np.round(np.arange(-1.0, 3.001, 0.2), 2).tolist())
CLICKS = (100, 300, 1000, 3000)


def run_calibrated_shift(options: StudyOptions) -> Path:
    """Trains each arm on both splits at each temperature; returns the records.

    Arrays: those of ``judged_halves``, with first axes of splits, arms, temperatures
    and seeds; temperatures, totals, clicks. The header has the splits and the arms.

    Raises:
      InputError: the data set is no folder that has its shifted split beside it.
    """
    study = STUDIES[NAME]
    splits = splits_of(study, options, CHANGES, {})
    arms = options.arms or study.arms
    temperatures = TEMPERATURES[1:] if options.quick else TEMPERATURES
    shape = len(splits), len(arms), len(temperatures), options.seeds
    runs = []
    for n, m, t, seed in np.ndindex(shape):
        name, split = [*splits.items()][n]
        config = config_on(split, arms[m], temperatures[t], seed)
        halves = judged_halves(config, options.data_dir)
        runs.append(halves)
        options.progress(
            f"{name}, {arms[m]}, temperature {temperatures[t]:g}, seed {seed}: total "
            f"{halves['by_validation']:.2f} by validation, {halves['by_test'][-1]:.2f} "
            "by test clicks"
        )
    swept = {"splits": [*splits], "arms": [*arms]}
    more = {"totals": TOTALS, "clicks": CLICKS}
    return save_swept(options, NAME, runs, temperatures, more, **swept)


def config_on(split: Split, name: str, temperature: float, seed: int) -> Config:
    """The config of an arm on a split; a quick run's has two epochs."""
    changes = {**CHANGES, "learning_rate": 0.1, "temperature": temperature}
    if split.options.quick:
        changes["epochs"] = 2
    folder = str(split.path)
    base = Config(dataset=folder, split="given", validation_share=0.1, **changes)
    return dataclasses.replace(arm(name, base), seed=seed)


class Halves(NamedTuple):
    """A trained model, and who judges it: each a run and the vectors for it.

    Attributes:
      validating: by the validation clicks.
      setting: by the test clicks of one half of the users, drawn by the config's seed.
      judging: by those of the other half.
    """

    validating: tuple[Prepared, Vectors]
    setting: tuple[Prepared, Vectors]
    judging: tuple[Prepared, Vectors]


def trained_halves(config: Config, data_dir: str | None) -> Halves:
    """Trains a model on the training part.

    Raises:
      NotFinite: a loss was not finite.
    """
    parts: dict[str, Any] = {"fit_on": "train-only", "left_out": "train+validation"}
    config = dataclasses.replace(config, **parts)
    parts = {"fit_on": "train", "left_out": "fitted"}
    choosing = dataclasses.replace(config, **parts)
    fold = fold_of(config, data_dir)
    done, users = train(config, fold), fold.evaluated

    def part(config: Config, kept: ndarray) -> tuple[Prepared, Vectors]:
        """The run judged by a part of its users, and their vectors."""
        run = prepare(config, of_users(fold_of(config, data_dir), users[kept]))
        return run, (done.user_vectors[kept], done.item_vectors)

    validating = np.isin(users, fold_of(choosing, data_dir).evaluated)
    setting = np.random.default_rng(config.seed).random(len(users)) < 0.5
    return Halves(
        part(choosing, validating), part(config, setting), part(config, ~setting)
    )


def judged_halves(
    config: Config, data_dir: str | None
) -> dict[str, Float[ndarray, "..."]]:
    """Trains a model, sets its total by both kinds of clicks and judges it.

    A total is the strength in the loss plus the prior when serving.

    Returns:
      recall [total], recall@20 of the judging half; by_validation, the total by
      validation clicks, by_test [clicks], by as many test clicks of the other half,
      by_first [clicks], by these in the first places, and by_sweep [clicks], by a sweep
      over them; recall_by_validation, recall_by_test, recall_by_first and
      recall_by_sweep, recall@20 with them. NaN where clicks fit no scale above 0.

    Raises:
      NotFinite: a loss was not finite.
    """
    validating, given, judging = trained_halves(config, data_dir)
    by_validation = fitted_total(*validating, CLICKS[-1])[0]
    by_test = [fitted_total(*given, clicks)[0] for clicks in CLICKS]
    by_first = [fitted_total(*given, clicks, PLACES)[0] for clicks in CLICKS]
    by_sweep = swept_totals(*given)
    totals = [*TOTALS, by_validation, *by_test, *by_first, *by_sweep]
    (recall,) = means_by_total(*judging, totals)
    of_total, of_validation, of_test, of_first, of_sweep = np.split(
        recall, np.cumsum([len(TOTALS), 1, len(CLICKS), len(CLICKS)])
    )
    found = {
        "recall": of_total,
        "by_validation": by_validation,
        "recall_by_validation": of_validation[0],
        "by_test": by_test,
        "recall_by_test": of_test,
        "by_first": by_first,
        "recall_by_first": of_first,
        "by_sweep": by_sweep,
        "recall_by_sweep": of_sweep,
    }
    return {name: np.array(values) for name, values in found.items()}


def swept_totals(run: Prepared, vectors: Vectors) -> list[float]:
    """The totals that a sweep over the run's clicks gives, for each number in CLICKS.

    Args:
      run: the run, judged by these clicks.
      vectors: of the task's queries and of its candidates.
    """
    drawn = drawn_clicks(run.task.fold, CLICKS[-1])
    priors = [total - run.config.logq for total in TOTALS]
    hits = in_first_places(*clicked_logits(run, *vectors, drawn), priors, CUTOFF)
    return [most_hits(hits[:, :clicks], TOTALS) for clicks in CLICKS]
