"""Which loss ranks best where each is tuned with the same budget?

Ten losses over shared uniform negatives have 16 random configurations each. The points
of temperature, learning rate and number of negatives are the same for all of them; with
each point a loss draws values of its own, from the ranges of LOSSES. A configuration is
trained on the training part and validated every second epoch, so that a loss may also
stop early; the best look at validation NDCG@20 is its score. The best configuration of
each loss is then trained for that look's epochs on train and validation, with ten
seeds, and judged on the test part.

Uniform negatives have one log q for all items. It changes no gradient of a softmax or a
pairwise loss, and a learned bias takes it in, so of all losses binary-nce alone, whose
definition has it, is corrected: by k q, the count expected in k draws. The bias of
binary-nce and gbce starts at -log(items). That of sigmoid, a mean over the negatives,
whose best value is higher, starts anywhere from there to 0.

    python -m experiments run budget               about 30 minutes on 2 cores, 10 seeds
    python -m experiments run budget --quick       about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3: about an hour) it tries the
four losses that validated best on 100K, and binary-nce.
Expect on MovieLens 100K: recall@20 about 0.25 for sampled-softmax.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.collect import history_of
from experiments.finish import finish_study
from experiments.loaded import prepared_run
from experiments.resolve import Cell
from experiments.study import StudyOptions, save_measured
from research.config import Config
from research.evaluate.metrics import CUTOFF, METRICS
from research.files import read_arrays, read_json
from research.report.records import unpack
from research.types import InputError

NAME, REFERENCE, RANDOM = "budget", "sampled-softmax", "random"
SEED = 0  # of the configurations
TEMPERATURES, RATES, DRAWS = (0.03, 1.0), (3e-4, 1e-2), (8, 64, 512)
DIGITS = 3  # of a drawn value: its config says all of it
MEASURED = (("recall", CUTOFF), ("recall", 100), ("ndcg", CUTOFF), ("recall_item", 20))
SELECTOR, SECOND = f"ndcg@{CUTOFF}", "recall_item"
DIVERGED = "loss not finite"  # a trial that ends so is one that lost

Draw = np.random.Generator


class Point(NamedTuple):
    """Values that are drawn once for all losses."""

    temperature: float
    learning_rate: float
    draws: int


class Tried(NamedTuple):
    """A loss of the comparison.

    Attributes:
      own: draws its own values at a point, for a catalogue of so many items.
      ranges: what they are drawn from, for a page.
      changes: further changes of its configs.
    """

    own: Callable[[Draw, Point, int], Mapping[str, float]] = lambda draw, at, items: {}
    ranges: str = ""
    changes: Mapping[str, Any] = {}


def _log_uniform(draw: Draw, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


LOSSES: dict[str, Tried] = {
    REFERENCE: Tried(),
    "decoupled-softmax": Tried(),
    "bilateral-softmax": Tried(
        lambda draw, at, items: {"power": draw.uniform(0.9, 1.3)}, "power 0.9 to 1.3"
    ),
    "bpr": Tried(),
    "hinge": Tried(
        lambda draw, at, items: {
            "margin": _log_uniform(draw, 0.05, 1.0) / at.temperature
        },
        "margin 0.05 to 1 of the cosine, log-uniform",
    ),
    "psl-tanh": Tried(),
    "cosine-contrastive": Tried(
        lambda draw, at, items: {
            "threshold": draw.uniform(0.0, 0.9) / at.temperature,
            "negative_weight": _log_uniform(draw, 3.0, 1000.0),
        },
        "threshold 0 to 0.9 of the cosine, negative_weight 3 to 1,000 log-uniform",
    ),
    "sigmoid": Tried(
        lambda draw, at, items: {"bias": -draw.uniform(0.0, math.log(items))},
        "start of the bias -log(items) to 0",
    ),
    "binary-nce": Tried(
        lambda draw, at, items: {"bias": -math.log(items)},
        "",
        {"logq": 1.0, "expected_count": True},
    ),
    "gbce": Tried(
        lambda draw, at, items: {
            "calibration": draw.uniform(),
            "bias": -math.log(items),
        },
        "calibration 0 to 1",
    ),
}


class Size(NamedTuple):
    """How much is tried and trained.

    Attributes:
      losses: names in LOSSES.
      trials: configurations of each.
      epochs: the most that one is trained.
      every: epochs between two looks at validation.
      changes: of all configs.
    """

    losses: tuple[str, ...] = tuple(LOSSES)
    trials: int = 16
    epochs: int = 20
    every: int = 2
    changes: Mapping[str, Any] = {}

    @property
    def looks(self) -> list[int]:
        """The epochs after which a trial is validated."""
        return list(range(self.every, self.epochs + 1, self.every))


QUICK = Size((REFERENCE, "binary-nce"), trials=2, epochs=2, every=1)
# By data set: of those whose runs take ten times as long.
SIZES = {
    "ml-1m": Size(
        (REFERENCE, "decoupled-softmax", "psl-tanh", "binary-nce", "gbce"),
        epochs=10,
        every=1,
        changes={"batch": 1024},
    )
}


def points(n: int) -> list[Point]:
    """The first n points, the same for all losses and every n."""
    draw = np.random.default_rng([SEED])
    return [
        Point(
            _rounded(_log_uniform(draw, *TEMPERATURES)),
            _rounded(_log_uniform(draw, *RATES)),
            int(draw.choice(DRAWS)),
        )
        for _ in range(n)
    ]


def configurations(loss: str, base: Config, n: int, items: int) -> list[Config]:
    """The first n configurations of a loss."""
    tried, out = LOSSES[loss], []
    draw = np.random.default_rng([SEED, *loss.encode()])
    for at in points(n):
        own = tried.own(draw, at, items)
        words = (f"{name}={_rounded(value):g}" for name, value in own.items())
        out.append(
            dataclasses.replace(
                base,
                loss=",".join([loss, *words]),
                negatives=("uniform:512",),
                **at._asdict(),
                **tried.changes,
            )
        )
    return out


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def chosen(curves: Float[ndarray, "l t e"]) -> list[tuple[int, int]]:
    """Each loss's best trial and look, the first of equal ones.

    Raises:
      InputError: all trials of a loss diverged.
    """
    out = []
    for number, curve in enumerate(curves):
        if np.isnan(curve).all():
            raise InputError(f"study {NAME}: every trial of loss {number} diverged")
        trial, look = np.unravel_index(np.nanargmax(curve), curve.shape)
        out.append((int(trial), int(look)))
    return out


def run_budget(options: StudyOptions) -> Path:
    """Tries every configuration, trains each loss's best one; returns the records.

    Arrays: curves [loss, trial, look] of validation NDCG@20, validation_item
    [loss, trial], the item-averaged recall@20 at the best look; of the configurations
    temperatures, learning_rates and draws [trial]; the epochs of the looks; of the
    test part, each metric of MEASURED as NAME_K [loss, seed, user], and that of random
    lists as random_NAME_K [seed, user].

    Raises:
      InputError: a run failed.
    """
    size = QUICK if options.quick else SIZES.get(options.dataset, Size())
    base = options.config(**size.changes)
    items = prepared_run(base, options.data_dir).fold.fitted.n_items
    configs = {
        loss: configurations(loss, base, size.trials, items) for loss in size.losses
    }
    arrays = _tried(size, configs, options)
    arrays |= _tested(size, configs, arrays["curves"], options)
    at = points(size.trials)
    arrays |= {
        "temperatures": np.array([point.temperature for point in at], "<f4"),
        "learning_rates": np.array([point.learning_rate for point in at], "<f4"),
        "draws": np.array([point.draws for point in at], "<i4"),
        "looks": np.array(size.looks, "<i4"),
    }
    hyper = {
        loss: [" ".join(config.loss.split(",")[1:]) for config in each]
        for loss, each in configs.items()
    }
    about: dict[str, Any] = {
        "losses": list(size.losses),
        "items": items,
        "hyper": hyper,
    }
    return save_measured(options, NAME, arrays, **about)


def _tried(
    size: Size, configs: Mapping[str, list[Config]], options: StudyOptions
) -> dict[str, ndarray]:
    """The validation curves of every trial, and a second score at its best look."""
    cells = [
        Cell(
            loss,
            {"trial": float(number)},
            0,
            dataclasses.replace(
                config, fit_on="train", epochs=size.epochs, evaluate_every=size.every
            ),
        )
        for loss, each in configs.items()
        for number, config in enumerate(each)
    ]
    shape = len(size.losses), size.trials
    curves = np.full((*shape, len(size.looks)), np.nan, "<f4")
    second = np.full(shape, np.nan, "<f4")
    for cell, folder in finish_study(cells, NAME, options, "trials", lost=DIVERGED):
        place = size.losses.index(cell.arm), int(cell.swept["trial"])
        history = history_of(folder)
        assert history is not None
        curves[place] = np.array(history[SELECTOR])[np.array(size.looks) - 1]
        metrics = read_json(folder / "metrics.json")
        second[place] = metrics[SECOND][str(CUTOFF)]
    return {"curves": curves, "validation_item": second}


def _tested(
    size: Size,
    configs: Mapping[str, list[Config]],
    curves: Float[ndarray, "l t e"],
    options: StudyOptions,
) -> dict[str, ndarray]:
    """What each user gets on the test part from each loss's best configuration."""
    best = {
        loss: dataclasses.replace(configs[loss][trial], epochs=size.looks[look])
        for loss, (trial, look) in zip(size.losses, chosen(curves), strict=True)
    }
    best[RANDOM] = arm(RANDOM, options.config())
    cells = [
        Cell(name, {}, seed, dataclasses.replace(config, seed=seed))
        for name, config in best.items()
        for seed in range(options.seeds)
    ]
    out: dict[str, list[ndarray]] = {}
    for _, folder in finish_study(cells, NAME, options, "test"):
        record = unpack(read_arrays(folder / "per_user.npz"))
        for metric, k in MEASURED:
            values = METRICS[metric].of(record, k)
            out.setdefault(f"{metric}_{k}", []).append(values)
    arrays: dict[str, ndarray] = {}
    for name, rows in out.items():
        table = np.reshape(rows, (len(best), options.seeds, -1)).astype("<f2")
        arrays |= {name: table[:-1], f"{RANDOM}_{name}": table[-1]}
    return arrays
