"""From the cells of a grid to the runs that are still to be done."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.folders import finished
from experiments.grid import Cell
from experiments.runs import KS, fold_of, is_done, locate, ratings_of
from research.baselines import BASELINES, option_values
from research.config import Config, structure
from research.config_checks import validate
from research.events import SPLITS
from research.features.search import check_search
from research.losses import check_loss
from research.negatives import Size, check_negatives, make_sources
from research.positives import USER_ITEM, USER_USER, check_positives, make_positives
from research.positives.tasks import asked
from research.temperature import check_temperature
from research.towers.encoders import ENCODERS, REFUSED
from research.train.mesh import placement_over
from research.train.optimisers import OPTIMISERS
from research.train.world import resolve_features
from research.types import InputError, choose

__all__ = ["MODELS", "TOWERS", "Run", "check_devices", "label", "plan", "prepare"]

TOWERS = "two-tower"
MODELS = (TOWERS, *BASELINES)
SMALL = ("ml-100k", "ml-latest-small")


class Run(NamedTuple):
    """A run to do: its config, the serving priors asked of it, its folder, a name.

    devices is how many share each batch (research/train/mesh.py).
    """

    config: Config
    priors: tuple[float, ...]
    folder: Path
    name: str
    devices: int = 1

    @property
    def shape(self) -> Config:
        """Runs of one shape share a compilation."""
        return structure(self.config)


def prepare(config: Config, data_dir: str | None) -> Config:
    """Checks a config against the registries and its data; names its features.

    A baseline has no batch, and most have no seed: whatever can't matter is set to its
    default, so that what draws nothing is one run however many seeds a grid has.

    Raises:
      InputError: anything that can't be meant, before any training starts.
    """
    validate(config)
    choose(config.model, dict.fromkeys(MODELS), "model")
    choose(config.split, SPLITS, "split")
    check_loss(config)
    check_temperature(config)
    check_positives(config)
    OPTIMISERS.choose(config.optimiser)
    if config.encoder in REFUSED:
        raise InputError(f"encoder {config.encoder}: {REFUSED[config.encoder]}")
    choose(config.encoder, ENCODERS, "history encoder")
    check_search(config)
    make_sources(config.negatives, config)
    fold = fold_of(config, data_dir)
    if config.model != TOWERS and config.positives != USER_ITEM:
        raise InputError(
            f"model {config.model} with positives {config.positives}: the baselines "
            f"rank items for users"
        )
    n = asked(config, fold).fold.fitted.n_items
    if max(KS) > n:
        what = "users" if config.positives == USER_USER else "items"
        raise InputError(f"k = {max(KS)} is above the number of {what} ({n})")
    if config.model != TOWERS:
        return _baseline(config)
    if config.baseline:
        raise InputError(
            f"baseline {' '.join(config.baseline)}: model {TOWERS} has none to set"
        )
    found = make_positives(config, fold.fitted)
    candidate = found.pairs.candidate
    if config.batch > len(candidate):
        raise InputError(
            f"batch {config.batch} is larger than the fitted part "
            f"({len(candidate)} pairs)"
        )
    size = Size(found.candidates, len(np.unique(candidate)), len(candidate))
    check_negatives(config, size)
    return resolve_features(config, fold)


def check_devices(config: Config, devices: int) -> None:
    """Looks whether so many devices could share the run's batches.

    Raises:
      InputError: a baseline has no batches; and see placement_over.
    """
    if devices != 1 and config.model != TOWERS:
        raise InputError(f"devices is {devices}: model {config.model} uses only one")
    placement_over(devices, config.batch)


def _baseline(config: Config) -> Config:
    """The config of a baseline: its own values named, all else at its default."""
    entry = BASELINES[config.model]
    large = config.dataset not in SMALL
    values = option_values(config.model, entry, config.baseline, large)
    kept = ("dataset", "split", "fit_on", "threshold", "tie_salt", "library", "model")
    return Config(
        **{name: getattr(config, name) for name in kept},
        baseline=tuple(f"{name}={value:.12g}" for name, value in values.items()),
        seed=config.seed if entry.seeded else 0,
    )


def plan(
    cells: list[Cell], grid: str, out: Path, data_dir: str | None
) -> tuple[list[Cell], list[Run], int]:
    """What is to be done for the cells of a grid.

    Returns:
      the cells with their configs prepared; the runs with something missing; the
      number of all runs, finished ones included.
    """
    prepared = [s._replace(config=prepare(s.config, data_dir)) for s in cells]
    wanted: dict[str, dict[float, Cell]] = {}
    for cell in prepared:
        digest = ratings_of(cell.config.dataset, data_dir).digest
        identity, _ = locate(cell.config, grid, out, digest)
        wanted.setdefault(identity, {})[cell.config.prior] = cell
    runs = []
    for by_prior in wanted.values():
        cell = next(iter(by_prior.values()))
        digest = ratings_of(cell.config.dataset, data_dir).digest
        folder = locate(cell.config, grid, out, digest)[1]
        missing = [p for p, s in by_prior.items() if not is_done(s.config, folder)]
        if missing:
            # metrics.json marks the run as finished: without it, prior 0 is due too.
            due = [] if finished(folder) else [0.0]
            priors = tuple(dict.fromkeys([*due, *missing]))
            base = dataclasses.replace(cell.config, prior=0.0)
            runs.append(Run(base, priors, folder, label(cell)))
    return prepared, runs, len(wanted)


def label(cell: Cell) -> str:
    """A run's name for a person: arm, swept values, seed."""
    swept = [f"{name} {value:g}" for name, value in cell.swept.items()]
    model = cell.config.model
    seeded = model == TOWERS or BASELINES[model].seeded
    seed = [f"seed {cell.seed}"] if seeded else []
    return " ".join([cell.arm, *swept, *seed])
