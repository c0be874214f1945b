"""Should log q be corrected if test items are drawn evenly from the catalogue?

The same interactions are split twice: at random, so that test items are as popular as
train items, and with test items drawn evenly from the catalogue (the shifted split of
IR-Benchmark [yang2024psl]). Matrix factorisation is trained on each with in-batch and
mixed negatives, without and with log q, and with all items as negatives; each model is
served with popularity priors from -1 to 1. A temperature and a learning rate are chosen
for each arm and split on a tenth of the training part; models are then trained on all
of it.

    python -m experiments run shift --dataset DIR/electronic           about 180 minutes
    python -m experiments run shift --quick --dataset DIR/electronic   about 3 minutes

The data set is a folder with the first split; the folder with the second one is beside
it and has -popularity after its name (docs/outside.md). A run that was finished is not
done again. On Amazon's Movies and TV (DIR/movie) a run takes five times as long:
--arms in-batch in-batch+logq --seeds 2 takes 130 minutes.

Expect the corrected models to be better at random, the uncorrected ones on the shift.
With temperatures up to 0.8 instead of 0.2, expect the uncorrected arms to choose 0.4
and the corrected ones 0.2 on both splits, and every difference between them to become
smaller without changing its sign: a larger temperature makes up for a part of the
correction. On Movies expect the same verdicts but one: popularity alone finds little
there (NDCG@20 0.014, item cosine 0.084), so that a prior of 1 is too much at random.

At the rate 0.01, the only one at first, 20 epochs end early: all items as negatives
have 0.009 on the shifted split of Electronics where the study outside, at 0.1 and after
up to 200 epochs, has 0.014, more than the 0.012 of in-batch negatives without log q.
With the rates 0.01 and 0.1, expect every arm to choose 0.1, the corrected ones the
temperature 0.2 and the uncorrected ones 0.4 or 0.8; every NDCG@20 to rise, and that of
the corrected arms by more on the shifted split; the same verdicts on both data sets,
that is, the uncorrected ones still better there.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.arms import FACTORS
from experiments.finish import announce, finish
from experiments.grid import Cell, Grid, Sweep, expand
from experiments.inputs import digest_of, prepared_run
from experiments.output.folders import run_folder, run_id
from experiments.output.plan import plan
from experiments.runs import rank, serve
from experiments.studies import STUDIES
from experiments.study import StudyOptions, save_study
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF, METRICS
from research.evaluate.record import evaluate
from research.files import read_arrays, read_json
from research.report.records import study_header
from research.types import InputError

__all__ = ["NAME", "PRIORS", "SHIFTED", "run_shift"]

NAME = "shift"
SHIFTED = "-popularity"  # ends the name of the folder with the shifted split
SWEEP: Sweep = {"temperature": (0.1, 0.2, 0.4, 0.8), "learning_rate": (0.01, 0.1)}
PRIORS = (-1.0, -0.5, 0.0, 0.5, 1.0)
METRIC = "ndcg"
CHANGES: dict[str, Any] = {
    **FACTORS,
    "table_scale": 1.0,
    "batch": 1024,
    "epochs": 20,
}


class Split(NamedTuple):
    """A split of the data, and what is left to do or to find for it."""

    path: Path
    options: StudyOptions

    @property
    def arms(self) -> tuple[str, ...]:
        """Those asked for, in the study's order."""
        asked = self.options.arms or STUDIES[NAME].arms
        return tuple(arm for arm in STUDIES[NAME].arms if arm in asked)

    def trained(self, fields: dict[str, Any], sweeps: dict[str, Sweep]) -> list[Cell]:
        """The cells of every arm under its sweep, trained.

        Raises:
          InputError: a run failed.
        """
        grid = Grid(
            name=NAME,
            question=STUDIES[NAME].question,
            arms=self.arms,
            reference=self.arms[0],
            minutes=STUDIES[NAME].minutes,
            arm_sweeps={arm: (sweep,) for arm, sweep in sweeps.items()},
            changes=CHANGES,
        )
        base = Config(dataset=str(self.path), split="given", **fields)
        seeds = 1 if fields["fit_on"] == "train" else self.options.seeds
        cells = expand(grid, base, seeds, quick=self.options.quick)
        cells, runs, total = plan(cells, NAME, self.options.out, None)
        announce(f"{NAME}, {self.path.name}, {fields['fit_on']}", total, len(runs))
        if runs and finish(runs, None, self.options.jobs or 1):
            raise InputError(f"study {NAME}: a run failed; see the lines above")
        return cells

    def folder(self, cell: Cell) -> Path:
        """Where a finished cell's files are."""
        identity = run_id(cell.config, digest_of(cell.config, None))
        name = name_of(cell.config.dataset)
        return run_folder(self.options.out, name, NAME, identity)

    def chosen(self) -> dict[str, dict[str, float]]:
        """Each arm's values of highest NDCG@20 on a tenth of the train part, by field.

        The first of the sweep where several are highest.
        """
        fields = {"fit_on": "train", "validation_share": 0.1}
        best: dict[str, tuple[float, dict[str, float]]] = {}
        for cell in self.trained(fields, dict.fromkeys(self.arms, SWEEP)):
            numbers = read_json(self.folder(cell) / "metrics.json")[METRIC]
            found = float(numbers[str(CUTOFF)])
            if cell.arm not in best or found > best[cell.arm][0]:
                best[cell.arm] = found, cell.swept
        return {arm: swept for arm, (_, swept) in best.items()}

    def users(self, cell: Cell) -> ndarray:
        """NDCG@20 of each judged user under each prior, [prior, user]."""
        run = prepared_run(cell.config)
        vectors = read_arrays(self.folder(cell) / "vectors.npz")
        rows = []
        for prior in PRIORS:
            scorer = serve(run, vectors["users"], vectors["items"], prior=prior)
            record = evaluate(run.fold, rank(run, scorer), ks=(CUTOFF,))
            rows.append(METRICS[METRIC].of(record, CUTOFF))
        return np.stack(rows)


