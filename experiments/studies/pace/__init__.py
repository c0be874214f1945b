"""How much training does each loss need, in examples and in seconds?

A loss that is as good in the end may need more steps, or more expensive ones. Each arm
is trained on the training part, at the values that validation chose for it (the grid
``tuning``), and after every epoch all items are ranked for validation. What it takes
until NDCG@20 is 95 % of the full softmax's best is counted in examples, to a fraction
of an epoch by linear interpolation, and in seconds, that is, steps times the seconds of
a step. Steps are timed after all trainings, the arms in turns, without compilation.

    python -m experiments run pace                   about 5 minutes on 2 cores
    python -m experiments run pace --quick           about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes half an hour.
Expect sampled negatives with log q to need as many examples as the full softmax, and
the less time, the larger the catalogue.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from experiments.arms import arm
from experiments.bench.ours import portions
from experiments.bench.protocol import Here, Turns, take_turns
from experiments.grid import SHORTER
from experiments.inputs import prepared_run
from experiments.resolve import with_swept
from experiments.runs import metric_means, serve
from experiments.study import StudyOptions, save_measured
from experiments.tuned import tuned
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared
from research.train.loop import train

NAME = "pace"
REFERENCE = "full-softmax"
ARMS = (
    *("in-batch", "in-batch+logq", "mixed+logq", "mixed-popularity+logq"),
    *("uniform-softmax", REFERENCE),
)
TURNS, STEPS = 7, 10  # portions of steps that an arm is timed with


def run_pace(options: StudyOptions) -> Path:
    """Trains and times each arm on a data set; returns the records.

    Arrays: curves [arm, seed, epoch] of validation NDCG@20; step_seconds [arm, turn];
    temperatures, learning_rates [arm].

    Raises:
      InputError: no temperature was chosen for an arm on this data set.
    """
    changes = {"fit_on": "train", "left_out": "fitted"}
    base = options.config(**changes, **SHORTER.get(options.dataset, {}))
    dataset = name_of(options.dataset)
    configs = [
        with_swept(arm(name, base), tuned(dataset, name, base.split)) for name in ARMS
    ]

    if options.quick:
        configs = [dataclasses.replace(config, epochs=2) for config in configs]
    configs = [dataclasses.replace(config, evaluate_every=1) for config in configs]
    shape = len(ARMS), options.seeds, configs[0].epochs
    curves = np.zeros(shape)
    for (a, config), seed in itertools.product(enumerate(configs), range(shape[1])):
        run = prepared_run(dataclasses.replace(config, seed=seed), options.data_dir)
        curves[a, seed] = validated(run)
        options.progress(f"{ARMS[a]}, seed {seed}: best {curves[a, seed].max():.4f}")
    runs = {
        name: prepared_run(config, options.data_dir)
        for name, config in zip(ARMS, configs, strict=True)
    }
    seconds = step_seconds(runs, 2 if options.quick else TURNS)
    fitted = runs[REFERENCE].fold.fitted
    arrays = {
        "curves": curves.astype("<f4"),
        "step_seconds": np.array([seconds[name] for name in ARMS], "<f4"),
        "temperatures": np.array([c.temperature for c in configs], "<f4"),
        "learning_rates": np.array([c.learning_rate for c in configs], "<f4"),
    }
    return save_measured(
        options,
        NAME,
        arrays,
        arms=list(ARMS),
        items=fitted.n_items,
        batch=configs[0].batch,
        examples=len(fitted.item) // configs[0].batch * configs[0].batch,
    )


def validated(run: Prepared) -> list[float]:
    """NDCG@20 on validation after each epoch of a training.

    Raises:
      NotFinite: a loss was not finite.
    """
    scores: list[float] = []

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        scores.extend(metric_means(run, serve(run, users, items), ["ndcg"]))
        return {f"ndcg@{CUTOFF}": scores[-1]}

    train(run.config, run.fold, validate=look)
    return scores


def step_seconds(runs: Mapping[str, Prepared], turns: int) -> dict[str, list[float]]:
    """Seconds of a step of each run, the runs in turns, compilation apart."""
    sides = {
        name: functools.partial(Here, portions(run.config, run.fold, STEPS))
        for name, run in runs.items()
    }
    out = {}
    for name, answers in take_turns(sides, turns).items():
        if not isinstance(answers, Turns):
            raise AssertionError(f"{name}: {answers}")  # a side of this process raises
        out[name] = [each["seconds"] / each["steps"] for each in answers.portions]
    return out
