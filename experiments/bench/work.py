"""The work that all sides do: one model, one data set, one order of batches.

The user tower reads the user's id and the mean of the last 20 positives, the item tower
the item's id; both are an MLP of 128 and 64, to vectors of length 1. In-batch softmax
over score / 0.1 - log q, the row's own item masked in other columns, Adam at 1e-3. Each
side begins with the same parameters and sees the same batches, so the losses of the
first steps show whether it does the same work.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.loaded import fold_of
from experiments.recipe import FIRST
from research.batches import epoch_batches
from research.config import Config
from research.data.synthetic import made_fold, make_synthetic
from research.files import write_arrays
from research.prepare import prepare
from research.train.run_state import init_state, traced_values
from research.train.world import World
from research.types import Fold, InputError

TOWERS = Config(
    user_features=("id",),
    item_features=("id",),
    history=20,
    dropout=0.0,
    weight_decay=0.0,
    logq=1.0,
    mask_same_item=True,
    **{**FIRST, "epochs": 1},
)
MAIN = "ml-1m"
# Steps are timed on the first 80 % of all events (460,224 of ml-1m); sweeps and
# rankings on the phase of reports.
TRAINING, RANKING = "training", "ranking"
PHASES = {TRAINING: ("time", "train"), RANKING: ("ratio", "train+validation")}
# Users, items and positives per user of the synthetic data sets that stand in for
# missing ones: those of the data set.
SIZES = {"ml-1m": (6038, 3533, 76), "ml-100k": (942, 1447, 52), "tiny": (300, 200, 12)}


class Work(NamedTuple):
    """The data of a comparison: a data set's name, whether it is synthetic, the phase.

    place is the folder that has it, None where it comes from the usual sources.
    """

    dataset: str
    synthetic: bool
    fold: Fold
    place: str | None = None

    def request(self) -> dict[str, Any]:
        """The part of a side's request by which it reads the same data."""
        return {
            "dataset": self.dataset,
            "synthetic": self.synthetic,
            "data_dir": self.place,
        }

    def summary(self) -> dict[str, Any]:
        """The data's name and sizes, for readers."""
        fitted = self.fold.fitted
        stand_in = f"synthetic data set in place of {self.dataset}"
        return {
            "data": stand_in if self.synthetic else self.dataset,
            "users": fitted.n_users,
            "items": fitted.n_items,
            "examples": len(fitted.item),
        }


def changed(base: Config, changes: dict[str, Any]) -> Config:
    """The config with changes that came as JSON, which has lists for tuples."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(base, **values)


def find_work(dataset: str, data_dir: str | None, phase: str = TRAINING) -> Work:
    """The data set where a source has it, else a synthetic one of its size.

    Raises:
      InputError: data_dir was given, and lacks what is needed.
    """
    if dataset != "tiny":
        for place in dict.fromkeys((data_dir, data_dir if dataset == MAIN else None)):
            try:
                return work_of(dataset, False, place, phase)
            except InputError:
                if place is not None and dataset == MAIN:
                    raise
    return work_of(dataset, True, None)


def work_of(
    dataset: str, synthetic: bool, data_dir: str | None, phase: str = TRAINING
) -> Work:
    """That data set, or the synthetic one in its place."""
    if synthetic:
        users, items, each = SIZES.get(dataset) or map(int, dataset.split("x"))
        return Work(dataset, synthetic, made_fold(make_synthetic(users, items), each))
    split, fit_on = PHASES[phase]
    config = Config(dataset=dataset, split=split, fit_on=fit_on)
    return Work(dataset, synthetic, fold_of(config, data_dir), data_dir)


def save_arrays(work: Work, batches: tuple[int, ...], path: Path) -> Path:
    """Writes what the peers need as one .npz, whose names are their contract.

    user, item [n] and history [n, 20] (latest first, the number of items where there
    is none) are the examples; log_q [i] is the log of an item's share of them;
    batches_<B> [steps, B] are the examples of each step. user_table, item_table,
    history_table, and kernel and bias of <tower>_0 and <tower>_1 are the parameters
    at the start; a kernel is [in, out].
    """
    run = prepare(TOWERS, work.fold)
    world, sizes = run.world
    state = init_state(run, world, sizes)
    n = len(world.pairs.candidate)
    arrays = {
        "user": np.asarray(world.pairs.query),
        "item": np.asarray(world.pairs.candidate),
        "history": _histories(world),
        "log_q": np.asarray(world.pool.log_share),
        "temperature": np.asarray(traced_values(TOWERS)["temperature"]),
        **{f"batches_{b}": epoch_batches(n, b, 0, 1) for b in batches},
        **_parameters(state.params),
    }
    return write_arrays(path, arrays, level=0)


def _histories(world: World) -> ndarray:
    position, user = np.asarray(world.pairs.position), np.asarray(world.pairs.query)
    item, offsets = np.asarray(world.item), np.asarray(world.offsets)
    at = position[:, None] - np.arange(1, TOWERS.history + 1)[None, :]
    there = at >= offsets[user][:, None]
    none = len(world.pool.counts)
    return np.where(there, item[np.where(there, at, 0)], none).astype(np.int32)


def _parameters(params: dict[str, Any]) -> dict[str, ndarray]:
    arrays = {f"{name}_table": np.asarray(t) for name, t in params["tables"].items()}
    for tower in ("user", "item"):
        (layers,) = params[tower]["params"].values()
        for n, name in enumerate(sorted(layers)):
            arrays[f"{tower}_{n}_kernel"] = np.asarray(layers[name]["kernel"])
            arrays[f"{tower}_{n}_bias"] = np.asarray(layers[name]["bias"])
    return arrays
