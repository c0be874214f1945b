"""What the study totals shows: its table, verdicts on its prediction, figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.studies.totals import FITTED, MEASURED, TEMPERATURE
from experiments.study import OVER_SEEDS, Report, described
from research.contrast import MORE
from research.report.colours import BEST, CALIBRATED, FULL, with_band
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

LABELS = {"recall": "recall@20", "recall_item": "item-averaged recall@20"}
# The prediction: a column of the frame's last row, the statement and its range.
STATEMENTS = (
    (
        "lower",
        "chosen epoch: the total of highest recall@20 is lower than after the last "
        "epoch, by 0.2",
        *(0.2, np.inf, "+.2f"),
    ),
    (
        "recall_total",
        "chosen epoch: the total of highest recall@20 lies between 0.8 and 1.3",
        *(0.8, 1.3, ".2f"),
    ),
    (
        "apart",
        "chosen epoch: that of highest item-averaged recall@20 is lower, by 0.2",
        *(0.2, np.inf, "+.2f"),
    ),
    (
        "off",
        "chosen epoch: the total of highest recall@20 is within 0.3 of the calibrated",
        *(-0.3, 0.3, "+.2f"),
    ),
    ("last_off", "last epoch: the same", *(-0.3, 0.3, "+.2f")),
    (
        "rise",
        "the calibrated total is higher after the last epoch",
        *(MORE, np.inf, "+.2f"),
    ),
    (
        "last_gain",
        "last epoch: recall@20 is above that at a total of 1",
        *(MORE, np.inf, "+.4f"),
    ),
    (
        "last_short",
        "last epoch: recall@20 is at most 0.002 below the highest",
        *(-np.inf, 0.002, "+.4f"),
    ),
)


def highest(stored: Stored, name: str) -> Float[ndarray, "s e"]:
    """The total strength at which a metric is highest, by seed and epoch."""
    totals = np.array(stored.axis("totals"))
    return np.asarray(totals[stored.arrays[name].argmax(axis=2)])


def totals_frame(stored: Stored) -> pd.DataFrame:
    """One row per epoch, and one of the chosen epochs (``epoch`` NaN).

    Columns: epoch; validation recall; of each metric the total at which it is highest,
    NAME_total with _low and _high, and its means there (NAME_best) and at a total of 1
    (NAME_full); the calibrated total with _low and _high, and recall there. In the
    chosen row also chosen (the mean epoch) and what the statements are about
    (STATEMENTS), each with _low and _high.
    """
    arrays, lines = stored.arrays, []
    validation = arrays["validation"].astype(float)
    best = {name: highest(stored, name) for name in MEASURED}
    full = stored.axis("totals").index(1.0)
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
        total, there = (arrays[name].astype(float)[at] for name in FITTED)
        line |= over_seeds(total).interval().columns("calibrated")
        line |= {"recall_calibrated": there.mean()}
        if epoch is None:
            for name, values in _stated(stored, chosen).items():
                line |= over_seeds(values).interval().columns(name)
        lines.append(line)
    return pd.DataFrame(lines)


def _stated(
    stored: Stored, chosen: Int[ndarray, " s"]
) -> dict[str, Float[ndarray, " s"]]:
    """What the statements are about, of each seed, by the name of a column."""
    at = np.arange(len(chosen)), chosen
    recall, item = (highest(stored, name) for name in MEASURED)
    total, there = (stored.arrays[name].astype(float) for name in FITTED)
    curves = stored.arrays["recall"].astype(float)[:, -1]
    full = stored.axis("totals").index(1.0)
    return {
        "chosen": chosen + 1.0,
        "lower": recall[:, -1] - recall[at],
        "apart": recall[at] - item[at],
        "off": recall[at] - total[at],
        "last_off": recall[:, -1] - total[:, -1],
        "rise": total[:, -1] - total[at],
        "last_gain": there[:, -1] - curves[:, full],
        "last_short": curves.max(axis=1) - there[:, -1],
    }


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    row = frame[frame.epoch.isna()].iloc[0]
    return [
        statement(text, Interval.of(row, name), low, high, form)
        for name, text, low, high, form in STATEMENTS
    ]


def totals_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per epoch, in Markdown."""
    about = described(
        f"{stored.header['dataset']}, {seeds_text(len(stored.arrays['validation']))}; "
        f"in-batch negatives without log q, temperature {TEMPERATURE:g}, fitted on the "
        "training part alone. The total is the strength of the popularity prior when "
        "serving.",
        {
            "validation": "recall@20 of the validation part at a total of 1, which "
            "chooses the epoch of each seed",
            "highest at": "the total at which a metric of the test part is highest, by "
            "seed",
            "calibrated total": "share / scale of a conditional logit of validation "
            "clicks on score / temperature and log q",
        },
        OVER_SEEDS,
    )
    columns = []
    for name, label in LABELS.items():
        columns.append((f"{label} highest at [95 %]", f"{name}_total", ".2f"))
        columns.append(("value there", f"{name}_best", ".4f"))
        columns.append(("value at 1", f"{name}_full", ".4f"))
    columns.append(("calibrated total [95 %]", "calibrated", ".2f"))
    columns.append(("recall@20 there", "recall_calibrated", ".4f"))
    epoch = frame.epoch.map("{:.0f}".format).mask(frame.epoch.isna(), "chosen")
    stated = {"epoch": "", "validation": ".4f"}
    table = interval_table(frame.assign(epoch=epoch), stated, columns, left=0)
    return about, table


