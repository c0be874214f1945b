"""The totals that clicks give beside the best one: table, verdicts and figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.study import Report
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_table, seeds_text
from research.report.pictures import STYLE, Drawing, blank, legend_above
from research.report.predictions import statement, statement_table
from research.report.records import Stored

__all__ = ["report_calibrated_shift"]

ALIKE, APART = 0.2, 0.5
LOW, HIGH = -0.5, 0.3  # of the total where test items are drawn evenly
LOST, WRONG, ENOUGH, NEARLY = 0.002, 0.75, 0.95, 0.9
MANY, FEW, ALL = 1000, 100, 3000  # clicks that a statement about a sweep names


def measured(stored: Stored) -> dict[str, Float[ndarray, "p a t s"]]:
    """What is shown and stated, by split, arm, temperature and seed.

    by_validation and by_test, totals, the latter by the most clicks; highest, the total
    of highest recall@20; recall_none and recall_one, with a total of 0 and 1;
    recall_by_validation; recall_by_N, by N test clicks; best, the highest; apart and
    ratios of recall to the highest (validation_part, part_N); short. by_sweep, the
    total by a sweep over the most clicks, and recall_sweep_N, sweep_part_N and
    sweep_short alike; gain_N, recall by a sweep less that by the fit.
    """
    arrays = {name: values.astype(float) for name, values in stored.arrays.items()}
    totals, clicks = np.round(arrays["totals"], 2), arrays["clicks"].astype(int)
    recall, validation = arrays["recall"], arrays["recall_by_validation"]
    by_test, by_sweep = arrays["recall_by_test"], arrays["recall_by_sweep"]
    tried = np.concatenate([recall, validation[..., None], by_test, by_sweep], axis=-1)
    best = np.nanmax(tried, axis=-1)
    found = {
        "highest": totals[recall.argmax(axis=-1)],
        "by_validation": arrays["by_validation"],
        "by_test": arrays["by_test"][..., -1],
        "by_sweep": arrays["by_sweep"][..., -1],
        "apart": arrays["by_validation"] - arrays["by_test"][..., -1],
        "recall_none": recall[..., totals.tolist().index(0.0)],
        "recall_one": recall[..., totals.tolist().index(1.0)],
        "recall_by_validation": validation,
        "best": best,
        "short": best - validation,
        "validation_part": validation / best,
        "sweep_short": best - by_sweep[..., -1],
    }
    for n, number in enumerate(clicks):
        found[f"recall_by_{number}"] = by_test[..., n]
        found[f"part_{number}"] = by_test[..., n] / best
        found[f"recall_sweep_{number}"] = by_sweep[..., n]
        found[f"sweep_part_{number}"] = by_sweep[..., n] / best
        found[f"gain_{number}"] = by_sweep[..., n] - by_test[..., n]
    return found


def calibrated_shift_frame(stored: Stored) -> pd.DataFrame:
    """One row per split, arm and temperature: means, each with _low and _high."""
    found, lines = measured(stored), []
    splits, arms = stored.header["splits"], stored.header["arms"]
    temperatures = np.round(stored.arrays["temperatures"].astype(float), 6)
    for n, m, t in np.ndindex(len(splits), len(arms), len(temperatures)):
        line: dict[str, Any] = {"split": splits[n], "arm": arms[m]}
        line["temperature"] = temperatures[t]
        for name, values in found.items():
            line |= over_seeds(values[n, m, t]).interval().columns(name)
        lines.append(line)
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame, clicks: Sequence[int]) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    rows = []
    for row in frame.to_dict("records"):
        where = f"{row['split']}, {row['arm']}, {row['temperature']:g}: "
        on_shift = _on_shift(clicks, with_logq=row["arm"].endswith("logq"))
        for text, name, low, high, form in (
            AT_RANDOM if row["split"] == "random" else on_shift
        ):
            ends = Interval.of(row, name)
            rows.append(statement(where + text, ends, low, high, form))
    return rows


Stated = tuple[str, str, float, float, str]  # statement, number, its ends, its form
AT_RANDOM: tuple[Stated, ...] = (
    (
        f"the totals by validation and by test clicks are within {ALIKE:g}",
        *("apart", -ALIKE, ALIKE, "+.2f"),
    ),
    (
        f"recall@20 by validation is at most {LOST:g} below the highest",
        *("short", -np.inf, LOST, "+.4f"),
    ),
    (
        f"recall@20 by a sweep over {ALL:,} test clicks is at most {LOST:g} below it",
        *("sweep_short", -np.inf, LOST, "+.4f"),
    ),
)


def _on_shift(clicks: Sequence[int], with_logq: bool) -> list[Stated]:
    """What is stated of a model where test items are drawn evenly."""
    stated: list[Stated] = [
        (
            f"the total by test clicks lies between {LOW:g} and {HIGH:g}",
            *("by_test", LOW, HIGH, "+.2f"),
        ),
        (
            f"that by validation is higher by {APART:g} or more",
            *("apart", APART, np.inf, "+.2f"),
        ),
        (
            f"recall@20 by validation is at most {WRONG:g} of the highest",
            *("validation_part", 0.0, WRONG, ".3f"),
        ),
    ]
    for number in clicks:
        part = NEARLY if number == clicks[0] else ENOUGH
        text = f"recall@20 by {number:,} test clicks is at least {part:g} of it"
        stated.append((text, f"part_{number}", part, np.inf, ".3f"))
    text = f"recall@20 by a sweep over {ALL:,} of them is at least {ENOUGH:g} of it"
    stated.append((text, f"sweep_part_{ALL}", ENOUGH, np.inf, ".3f"))
    if with_logq:
        text = f"by a sweep over {MANY:,} it is higher than by their fit"
        stated.append((text, f"gain_{MANY}", 0.0, np.inf, "+.4f"))
    else:
        text = f"by a sweep over {FEW} it is lower than by their fit"
        stated.append((text, f"gain_{FEW}", -np.inf, 0.0, "+.4f"))
    return stated


def calibrated_shift_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, the verdicts, and one row per split, arm and temperature."""
    clicks = stored.arrays["clicks"].astype(int).tolist()
    seeds = stored.arrays["by_validation"].shape[-1]
    about = (
        f"{stored.header['dataset']}, {seeds_text(seeds)}; matrix factorisation, "
        "cosine, fitted on nine tenths of the training part. A total is log q in the "
        "loss plus the popularity prior when serving. By validation: the total that "
        "clicks of the last tenth give; by test clicks: the one that clicks of one "
        "half of the test users give, drawn by lot; by a sweep: of all totals, between "
        "-1 and 3, the one that brings most of these clicks into the first 20 places. "
        "Recall@20 is of the other half. Highest: of all totals. 95 % t intervals over "
        "three seeds or more, each of which draws halves and clicks anew; a dash: in "
        "some seed the clicks fit no scale above 0."
    )
    columns = [
        ("total by validation", "by_validation", ".2f"),
        (f"by {clicks[-1]:,} test clicks", "by_test", ".2f"),
        (f"by a sweep over {clicks[-1]:,}", "by_sweep", ".2f"),
        ("of highest recall@20", "highest", ".2f"),
        ("recall@20 at 0", "recall_none", ".4f"),
        ("at 1", "recall_one", ".4f"),
        ("by validation", "recall_by_validation", ".4f"),
        *((f"by {n:,} test clicks", f"recall_by_{n}", ".4f") for n in clicks),
        *((f"by a sweep over {n:,}", f"recall_sweep_{n}", ".4f") for n in clicks),
        ("highest", "best", ".4f"),
    ]
    stated = {"split": "", "arm": "", "temperature": "g"}
    table = interval_table(frame, stated, columns, left=2)
    return about, statement_table(verdicts(frame, clicks)), table


