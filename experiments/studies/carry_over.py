"""Does the strength that validation clicks give suit a model trained on them, too?

Validation clicks choose the length of the training and give the calibrated total
(research/calibration.py). The model that is served is then trained on the validation
part, too, and served with that total. It has seen more clicks, so its scores may be
less overconfident, and its log q differs. Here both models are judged by the test part:
the first model, fitted on the training part alone, and the final one, fitted on
training and validation part. Test clicks calibrate both again, which says what the
total carried over should have been.

    python -m experiments run carry-over           about 10 minutes on 2 cores, 5 seeds
    python -m experiments run carry-over --quick   about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 40 minutes, on MovieLens
1M (--dataset ml-1m --data-dir DIR --seeds 3) an hour.
Expect on MovieLens 100K: the total carries over, within 0.2.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import fold_of, prepared_run
from experiments.studies.scale import two_panels
from experiments.studies.totals import (
    TOTALS,
    Vectors,
    fitted_total,
    judged_by_test,
    means_by_total,
    of_users,
    save_swept,
    swept_configs,
)
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.config import Config
from research.contrast import MORE
from research.prepare import Prepared, prepare
from research.report.colours import BEST, CALIBRATED, FULL, Ink
from research.report.intervals import Interval
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing
from research.report.predictions import statement
from research.report.records import Stored
from research.train.loop import train

NAME = "carry-over"
TEMPERATURES = (0.05, 0.1, 0.2, 0.4)
LENGTHS = ("chosen", "last")
NEAR, BELOW, SURER = 0.2, 0.002, 0.1


def run_carry_over(options: StudyOptions) -> Path:
    """Trains both models at each temperature with each seed; returns the records.

    Arrays: those of ``carried`` with first axes of temperatures and seeds; those of the
    temperatures and totals. A quick run has two temperatures.
    """
    temperatures = TEMPERATURES[:: 3 if options.quick else 1]
    runs = []
    for config in swept_configs(options, temperatures):
        runs.append(carried(config, options.data_dir))
        chosen = {name: values[0] for name, values in runs[-1].items()}
        options.progress(
            f"temperature {config.temperature:g}, seed {config.seed}: epoch "
            f"{chosen['epochs']}, total {chosen['total']:.2f}, of the final model "
            f"{chosen['final_total']:.2f}"
        )
    return save_swept(options, NAME, runs, temperatures)


def carried(config: Config, data_dir: str | None) -> dict[str, Float[ndarray, "l ..."]]:
    """Measures the first and the final model, trained equally long, by that length.

    The lengths are the epochs that validation recall@20 chooses, served with a total
    of 1, and all of them.

    Returns:
      epochs; total and scale, by validation clicks, of the first model; first_total,
      first_scale, final_total, final_scale, by test clicks; first_recall and
      final_recall, recall@20 on test with the total of validation, each [length]; of
      the final model, recall [length, total].

    Args:
      config: of the run, without log q in the loss.
      data_dir: as on the command line.

    Raises:
      NotFinite: a loss was not finite.
    """
    choosing = dataclasses.replace(config, fit_on="train", evaluate_every=1)
    choice = prepared_run(choosing, data_dir)
    evaluated = choice.fold.evaluated
    mine, test = judged_by_test(config, evaluated, data_dir)
    models: list[Vectors] = []
    recalls: list[float] = []

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        models.append((users, items))
        recalls.append(means_by_total(choice, models[-1], [1.0]).item())
        return {"recall": recalls[-1]}

    train(choice.config, choice.fold, validate=look)
    rows: list[dict[str, Any]] = []
    for epochs in (1 + int(np.argmax(recalls)), config.epochs):
        first = models[epochs - 1]
        row: dict[str, Any] = {"epochs": epochs}
        row["total"], row["scale"] = fitted_total(choice, first)
        first = first[0][mine], first[1]
        row["first_total"], row["first_scale"] = fitted_total(test, first)
        row["first_recall"] = means_by_total(test, first, [row["total"]]).item()
        final, vectors = fitted_on_both(config, epochs, evaluated[mine], data_dir)
        row["final_total"], row["final_scale"] = fitted_total(final, vectors)
        (found,) = means_by_total(final, vectors, [*TOTALS, row["total"]])
        row["recall"], row["final_recall"] = found[:-1], found[-1]
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def fitted_on_both(
    config: Config, epochs: int, users: ndarray, data_dir: str | None
) -> tuple[Prepared, Vectors]:
    """The final model's run, judged by these users' test part, and its vectors."""
    changes: dict[str, Any] = {"fit_on": "train+validation", "epochs": epochs}
    config = dataclasses.replace(config, **changes)
    run = prepare(config, of_users(fold_of(config, data_dir), users))
    done = train(run.config, run.fold)
    return run, (done.user_vectors, done.item_vectors)


def measured(stored: Stored) -> dict[str, Float[ndarray, "t s l"]]:
    """What is shown and stated, by temperature, seed and length.

    Beside what is stored: best, the final model's highest recall@20 of all totals,
    that carried over among them; plain, that with a total of 1; off, the total that
    test clicks give the final model less the one carried over; short, how far recall
    with that is below the highest, and gain, above that with a total of 1; refit, the
    final model's recall@20 less the first one's; surer, by how much its scale is
    larger, by test clicks.
    """
    arrays = stored.floats()
    recall, one = arrays.pop("recall"), stored.axis("totals").index(1.0)
    del arrays["totals"], arrays["temperatures"]
    best = np.maximum(recall.max(axis=3), arrays["final_recall"])
    return arrays | {
        "best": best,
        "plain": recall[..., one],
        "off": arrays["final_total"] - arrays["total"],
        "short": best - arrays["final_recall"],
        "refit": arrays["final_recall"] - arrays["first_recall"],
        "surer": arrays["final_scale"] - arrays["first_scale"],
        "gain": arrays["final_recall"] - recall[..., one],
    }


def carry_over_frame(stored: Stored) -> pd.DataFrame:
    """One row per length and temperature: means of what is measured, _low and _high."""
    found = {name: np.moveaxis(v, -1, 0) for name, v in measured(stored).items()}
    temperatures = stored.arrays["temperatures"]
    return interval_frame(found, length=LENGTHS, temperature=temperatures)


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    rows = []
    for row in frame.to_dict("records"):
        where = f"{row['length']} epoch, {row['temperature']:g}: "
        stated = [
            (
                "the total that test clicks give the final model is within "
                f"{NEAR:g} of the one carried over",
                *("off", -NEAR, NEAR),
            ),
            (
                f"recall@20 with that is at most {BELOW:g} below the highest",
                *("short", -np.inf, BELOW),
            ),
            ("the final model has more recall@20", "refit", MORE, np.inf),
            (f"its scale is larger, by at most {SURER:g}", *("surer", MORE, SURER)),
        ]
        if row["temperature"] == frame.temperature.min():
            text = "recall@20 is above that at a total of 1"
            stated.append((text, "gain", MORE, np.inf))
        for text, name, low, high in stated:
            form = "+.2f" if name in ("off", "surer") else "+.4f"
            ends = Interval.of(row, name)
            rows.append(statement(where + text, ends, low, high, form))
    return rows


def carry_over_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per length and temperature."""
    seeds = stored.arrays["total"].shape[1]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}; in-batch negatives without "
        "log q, cosine. Recall@20 is measured on test, for users with validation and "
        "test items; lists leave out the items of both the training and the validation "
        "part.",
        {
            "first model": "fitted on the training part",
            "final model": "fitted on training and validation part, for as many epochs",
            "carried over": "total or scale of the first model, by validation clicks; "
            "the others are by test clicks",
        },
        OVER_SEEDS,
    )
    columns = [
        ("epochs", "epochs", ".1f"),
        ("total carried over", "total", ".2f"),
        ("total by test clicks, first", "first_total", ".2f"),
        ("final", "final_total", ".2f"),
        ("scale carried over", "scale", ".2f"),
        ("scale by test clicks, first", "first_scale", ".2f"),
        ("final", "final_scale", ".2f"),
        ("recall@20, first, carried over", "first_recall", ".4f"),
        ("final, a total of 1", "plain", ".4f"),
        ("final, carried over", "final_recall", ".4f"),
        ("final, highest", "best", ".4f"),
    ]
    stated = {"length": "", "temperature": "g"}
    table = interval_table(frame, stated, columns, left=1)
    return about, table