@styled
def totals_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the total strength of each metric's maximum, and recall, by epoch.

    A ring marks the mean of the chosen epochs.
    """
    line, ring = frame.dropna(subset=["epoch"]), frame[frame.epoch.isna()].iloc[0]
    figure, panels = blank(3.4, ncols=2)
    for name, colour in zip(MEASURED, (BEST.colour, "#44aa99"), strict=True):
        column, label = f"{name}_total", f"best for {LABELS[name]}"
        panels[0].plot(line.epoch, line[column], color=colour, label=label)
        ends = line[f"{column}_low"], line[f"{column}_high"]
        panels[0].fill_between(line.epoch, *ends, color=colour, alpha=0.15)
        mark_chosen(panels[0], ring.chosen, ring[column], colour)
    panels[0].plot(
        *(line.epoch, line.calibrated),
        color=CALIBRATED.colour,
        linestyle=CALIBRATED.style,
        label="calibrated",
    )
    panels[1].plot(line.epoch, line.validation, color=FULL.colour)
    mark_chosen(panels[1], ring.chosen, ring.validation, FULL.colour)
    panels[0].set_ylabel("total strength of log q")
    panels[1].set_ylabel("validation recall@20, total of 1")
    for panel in panels:
        panel.set_xlabel("epochs of training")
    legend_above(figure, with_band(panels[0]), heading(frame), 3)
    return Drawing(figure, frame)


def mark_chosen(panel: Axes, x: float, y: float, colour: str) -> None:
    """Marks the mean of the chosen epochs."""
    panel.plot(x, y, "o", ms=9, mfc="white", mec=colour, mew=2)


def heading(frame: pd.DataFrame) -> str:
    """How often the calibrated total is not told from the highest."""
    rows = frame.dropna(subset=["epoch"])
    inside = rows.calibrated.between(rows.recall_total_low, rows.recall_total_high)
    return (
        "The calibrated total lies inside the 95 % interval of that of highest "
        f"recall@20\non test after {inside.sum()} of {len(rows)} epochs (rings: the "
        "epochs that validation chooses)"
    )


def report_totals(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = totals_frame(stored)
    drawings = {"-epochs": totals_figure(frame)}
    return Report(
        {".csv": frame}, totals_page(frame, stored), drawings, verdicts(frame)
    )
