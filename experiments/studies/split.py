"""A study's arms on a published split: values chosen, models trained and served."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.finish import finish_study
from experiments.grid import Cell, Grid, Sweep, expand
from experiments.inputs import digest_of, prepared_run
from experiments.output.plan import locate
from experiments.runs import rank, serve
from experiments.study import Study, StudyOptions
from research.config import Config
from research.evaluate.metrics import CUTOFF, METRICS
from research.evaluate.record import Record, evaluate
from research.files import read_arrays, read_json
from research.serving import Serving
from research.types import InputError

SHIFTED = "-popularity"  # ends the name of the folder with the shifted split
METRIC = "ndcg"
CHOOSING: dict[str, Any] = {"fit_on": "train", "validation_share": 0.1}
TESTING: dict[str, Any] = {"fit_on": "train-only"}


class Split(NamedTuple):
    """A split of the data, and a study's arms on it.

    Attributes:
      study: the study, after which its runs are named.
      path: the folder with the split.
      options: of the study.
      changes: changes of the config, which those of an arm override.
      sweeps: by arm, the values that it may choose among.
    """

    study: Study
    path: Path
    options: StudyOptions
    changes: Mapping[str, Any]
    sweeps: Mapping[str, Sweep]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that the options ask for, in the order of sweeps."""
        asked = self.options.arms or self.sweeps
        return tuple(arm for arm in self.sweeps if arm in asked)

    @property
    def digest(self) -> str:
        """The identity of the data."""
        return digest_of(Config(dataset=str(self.path), split="given"), None)

    def trained(
        self, phase: Mapping[str, Any], sweeps: Mapping[str, Sweep]
    ) -> list[Cell]:
        """The cells of every arm under its sweep, trained.

        Args:
          phase: CHOOSING, with one seed, or TESTING.
          sweeps: of each arm.

        Raises:
          InputError: a run failed.
        """
        name = self.study.name
        grid = Grid(
            name=name,
            question=self.study.question,
            arms=self.arms,
            reference=self.arms[0],
            minutes=self.study.minutes,
            arm_sweeps={arm: (sweeps[arm],) for arm in self.arms},
            changes=dict(self.changes),
        )
        base = Config(dataset=str(self.path), split="given", **phase)
        seeds = self.options.seeds if phase is TESTING else 1
        cells = expand(grid, base, seeds, quick=self.options.quick)
        options = self.options._replace(jobs=self.options.jobs or 1)
        what = f"{self.path.name}, {base.fit_on}"
        return [cell for cell, _ in finish_study(cells, name, options, what)]

    def folder(self, cell: Cell) -> Path:
        """The folder of a finished cell's files."""
        digest = digest_of(cell.config, None)
        return locate(cell, self.study.name, self.options.out, digest)[1]

    def chosen(self) -> dict[str, Cell]:
        """Each arm's cell of highest NDCG@20 on a tenth of the train part.

        Among equal ones the first of the sweep counts.
        """
        best: dict[str, tuple[float, Cell]] = {}
        for cell in self.trained(CHOOSING, self.sweeps):
            numbers = read_json(self.folder(cell) / "metrics.json")[METRIC]
            found = float(numbers[str(CUTOFF)])
            if cell.arm not in best or found > best[cell.arm][0]:
                best[cell.arm] = found, cell
        return {arm: cell for arm, (_, cell) in best.items()}

    def tested(self, chosen: Mapping[str, Cell]) -> dict[str, list[Cell]]:
        """Each arm's cells at its chosen values, trained on the train part, by seed."""
        sweeps: dict[str, Sweep] = {
            arm: {field: (value,) for field, value in cell.swept.items()}
            for arm, cell in chosen.items()
        }
        cells = self.trained(TESTING, sweeps)
        return {arm: [cell for cell in cells if cell.arm == arm] for arm in self.arms}

    def served(self, cell: Cell, priors: Iterable[float]) -> list[Record]:
        """The record of a finished cell's lists under each popularity prior."""
        run = prepared_run(cell.config)
        vectors = read_arrays(self.folder(cell) / "vectors.npz")
        users, items = vectors["users"], vectors["items"]
        return [
            evaluate(
                run.fold,
                rank(run, serve(run, users, items, serving=Serving(prior))),
                ks=(CUTOFF,),
            )
            for prior in priors
        ]


def ndcg_of(records: Iterable[Record]) -> Float[ndarray, "p v"]:
    """NDCG@20 of each judged user in each record."""
    return np.stack([METRICS[METRIC].of(record, CUTOFF) for record in records])


def splits_of(
    study: Study,
    options: StudyOptions,
    changes: Mapping[str, Any],
    sweeps: Mapping[str, Sweep],
    both: bool = True,
) -> dict[str, Split]:
    """The "random" split of the data set's folder, and the "shifted" one beside it.

    Args:
      study: the study.
      options: its options.
      changes: changes of the config, which those of an arm override.
      sweeps: by arm, the values that it may choose among.
      both: whether the shifted split must be there.

    Raises:
      InputError: a folder is missing.
    """
    random = Path(options.dataset).absolute()
    paths = {"random": random, "shifted": random.with_name(random.name + SHIFTED)}
    if not both and not paths["shifted"].is_dir():
        del paths["shifted"]
    beside = f", with NAME{SHIFTED} beside it" if both else ""
    for path in paths.values():
        if not path.is_dir():
            raise InputError(
                f"{path}: no such folder; study {study.name} needs "
                f"--dataset DIR/NAME{beside}"
            )
    return {
        name: Split(study, path, options, changes, sweeps)
        for name, path in paths.items()
    }