TOTAL_LINES = {"final_total": BEST, "total": CALIBRATED}
FIRST = Ink("#44aa99", ":")
RECALL_LINES = {"best": BEST, "final_recall": CALIBRATED, "plain": FULL}
RECALL_LINES["first_recall"] = FIRST
LABELS = {
    "best": "by test clicks, highest",
    "final_recall": "carried over",
    "plain": "a total of 1",
    "first_recall": "the first model",
}


def heading(frame: pd.DataFrame) -> str:
    """How far apart the two totals are at most, and what that costs at most.

    By the ends of the intervals; without these it names what is drawn.
    """
    ends = frame[["off_low", "off_high", "short_high"]]
    if ends.isna().any(axis=None):
        return "Total carried over from validation and total by test clicks"
    apart = ends[["off_low", "off_high"]].abs().to_numpy().max()
    return (
        f"Test clicks give a total of log q at most {apart:.2f} from the one carried\n"
        "over from validation; recall@20 with that is at most "
        f"{ends.short_high.max():.4f} below\n"
        "the highest (by the ends of 95 % intervals)"
    )


def report_carry_over(stored: Stored) -> Report:
    """The study's table, page and figure, of the chosen epochs."""
    frame = carry_over_frame(stored)
    chosen = frame[frame.length == LENGTHS[0]]
    lines = TOTAL_LINES, RECALL_LINES
    drawing = Drawing(two_panels(chosen, *lines, LABELS, heading(chosen)), chosen)
    page = carry_over_page(frame, stored)
    return Report({".csv": frame}, page, {"-totals": drawing}, verdicts(frame))