INKS = ("#440154", "#21918c", "#d8b900")


# How a total was set: its name, the recall@20 that it brings, marker and size.
SET = {
    "by validation clicks": ("by_validation", "recall_by_validation", "s", 7),
    "by the fit of test clicks": ("by_test", f"recall_by_{ALL}", "*", 12),
    "by a sweep over test clicks": ("by_sweep", f"recall_sweep_{ALL}", "D", 6),
}


def calibrated_shift_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws recall by total: a row of panels for each arm, a column for each split."""
    arrays = {name: values.astype(float) for name, values in stored.arrays.items()}
    splits, arms = stored.header["splits"], stored.header["arms"]
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(
            0.9 + 2.6 * len(arms),
            nrows=len(arms),
            ncols=len(splits),
            squeeze=False,
            sharex=True,
        )
        for m, n in np.ndindex(panels.shape):
            panel, rows = panels[m, n], frame[frame.arm == arms[m]]
            rows = rows[rows.split == splits[n]]
            _draw(panel, rows, arrays["totals"], arrays["recall"][n, m].mean(axis=1))
            panel.set_title(f"{arms[m]}, test part {splits[n]}")
            panel.set_ylabel("recall@20")
        for panel in panels[-1]:
            panel.set_xlabel("total strength of log q")
        handles, _ = panels[0, 0].get_legend_handles_labels()
        legend_above(figure, handles, heading(frame), 2)
    return Drawing(figure, frame)


def _draw(
    panel: Axes, rows: pd.DataFrame, totals: ndarray, recall: Float[ndarray, "t n"]
) -> None:
    """The curves of an arm and a split, with the totals that clicks give."""
    for ink, curve, row in zip(INKS, recall, rows.to_dict("records"), strict=False):
        label = f"trained at {row['temperature']:g}"
        panel.plot(totals, curve, color=ink, lw=1.6, label=label)
        for total, found, marker, size in SET.values():
            panel.plot(row[total], row[found], marker, color=ink, ms=size, mec="w")
    for label, (_, _, marker, size) in SET.items():
        panel.plot([], [], marker, color="0.3", ms=size, label=label)


def heading(frame: pd.DataFrame) -> str:
    """How much of the highest recall clicks find where test items are drawn evenly."""
    shifted = frame[frame.split == "shifted"]
    found = (
        shifted[name].agg(["min", "max"]).map("{:.2f}".format)
        for name in ("validation_part", f"part_{ALL}", f"sweep_part_{ALL}")
    )
    validation, fit, sweep = (" to ".join(ends) for ends in found)
    return (
        f"Share of the highest recall@20 on an even test: {validation} by validation,\n"
        f"{fit} by a fit of {ALL:,} test clicks, {sweep} by a sweep over them"
    )


def report_calibrated_shift(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = calibrated_shift_frame(stored)
    drawings = {"-curves": calibrated_shift_figure(frame, stored)}
    return Report({".csv": frame}, calibrated_shift_page(frame, stored), drawings)
