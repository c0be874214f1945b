"""This project's side of the benchmark cost: case after case in one process."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from experiments.bench.protocol import Answers
from experiments.bench.stepping import portions
from experiments.bench.work import TOWERS, changed, work_of
from research.config import Config
from research.config_checks import validate
from research.negatives import Size, check_negatives
from research.train.world import resolve_features
from research.types import Fold, InputError

__all__ = ["PLAIN", "cost_portions", "negatives_of"]

# The towers of the benchmarks, with every switch as an arm finds it.
PLAIN = dataclasses.replace(TOWERS, logq=0.0, mask_same_item=False)


def cost_portions(told: dict[str, Any]) -> Answers:
    """Seconds a step and bytes of each case in turn; or why it isn't possible."""
    fold = work_of(told["dataset"], told["made"], told["data_dir"]).fold
    yield {}
    for changes in told["cases"]:
        try:
            config = _possible(changed(PLAIN, changes), fold)
        except InputError as error:
            yield {"refused": str(error)}
            continue
        steps = 1 if _per_row(config) else told["steps"]
        asked = itertools.islice(portions(config, fold, steps), 1 + told["repeats"])
        ready, *found = asked
        yield {
            "seconds": [portion["seconds"] / portion["steps"] for portion in found],
            "negatives": negatives_of(config, fold.fitted.n_items),
            **{n: ready[n] for n in ("planned_bytes", "state_bytes")},
        }


def negatives_of(config: Config, items: int) -> int:
    """How many columns a row is compared with, beside its own.

    >>> negatives_of(Config(batch=8, negatives=("in-batch", "uniform:5")), 100)
    12
    """
    known = {"in-batch": config.batch - 1, "catalogue": items - 1}
    total = 0
    for spec in config.negatives:
        name, _, number = spec.partition(":")
        total += known[name] if name in known else config.draws or int(number)
    return total


def _possible(config: Config, fold: Fold) -> Config:
    """The config as it can be run on the fold.

    What can't take so many draws keeps those that its arm names.

    Raises:
      InputError: it can't be run.
    """
    candidate = fold.fitted.item
    size = Size(fold.fitted.n_items, len(np.unique(candidate)), len(candidate))
    validate(config)
    try:
        check_negatives(config, size)
    except InputError:
        config = dataclasses.replace(config, draws=0)
        check_negatives(config, size)
    return resolve_features(config, fold)


def _per_row(config: Config) -> bool:
    """Whether each row has columns of its own, so that a step is long."""
    named = ("uniform-per-row", "rank-band")
    return any(spec.partition(":")[0] in named for spec in config.negatives)
