"""Does a longer training lose less of log q, where cosines cannot hold all of it?

With log q in the loss and a high temperature the curve of recall by the total strength
lies further along the total than that of a model trained without (the studies
``strength`` and ``span``). Each of those trains for one length. Here the two are judged
four times during one training, after 1,500, 3,000, 6,000 and 12,000 steps.

    python -m experiments run length               about 40 minutes of one core, 5 seeds
    python -m experiments run length --quick       about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) and on MovieLens 1M it takes 40 to
70 minutes. DIR is as in docs/outside.md.

Expect the shift to fall with the length of the training, less and less.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import prepared_run
from experiments.studies.strength import MORE_TOTALS
from experiments.studies.strength.shifts import AXIS, COLUMNS, shift_text, shifts_by
from experiments.studies.totals import (
    judged_by_test,
    means_by_total,
    save_swept,
    swept_configs,
)
from experiments.study import Report, StudyOptions, described
from research.config import Config
from research.report.colours import temperature_ink
from research.report.intervals import over_seeds
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored
from research.train.loop import train

NAME = "length"
TEMPERATURES = (0.2, 0.3, 0.4)
LAMBDAS = (0.0, 1.0)
SHORTEST = 1500  # steps
TIMES = (1, 2, 4, 8)  # each length, in shortest ones
SETTLED, LOST = 0.1, 0.1  # at most from the last length but one; at least at the end
LOST_AT = (0.3, 0.4)


def run_length(options: StudyOptions) -> Path:
    """Trains without and with log q in the loss; returns the records.

    Arrays: recall [temperature, seed, lambda, length, total], recall@20 on test of
    lists of the items that have a training click; steps [temperature, seed, length];
    temperatures, lambdas, totals.

    Raises:
      NotFinite: a loss was not finite.
    """
    temperatures = TEMPERATURES[:1] if options.quick else TEMPERATURES
    runs = []
    for config in swept_configs(options, temperatures):
        curves = []
        for strength in LAMBDAS:
            changed = dataclasses.replace(config, fit_on="train", logq=strength)
            steps, curve = by_length(changed, options)
            curves.append(curve)
        runs.append({"recall": np.array(curves), "steps": steps})
        best = runs[-1]["recall"].max(axis=2)
        options.progress(
            f"temperature {config.temperature:g}, seed {config.seed}: highest recall "
            f"after {steps[-1]:,.0f} steps {best[0, -1]:.4f} without log q, "
            f"{best[1, -1]:.4f} with it"
        )
    more: dict[str, Sequence[float]] = {"totals": MORE_TOTALS, "lambdas": LAMBDAS}
    return save_swept(options, NAME, runs, temperatures, more)


def by_length(
    config: Config, options: StudyOptions
) -> tuple[Float[ndarray, " l"], Float[ndarray, "l t"]]:
    """The steps of each length, of whole epochs, and recall@20 by total after them."""
    choice = prepared_run(config, options.data_dir)
    mine, test = judged_by_test(config, choice.fold.evaluated, options.data_dir)
    per_epoch = max(len(choice.fold.fitted.item) // config.batch, 1)
    every = max(round((30 if options.quick else SHORTEST) / per_epoch), 1)
    curves: list[Float[ndarray, " t"]] = []
    looks = 0

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        nonlocal looks
        looks += 1
        if looks in TIMES:
            vectors = users[mine], items
            curves.extend(means_by_total(test, vectors, MORE_TOTALS, min_clicks=1))
        return {"looks": float(looks)}

    timed = dataclasses.replace(
        choice.config, epochs=every * TIMES[-1], evaluate_every=every
    )
    train(timed, choice.fold, validate=look)
    return np.array(TIMES) * float(every * per_epoch), np.array(curves)


def measured(stored: Stored) -> dict[str, Float[ndarray, "t l s"]]:
    """What is shown, by temperature, length and seed.

    steps, the length; shift, how much further along the total the curve with log q in
    the loss lies; best_0 and best_1, the highest recall@20 without and with it.
    """
    arrays = stored.floats()
    recall = np.moveaxis(arrays["recall"], 3, 1)  # [temperature, length, seed, ...]
    steps = np.moveaxis(arrays["steps"], 2, 1)
    return {"steps": steps, **shifts_by(arrays["totals"], recall)}


def length_frame(stored: Stored) -> pd.DataFrame:
    """One row per temperature and length: means over seeds, with _low and _high."""
    temperatures = stored.axis("temperatures")
    return interval_frame(measured(stored), temperature=temperatures, times=TIMES)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    shifts, rows = measured(stored)["shift"], []
    for temperature, shift in zip(stored.axis("temperatures"), shifts, strict=True):
        fall = over_seeds(shift[0] - shift[-1]).interval()
        text = f"{temperature:g}: the shift falls from the first length to the last"
        rows.append(statement(text, fall, low=1e-9, form="+.2f"))
        late = over_seeds(shift[-1] - shift[-2]).interval()
        text = f"{temperature:g}: from the last but one it changes by at most "
        text += f"{SETTLED:g}"
        rows.append(statement(text, late, -SETTLED, SETTLED, "+.2f"))
        if temperature in LOST_AT:
            end = over_seeds(shift[-1]).interval()
            text = f"{temperature:g}: after the last length it is at least {LOST:g}"
            rows.append(statement(text, end, LOST, form="+.2f"))
    return rows


def length_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and a table of all lengths, in Markdown."""
    shift = shift_text(stored.arrays["totals"])
    about = described(
        f"{stored.header['dataset']}, {seeds_text(stored.arrays['recall'].shape[1])}; "
        "in-batch negatives, cosine, fitted on the training part alone. One training "
        "is judged by the test part at each length; lists hold only items with a "
        "training click.",
        {"shift": f"{shift}, so that seeds can have the same shift"},
        f"Intervals are 95 %, over seeds. Data {stored.header['data_digest'][:12]}.",
    )
    stated = {"temperature": "g", "steps": ",.0f"}
    table = interval_table(frame, stated, COLUMNS, left=0)
    return about, table


@styled
def length_figure(frame: pd.DataFrame) -> Drawing:
    """The shift by the length of the training, a line for each temperature."""
    temperatures = list(dict.fromkeys(frame.temperature))
    figure, axes = blank(3.4)
    for n, temperature in enumerate(temperatures):
        rows = frame[frame.temperature == temperature]
        reach = [rows["shift"] - rows.shift_low, rows.shift_high - rows["shift"]]
        axes.errorbar(
            rows.steps * 1.02 ** (n - 1),  # side by side, so that no interval hides
            rows["shift"], yerr=np.nan_to_num(reach), fmt="o-", ms=5,
            color=temperature_ink(temperature), capsize=2,
            label=f"temperature {temperature:g}",
        )  # fmt: skip
    axes.axhline(0.0, color="0.6", lw=1)
    axes.set_xscale("log")
    axes.set_xticks(rows.steps, [f"{steps:,.0f}" for steps in rows.steps])
    axes.minorticks_off()
    axes.set(xlabel="steps of the training", ylabel=AXIS)
    title = "How far does log q in the loss move the curve of recall after more steps?"
    legend_above(figure, axes, title, len(temperatures))
    return Drawing(figure, frame[["temperature", "steps", "shift"]])


def report_length(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = length_frame(stored)
    drawings = {"-shifts": length_figure(frame)}
    return Report(
        {".csv": frame}, length_page(frame, stored), drawings, verdicts(stored)
    )
