"""At which total strength is held-out recall highest, after each epoch of training?

The study ``strength`` serves models that were all trained for the same number of
epochs, and ``stopping`` shows, on clicks drawn anew, that training beyond the epoch
that held-out clicks choose raises the best strength. Here the clicks are the real ones.
A model is trained without log q on the training part alone. After each epoch the
validation part gives the recall that chooses the epoch, with the full correction when
serving, and the test part gives recall@20 and item-averaged recall@20 at every total
strength.

    python -m experiments run totals               about 5 minutes on 2 cores, 5 seeds
    python -m experiments run totals --quick       about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes 15 minutes.
Expect on MovieLens 100K: the highest recall@20 at a total of about 1 to 1.5.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.grid import SHORTER
from experiments.inputs import fold_of, prepared_run, ratings_of
from experiments.runs import metric_means, serve
from experiments.study import Report, StudyOptions, save_study
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.prepare import prepare
from research.report.intervals import Interval, over_seeds
from research.report.pages import (
    interval_text,
    markdown_table,
    seeds_text,
)
from research.report.pictures import STYLE, Drawing, blank, legend_above
from research.report.predictions import statement_table
from research.report.records import Stored, study_header
from research.serving import Serving
from research.train.loop import train
from research.types import Fold, check

__all__ = ["report_totals", "run_totals"]

NAME = "totals"
TOTALS = tuple(np.round(np.arange(0.0, 3.001, 0.2), 2))
TEMPERATURE = 0.1  # that of the study strength whose curves the page shows
MEASURED = ("recall", "recall_item")
LABELS = {"recall": "recall@20", "recall_item": "item-averaged recall@20"}
# The prediction: a column of the frame, the statement and its range.
STATEMENTS = (
    (
        "lower",
        "the total of highest recall@20 is lower than after the last epoch, by 0.2",
        *(0.2, np.inf, "+.2f"),
    ),
    (
        "recall_total",
        "the total of highest recall@20 lies between 0.8 and 1.3",
        *(0.8, 1.3, ".2f"),
    ),
    (
        "apart",
        "that of highest item-averaged recall@20 is lower, by 0.2",
        *(0.2, np.inf, "+.2f"),
    ),
)


def run_totals(options: StudyOptions) -> Path:
    """Trains with each seed; returns the records.

    Arrays: recall and recall_item [seed, epoch, total] on test, validation
    [seed, epoch], the recall@20 at a total of 1; totals.
    """
    base = Config(
        dataset=options.dataset,
        left_out="fitted",
        **{"temperature": TEMPERATURE, **SHORTER.get(options.dataset, {})},
    )
    if options.quick:
        base = dataclasses.replace(base, epochs=2)
    measured: dict[str, list[ndarray]] = {}
    for seed in range(options.seeds):
        curves = by_epoch(dataclasses.replace(base, seed=seed), options.data_dir)
        for name, values in curves.items():
            measured.setdefault(name, []).append(values)
        epoch = int(curves["validation"].argmax())
        total = TOTALS[int(curves["recall"][epoch].argmax())]
        options.progress(f"seed {seed}: epoch {epoch + 1}, highest at {total:.1f}")
    digest = ratings_of(options.dataset, options.data_dir).digest
    return save_study(
        options.out,
        study_header(NAME, name_of(options.dataset), options.quick, digest),
        {
            **{name: np.array(rows, "<f4") for name, rows in measured.items()},
            "totals": np.array(TOTALS, "<f4"),
        },
    )


def by_epoch(config: Config, data_dir: str | None) -> dict[str, Float[ndarray, "..."]]:
    """Validation recall [epoch], and of each metric on test [epoch, total].

    Args:
      config: of the run, fitted on the training part.
      data_dir: as on the command line.

    Raises:
      NotFinite: a loss was not finite.
    """
    choice = prepared_run(
        dataclasses.replace(config, fit_on="train", evaluate_every=1), data_dir
    )
    tested = dataclasses.replace(
        config, fit_on="train-only", left_out="train+validation"
    )
    test = prepare(tested, of_users(fold_of(tested, data_dir), choice.fold.evaluated))
    found: dict[str, list[list[float]]] = {name: [] for name in MEASURED}
    validation: list[float] = []

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        (recall,) = metric_means(
            choice, serve(choice, users, items, serving=Serving(1.0)), ["recall"]
        )
        validation.append(recall)
        rows = [
            metric_means(
                test, serve(test, users, items, serving=Serving(total)), MEASURED
            )
            for total in TOTALS
        ]
        for name, values in zip(MEASURED, zip(*rows, strict=True), strict=True):
            found[name].append(list(values))
        return {f"recall@{CUTOFF}": recall}

    train(choice.config, choice.fold, validate=look)
    curves = {name: np.array(rows) for name, rows in found.items()}
    return {**curves, "validation": np.array(validation)}


def of_users(fold: Fold, users: Int[ndarray, " v"]) -> Fold:
    """The phase judged by those of its users alone, [v]; all of them are its own."""
    kept = np.isin(fold.held_user, users)
    times, removed = fold.held_time, fold.removed
    if removed is not None:
        offsets, items = removed
        sizes, rows = np.diff(offsets), np.isin(fold.evaluated, users)
        removed = (
            np.concatenate([[0], np.cumsum(sizes[rows])]),
            items[np.repeat(rows, sizes)],
        )
    return check(
        fold._replace(
            held_user=fold.held_user[kept],
            held_item=fold.held_item[kept],
            held_time=None if times is None else times[kept],
            evaluated=users,
            removed=removed,
        )
    )


def highest(stored: Stored, name: str) -> Float[ndarray, "s e"]:
    """The total strength at which a metric is highest, by seed and epoch."""
    totals = np.round(stored.arrays["totals"].astype(float), 2)
    best: Float[ndarray, "s e"] = totals[stored.arrays[name].argmax(axis=2)]
    return best


def totals_frame(stored: Stored) -> pd.DataFrame:
    """One row per epoch, and one of the chosen epochs (``epoch`` NaN).

    Columns: epoch; validation recall; of each metric the total at which it is highest,
    NAME_total with _low and _high, and its means there (NAME_best) and at a total of 1
    (NAME_full); in the chosen row also chosen (the mean epoch), lower (the total of
    recall after the last epoch less that at the chosen one) and apart (that total less
    the one of item-averaged recall), each with _low and _high.
    """
    arrays, lines = stored.arrays, []
    validation = arrays["validation"].astype(float)
    best = {name: highest(stored, name) for name in MEASURED}
    full = int(np.argmin(np.abs(arrays["totals"].astype(float) - 1.0)))
    seeds, n_epochs = np.arange(len(validation)), validation.shape[1]
    chosen = validation.argmax(axis=1)
    for epoch in (*range(n_epochs), None):
        at = seeds, chosen if epoch is None else np.full(len(seeds), epoch)
        line: dict[str, float] = {"epoch": np.nan if epoch is None else epoch + 1}
        line["validation"] = validation[at].mean()
        for name, of_epoch in best.items():
            curves = arrays[name].astype(float)[at]
            line |= over_seeds(of_epoch[at]).interval().columns(f"{name}_total")
            line |= {f"{name}_best": curves.max(axis=1).mean()}
            line |= {f"{name}_full": curves[:, full].mean()}
        if epoch is None:
            recall, item = (best[name] for name in MEASURED)
            for name, values in {
                "chosen": chosen + 1.0,
                "lower": recall[:, -1] - recall[at],
                "apart": recall[at] - item[at],
            }.items():
                line |= over_seeds(values).interval().columns(name)
        lines.append(line)
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    row, out = frame[frame.epoch.isna()].iloc[0], []
    for name, text, low, high, form in STATEMENTS:
        ends = Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
        measured = interval_text(*ends, form)
        out.append([f"chosen epoch: {text}", measured, ends.within(low, high)])
    return out


def totals_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """The prediction, its verdicts, and one row per epoch, in Markdown."""
    about = (
        f"{stored.header['dataset']}, {seeds_text(len(stored.arrays['validation']))}; "
        f"in-batch negatives without log q, temperature {TEMPERATURE:g}, fitted on the "
        "training part alone, served with a popularity prior, whose strength is the "
        "total one. Validation: recall@20 of the validation part at a total of 1, "
        "which chooses the epoch by seed. Highest: the total at which a metric of the "
        "test part is highest, by seed. 95 % t intervals over three seeds or more."
    )
    rows = [
        [
            "chosen" if np.isnan(row["epoch"]) else f"{row['epoch']:.0f}",
            f"{row['validation']:.4f}",
            *(cell for name in MEASURED for cell in _of_metric(row, name)),
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["epoch", "validation"]
    for label in LABELS.values():
        heads += [f"{label} highest at [95 %]", "value there", "value at 1"]
    return (
        about,
        statement_table(verdicts(frame)),
        markdown_table(heads, rows, left=0),
    )


def _of_metric(row: dict[str, float], name: str) -> list[str]:
    mean, low, high = (row[f"{name}_total{end}"] for end in ("", "_low", "_high"))
    numbers = (f"{row[f'{name}_{what}']:.4f}" for what in ("best", "full"))
    return [interval_text(mean, low, high, ".2f"), *numbers]


def totals_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the total strength of each metric's maximum, and recall, by epoch.

    A ring marks the mean of the chosen epochs.
    """
    line, ring = frame.dropna(subset=["epoch"]), frame[frame.epoch.isna()].iloc[0]
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(3.4, ncols=2)
        for name, colour in zip(MEASURED, ("#0072b2", "#d55e00"), strict=True):
            column = f"{name}_total"
            panels[0].plot(line.epoch, line[column], color=colour, label=LABELS[name])
            ends = line[f"{column}_low"], line[f"{column}_high"]
            panels[0].fill_between(line.epoch, *ends, color=colour, alpha=0.15)
            _ring(panels[0], ring.chosen, ring[column], colour)
        panels[1].plot(line.epoch, line.validation, color="0.2")
        _ring(panels[1], ring.chosen, ring.validation, "0.2")
        panels[0].set_ylabel("total strength of the maximum")
        panels[1].set_ylabel("validation recall@20 at a total of 1")
        for panel in panels:
            panel.set_xlabel("epochs of training")
        legend_above(figure, panels[0].get_lines()[::2], heading(frame), 2)
    return Drawing(figure, frame)


def _ring(panel: Axes, x: float, y: float, colour: str) -> None:
    panel.plot(x, y, "o", ms=9, mfc="white", mec=colour, mew=2)


def heading(frame: pd.DataFrame) -> str:
    """What the chosen epoch changes, if that is clear."""
    row = frame[frame.epoch.isna()].iloc[0]
    if row.lower_low > 0:
        return (
            "At the epoch that validation chooses (rings), recall@20 on test\n"
            "is highest at a lower total strength than after more training"
        )
    return "Total strength at which each recall is highest (rings: the chosen epochs)"


def report_totals(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = totals_frame(stored)
    return Report(
        {".csv": frame}, totals_page(frame, stored), {"-epochs": totals_figure(frame)}
    )