def run_shift(options: StudyOptions) -> Path:
    """Chooses each arm's values, trains every model, serves it under every prior.

    Returns:
      the records; an array of each split, ndcg_20 [arm, prior, user, seed], and the
      chosen temperature and learning_rate [arm].

    Raises:
      InputError: the data set is no folder that has its shifted split beside it, or a
        run failed.
    """
    random = Path(options.dataset).absolute()
    paths = {"random": random, "shifted": random.with_name(random.name + SHIFTED)}
    for path in paths.values():
        if not path.is_dir():
            raise InputError(
                f"{path}: no such folder; study {NAME} needs --dataset DIR/NAME, with "
                f"NAME{SHIFTED} beside it"
            )
    arrays: dict[str, ndarray] = {"priors": np.array(PRIORS, "<f4")}
    digests = {}
    for name, path in paths.items():
        split = Split(path, options)
        chosen = split.chosen()
        sweeps: dict[str, Sweep] = {
            arm: {field: (value,) for field, value in values.items()}
            for arm, values in chosen.items()
        }
        cells = split.trained({"fit_on": "train-only"}, sweeps)
        digests[name] = digest_of(cells[0].config, None)
        arms = split.arms
        found = [[split.users(c) for c in cells if c.arm == arm] for arm in arms]
        arrays[f"{name}_ndcg_20"] = np.stack(
            [np.stack(seeds, axis=2) for seeds in found]
        ).astype("<f2")
        for field in SWEEP:
            values = [chosen[arm][field] for arm in arms]
            arrays[f"{name}_{field}"] = np.array(values, "<f4")
    header = study_header(
        NAME,
        name_of(str(paths["random"])),
        options.quick,
        digests["random"],
        shifted_digest=digests["shifted"],
        arms=list(arms),
    )
    return save_study(options.out, header, arrays)
