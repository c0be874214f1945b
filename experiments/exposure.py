"""The study behind the grid exposure: when does log q find what users would choose?

Made worlds (research/data/synthetic.py) over the spread of quality and the spread of
exposure. Training sees clicks alone; the model is judged by the relevance that made
them.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.simulated import SIMULATED
from experiments.study_records import load_study, records_path, save_study
from research.data.synthetic import Synthetic, made_fold, make_synthetic, relevance
from research.report.phase import Phase, write_phase
from research.train.loop import train

__all__ = ["ARMS", "recovered", "report_exposure", "run_exposure"]

NAME = "exposure"
ARMS = ("in-batch", "in-batch+logq")
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)
USERS, ITEMS, GROUPS, CLICKS, TOP = 600, 400, 40, 50, 20
RECIPE: dict[str, Any] = {
    "user_features": (),
    "item_features": ("id",),
    "dim": 32,
    "user_hidden": (64,),
    "item_hidden": (64,),
    "batch": 256,
    "epochs": 12,
    "learning_rate": 3e-3,
}


def recovered(
    users: Float[ndarray, "u d"], items: Float[ndarray, "i d"], world: Synthetic
) -> float:
    """The share of each user's 20 most relevant items among its 20 highest scores.

    Ties of relevance, which only equal qualities of one group have, go by index.
    """

    def top(scores: ndarray) -> ndarray:
        best = np.zeros(scores.shape, bool)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        np.put_along_axis(best, order, True, axis=1)
        return best

    both = top(users @ items.T) & top(relevance(world))
    return float(both.sum(axis=1).mean() / TOP)


def run_exposure(
    out: Path,
    dataset: str = SIMULATED,
    data_dir: str | None = None,
    quick: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Trains each arm in each world; writes records, table and figure under out.

    Args:
      out: the output folder.
      dataset: not used: the worlds are made.
      data_dir: nor is this.
      quick: four worlds, one seed, two epochs: no result.
      progress: told a line a world.
    """
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    seeds = 1 if quick else 3
    found = np.zeros((len(ARMS), len(spreads), len(spreads), seeds))
    for (q, quality), (e, exposure), seed in itertools.product(
        enumerate(spreads), enumerate(spreads), range(seeds)
    ):
        world = make_synthetic(
            USERS, ITEMS, GROUPS, quality=quality, exposure=exposure, seed=seed
        )
        for a, name in enumerate(ARMS):
            found[a, q, e, seed] = _trained(name, world, seed, 2 if quick else None)
        progress(
            f"quality {quality:g}, exposure {exposure:g}, seed {seed}: recovered "
            + ", ".join(f"{n} {found[a, q, e, seed]:.3f}" for a, n in enumerate(ARMS))
        )
    path = save_study(
        records_path(out, SIMULATED, NAME),
        {"recovered": found.astype("<f4"), "spreads": np.array(spreads, "<f4")},
        SIMULATED,
        quick,
        arms=list(ARMS),
    )
    report_exposure(path, out)
    return path


def report_exposure(records: Path, out: Path) -> list[Path]:
    """Writes the study's table and figure under out from its records.

    Raises:
      InputError: no such file, or of another RESULTS_VERSION.
    """
    header, arrays = load_study(records)
    spreads = tuple(float(x) for x in arrays["spreads"])
    phase = Phase(tuple(header["arms"]), spreads, arrays["recovered"].astype(float))
    table, figure = (out / what / SIMULATED / NAME for what in ("tables", "figures"))
    return write_phase(phase, table, figure, header["quick"])


def _trained(name: str, world: Synthetic, seed: int, epochs: int | None) -> float:
    changes = {**RECIPE, "seed": seed, **({"epochs": epochs} if epochs else {})}
    config = dataclasses.replace(arm(name), **changes)
    done = train(config, made_fold(world, CLICKS, seed))
    return recovered(done.user_vectors, done.item_vectors, world)
