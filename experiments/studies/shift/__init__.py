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
from typing import Any

import numpy as np
from numpy import ndarray

from experiments.arms import FACTORS
from experiments.grid import Sweep
from experiments.studies import STUDIES
from experiments.studies.split import ndcg_of, splits_of
from experiments.study import StudyOptions, save_study
from research.report.records import study_header

__all__ = ["NAME", "PRIORS", "run_shift"]

NAME = "shift"
SWEEP: Sweep = {"temperature": (0.1, 0.2, 0.4, 0.8), "learning_rate": (0.01, 0.1)}
PRIORS = (-1.0, -0.5, 0.0, 0.5, 1.0)
CHANGES: dict[str, Any] = {**FACTORS, "table_scale": 1.0, "batch": 1024, "epochs": 20}


def run_shift(options: StudyOptions) -> Path:
    """Chooses each arm's values, trains every model, serves it under every prior.

    Returns:
      the records; an array of each split, ndcg_20 [arm, prior, user, seed], and the
      chosen temperature and learning_rate [arm].

    Raises:
      InputError: the data set is no folder that has its shifted split beside it, or a
        run failed.
    """
    study = STUDIES[NAME]
    splits = splits_of(study, options, CHANGES, dict.fromkeys(study.arms, SWEEP))
    arrays: dict[str, ndarray] = {"priors": np.array(PRIORS, "<f4")}
    for name, split in splits.items():
        chosen = split.chosen()
        users = [
            np.stack([ndcg_of(split.served(cell, PRIORS)) for cell in cells], axis=2)
            for cells in split.tested(chosen).values()
        ]
        arrays[f"{name}_ndcg_20"] = np.stack(users).astype("<f2")
        for field in SWEEP:
            values = [chosen[arm].swept[field] for arm in split.arms]
            arrays[f"{name}_{field}"] = np.array(values, "<f4")
    header = study_header(
        NAME,
        str(splits["random"].path),
        options.quick,
        splits["random"].digest,
        shifted_digest=splits["shifted"].digest,
        arms=list(splits["random"].arms),
    )
    return save_study(options.out, header, arrays)
