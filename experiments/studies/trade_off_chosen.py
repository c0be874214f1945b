"""The study trade-off, at the epoch that validation chooses for each model.

In ``trade-off`` all models are trained equally long. But coverage also grows with the
epochs, so what one arm has there may be training that nobody would do. Here, after each
epoch, validation recall@20 judges each arm at each temperature and seed, in two ways:
served with a total of 1, and with the total that validation clicks give that epoch's
model. Each way chooses the epoch and the temperature.

    python -m experiments run trade-off-chosen            about 20 minutes on 2 cores
    python -m experiments run trade-off-chosen --quick    about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 45 minutes, on MovieLens 1M
an hour.
Expect on Electronics: chosen at a total of 1, a prior alone reaches the coverage of log
q in the loss; chosen with the calibrated total, log q in the loss is trained longer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.totals import at_chosen_epochs
from experiments.studies.trade_off import (
    ARMS,
    COLUMNS,
    KEPT,
    LOWER,
    NEAR,
    NUMBERS,
    PART,
    TERMS,
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
WAYS = ("a total of 1", "the calibrated total")  # by which validation chooses
TERMS_HERE = {
    **TERMS,
    "chosen by": "with which total validation recall@20 chooses the epoch, of each "
    "seed, and the temperature",
    "bold": "the temperature so chosen",
    "epochs": "mean number of epochs so chosen",
}
FILES = ("curves", "curves-calibrated")  # what follows the name of a way's figure
Seeds = Float[ndarray, " s"]
Rows = list[tuple[str, Seeds, float, float]]


def run_trade_off_chosen(options: StudyOptions) -> Path:
    """Trains each arm at each temperature with each seed; returns the records.

    Arrays: those of ``trade_off.swept`` and the chosen epoch, each with an axis of WAYS
    after the seeds.
    """

    def chosen(config: Config) -> dict[str, Any]:
        return at_chosen_epochs(config, options.data_dir, NUMBERS)

    return swept(options, NAME, chosen, (*KEPT, "epoch"))


def in_way(stored: Stored, way: int) -> Stored:
    """The records of one of WAYS, as ``trade-off`` has them, and the epochs."""
    arrays = {
        name: values[:, :, :, way] if values.ndim > 1 else values
        for name, values in stored.floats().items()
    }
    return Stored(stored.header, stored.content, arrays)


def chosen_frame(stored: Stored) -> pd.DataFrame:
    """The rows of ``trade-off`` in each of WAYS, with the mean of the chosen epochs."""
    parts = []
    for way, name in enumerate(WAYS):
        one = in_way(stored, way)
        frame, epochs = trade_off_frame(one), one.arrays["epoch"]
        seeds = {"epoch": epochs.reshape(len(frame), -1)}
        of_row = interval_frame(seeds, row=range(len(frame))).drop(columns="row")
        part = frame.join(of_row)
        part.insert(0, "chosen_by", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


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


def _added(one: Curves, other: Curves) -> list[Seeds]:
    """What log q in the loss adds to recall and coverage, served as validation says.

    And what the prior alone adds to its recall, at its coverage.
    """
    recall, coverage = (
        other.served(number) - one.served(number) for number in NUMBERS[:2]
    )
    level = other.calibrated("coverage")
    there = one.where("recall", "coverage", level, one.chosen)[other.chosen]
    return [recall, coverage, there - other.served("recall")]


def _at_one(one: Curves, other: Curves) -> Rows:
    recall, coverage, gain = _added(one, other)
    prior, logq = ARMS
    text = f"calibrated at the chosen temperature, {logq} has"
    return [
        (
            f"{text} at most {NEAR:g} more recall@20 than {prior}",
            *(recall, -np.inf, NEAR),
        ),
        (f"{text} more coverage@20 than {prior}", coverage, MORE, np.inf),
        (
            f"{prior} has, with the total at which it has that coverage, at most "
            f"{NEAR:g} less recall@20 than {logq}",
            *(gain, -NEAR, np.inf),
        ),
    ]


def _calibrated(one: Curves, other: Curves, before: Curves, later: Seeds) -> Rows:
    recall, coverage, gain = _added(one, other)
    prior, logq = ARMS
    text = f"chosen with the calibrated total, {logq}"
    more = other.served("recall") - before.served("recall")
    return [
        (f"{text} is trained longer, by an epoch or more", later, 1.0, np.inf),
        (f"{text} has more recall@20 than chosen at a total of 1", more, MORE, np.inf),
        (
            f"{text} has at most {NEAR:g} less recall@20 than {prior}",
            *(recall, -NEAR, np.inf),
        ),
        (f"{text} has more coverage@20 than {prior}", coverage, MORE, np.inf),
        (
            f"{prior} has, with the total at which it has that coverage, less "
            f"recall@20 than {logq}",
            *(gain, -np.inf, -MORE),
        ),
    ]


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction that the arms can judge."""
    ways = [in_way(stored, way) for way in range(len(WAYS))]
    at_one, calibrated = map(all_curves, ways)
    rows = [row for name, curves in at_one.items() for row in _of_arm(name, curves)]
    if set(ARMS) <= set(at_one):
        rows += _at_one(*(at_one[name] for name in ARMS))
        one, other = (calibrated[name] for name in ARMS)
        number = stored.header["arms"].index(ARMS[1])
        first, second = (way.arrays["epoch"][number][other.chosen] for way in ways)
        rows += _calibrated(one, other, at_one[ARMS[1]], second - first)
    # Where a prior cannot reach a coverage, that it has less recall there is open.
    nowhere = {n: "undecided" for n, row in enumerate(rows) if row[3] < 0}
    return [judged(*row, nowhere.get(n, "fails")) for n, row in enumerate(rows)]


def report_trade_off_chosen(stored: Stored) -> Report:
    """The study's table, page and figures."""
    frame, drawings = chosen_frame(stored), {}
    for way, (name, part) in enumerate(frame.groupby("chosen_by", sort=False)):
        what = f"Recall@20 of what validation chooses at {name}"
        shown = part.reset_index(drop=True)
        drawings[f"-{FILES[way]}"] = trade_off_figure(shown, in_way(stored, way), what)
    when = "the epoch that validation recall@20 chooses"
    columns = (("epochs", "epoch", ".1f"), *COLUMNS)
    page: Sequence[str] = trade_off_page(
        frame, in_way(stored, 0), when, TERMS_HERE, columns
    )
    lacking = not_run(ARMS, stored.header["arms"])
    return Report({".csv": frame}, page, drawings, verdicts(stored), lacking)
