"""From which temperature on can cosines not hold both taste and log q?

Cosine logits are at most 1 / temperature. With log q in the loss they have to hold
taste and popularity, and where they cannot, log q counts for less than it would when
serving: the curve of recall by the total strength lies further along the total (the
study ``strength``). How much further, and whether it is the number of items that
decides it, is measured here on parts of one data set: a random quarter or sixteenth of
its items, with all clicks on them, and as many clicks on all its items. Both have as
many clicks per user, and every model takes as many steps; the number of items differs.

    python -m experiments run span                 about 25 minutes of one core
    python -m experiments run span --quick         about half a minute

Of larger data sets there are parts alone. On Electronics (--dataset DIR/electronic) it
takes 40 minutes of one core, on Movies (DIR/movie) two hours. Gowalla (DIR/gowalla) is
trained on whole, which takes an hour: of all data sets tried it has the most items. DIR
is as in docs/outside.md.

Expect the shift to grow with the temperature times the log of the number of items:
roughly none up to 1.45, 0.4 at 2, 0.8 at 3.6, and more than that on Gowalla.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import ratings_of, study_split
from experiments.studies.strength import MORE_TOTALS
from experiments.studies.totals import means_by_total, save_swept
from experiments.study import StudyOptions
from research.config import Config
from research.data import name_of
from research.events import catalogue, fold
from research.prepare import prepare
from research.train.loop import train
from research.types import Fold, Ratings

NAME = "span"
TEMPERATURES = (0.1, 0.2, 0.3, 0.4)
LAMBDAS = (0.0, 1.0)
STEPS = 6000  # of every model
WHOLE, ITEMS, CLICKS = "whole", "items", "clicks"


class Part(NamedTuple):
    """A part of a data set: one of so many items, or of so many clicks.

    >>> str(Part(ITEMS, 4)), str(Part(WHOLE, 1))
    ('items/4', 'whole')
    """

    of: str
    share: int

    def __str__(self) -> str:
        return self.of if self.of == WHOLE else f"{self.of}/{self.share}"


_WHOLE, *_QUARTERS = Part(WHOLE, 1), Part(ITEMS, 4), Part(CLICKS, 4)
_SIXTEENTHS = [Part(ITEMS, 16), Part(CLICKS, 16)]
PARTS = {
    "electronic": (*_QUARTERS,),
    "ml-1m": (*_QUARTERS,),
    "movie": (*_QUARTERS, *_SIXTEENTHS),
    "gowalla": (_WHOLE,),
}


def parts_of(dataset: str, quick: bool) -> tuple[Part, ...]:
    """The parts of a data set that are trained on; of a large one not all."""
    if quick:
        return (_WHOLE, _QUARTERS[0])
    return PARTS.get(name_of(dataset), (_WHOLE, *_QUARTERS))


def taken(ratings: Ratings, part: Part, seed: int) -> Ratings:
    """The rows of a part, drawn evenly.

    Args:
      ratings: the data set.
      part: which rows are drawn.
      seed: of the draw.
    """
    draw = np.random.default_rng(seed)
    kept = np.ones(len(ratings.item), bool)
    if part.of == ITEMS:
        order = draw.permutation(len(ratings.items.id))
        kept = (order < len(order) // part.share)[ratings.item]
    elif part.of == CLICKS:
        kept = draw.random(len(kept)) < 1 / part.share
    return ratings._replace(
        user=ratings.user[kept],
        item=ratings.item[kept],
        rating=ratings.rating[kept],
        timestamp=ratings.timestamp[kept],
        part=None if ratings.part is None else ratings.part[kept],
    )


def run_span(options: StudyOptions) -> Path:
    """Trains without and with log q in the loss on each part; returns the records.

    Arrays: recall [part, temperature, seed, lambda, total], recall@20 of lists of the
    items that have a training click; items [part, temperature, seed], their number;
    log_range, the log of the largest share of clicks over the least; entropy, of the
    shares; each, training clicks of a user.

    Raises:
      NotFinite: a loss was not finite.
    """
    ratings = ratings_of(options.dataset, options.data_dir)
    parts = parts_of(options.dataset, options.quick)
    temperatures = TEMPERATURES[1:2] if options.quick else TEMPERATURES
    split = study_split(options.dataset, options.data_dir)
    runs = []
    for part in parts:
        folds = [
            fold(catalogue(taken(ratings, part, seed)), split)
            for seed in range(options.seeds)
        ]
        for temperature in temperatures:
            for seed, phase in enumerate(folds):
                config = Config(
                    dataset=options.dataset,
                    split=split,
                    seed=seed,
                    temperature=temperature,
                )
                steps = 60 if options.quick else STEPS
                runs.append(measured(config, phase, steps))
                best = runs[-1]["recall"].max(axis=1)
                options.progress(
                    f"{part}, temperature {temperature:g}, seed {seed}: highest "
                    f"recall {best[0]:.4f} without log q, {best[1]:.4f} with it"
                )
    more: dict[str, Any] = {"totals": MORE_TOTALS, "lambdas": LAMBDAS}
    names = [str(part) for part in parts]
    return save_swept(options, NAME, runs, temperatures, more, parts=names)


def measured(
    config: Config, phase: Fold, steps: int
) -> dict[str, Float[ndarray, "..."]]:
    """The arrays' values of one part with one temperature and seed, by name.

    Args:
      config: of the model without log q in the loss.
      phase: of the part.
      steps: of each model, at the least: its epochs are whole.
    """
    counts = phase.fitted.item_counts
    share = counts[counts > 0] / counts.sum()
    epochs = -(-steps // max(len(phase.fitted.item) // config.batch, 1))
    curves: list[Float[ndarray, " t"]] = []
    for strength in LAMBDAS:
        changed = dataclasses.replace(config, logq=strength, epochs=epochs)
        run = prepare(changed, phase)
        done = train(run.config, run.fold)
        vectors = done.user_vectors, done.item_vectors
        curves.extend(means_by_total(run, vectors, MORE_TOTALS, min_clicks=1))
    return {
        "recall": np.array(curves),
        "items": np.array(len(share)),
        "log_range": np.log(share.max() / share.min()),
        "entropy": -np.sum(share * np.log(share)),
        "each": np.array(len(phase.fitted.item) / phase.fitted.n_users),
    }
