"""The study trade-off, at the epoch that validation chooses for each model.

In ``trade-off`` all models are trained equally long. But coverage also grows with the
epochs, and on Electronics validation chooses 3 for a model with log q in the loss and
12 for one without, so that what one arm has there may be training that nobody would do.
Here, after each epoch, validation recall@20 at a total of 1 chooses how long each arm
is trained at each temperature and seed. All else is as in ``trade-off``.

    python -m experiments run trade-off-chosen            about 15 minutes on 2 cores
    python -m experiments run trade-off-chosen --quick    about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 70 minutes.
Expect on Electronics: log q in the loss covers more of the catalogue, which a prior
reaches too, at the same recall@20.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.totals import at_chosen_epoch
from experiments.studies.trade_off import (
    ARMS,
    COLUMNS,
    KEPT,
    LOWER,
    NEAR,
    NUMBERS,
    PART,
    Curves,
    all_curves,
    judged,
    swept,
    trade_off_figure,
    trade_off_frame,
    trade_off_page,
)
from experiments.study import Report, StudyOptions, not_run
from research.config import Config
from research.contrast import MORE
from research.report.pages import interval_frame
from research.report.records import Stored

NAME = "trade-off-chosen"
Rows = list[tuple[str, Float[ndarray, " s"], float, float]]


def run_trade_off_chosen(options: StudyOptions) -> Path:
    """Trains each arm at each temperature with each seed; returns the records.

    Arrays: those of ``trade_off.swept`` after the chosen epoch, and that epoch [arm,
    temperature, seed].
    """

    def chosen(config: Config) -> dict[str, Any]:
        return at_chosen_epoch(config, options.data_dir, NUMBERS)

    return swept(options, NAME, chosen, (*KEPT, "epoch"))


def chosen_frame(stored: Stored) -> pd.DataFrame:
    """The frame of ``trade-off``, with the mean of the chosen epochs."""
    frame, epochs = trade_off_frame(stored), stored.floats()["epoch"]
    seeds = epochs.reshape(len(frame), -1)
    return frame.join(
        interval_frame({"epoch": seeds}, row=range(len(frame))).drop(columns="row")
    )


def _of_arm(name: str, curves: Curves) -> Rows:
    recall, coverage = curves.at_one("recall"), curves.at_one("coverage")
    served = curves.calibrated("recall")
    least, most = curves.temperatures[[0, -1]]
    adds = (served - recall)[curves.chosen]
    return [
        (
            f"{name}: coverage@20 at a total of 1 is higher at {least:g} than at "
            f"{most:g}, by {LOWER:g} or more",
            *(coverage[0] - coverage[-1], LOWER, np.inf),
        ),
        (
            f"{name}: calibrated, recall@20 ranges over the temperatures by at least "
            f"{PART:g} times as much as at a total of 1",
            *(np.ptp(served, axis=0) / np.ptp(recall, axis=0), PART, np.inf),
        ),
        (
            f"{name}: at the chosen temperature, calibration adds at most {NEAR:g} to "
            "recall@20 at a total of 1",
            *(adds, -np.inf, NEAR),
        ),
    ]


def _between(one: Curves, other: Curves) -> Rows:
    """Of the arms without and with log q in the loss, as validation serves them."""
    recall, coverage = (
        other.served(number) - one.served(number) for number in NUMBERS[:2]
    )
    level = other.calibrated("coverage")
    gain = one.where("recall", "coverage", level, one.chosen)[other.chosen]
    prior, logq = ARMS
    return [
        (
            f"calibrated at the chosen temperature, {logq} has at most {NEAR:g} more "
            f"recall@20 than {prior}",
            *(recall, -np.inf, NEAR),
        ),
        (
            f"calibrated at the chosen temperature, {logq} has more coverage@20 than "
            f"{prior}",
            *(coverage, MORE, np.inf),
        ),
        (
            f"{prior} has, with the total at which it has that coverage, at most "
            f"{NEAR:g} less recall@20 than {logq}",
            *(gain - other.served("recall"), -NEAR, np.inf),
        ),
    ]


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction that the arms can judge."""
    arms = all_curves(stored)
    rows = [row for name, curves in arms.items() for row in _of_arm(name, curves)]
    if set(ARMS) <= set(arms):
        rows += _between(*(arms[name] for name in ARMS))
    return [judged(*row) for row in rows]


def report_trade_off_chosen(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = chosen_frame(stored)
    by = "temperature, epochs and total"
    drawings = {"-curves": trade_off_figure(frame, stored, by)}
    when = "the epoch of highest validation recall@20 at a total of 1"
    columns = (("epochs", "epoch", ".1f"), *COLUMNS)
    page: Sequence[str] = trade_off_page(frame, stored, when, columns)
    lacking = not_run(ARMS, stored.header["arms"])
    return Report({".csv": frame}, page, drawings, verdicts(stored), lacking)
