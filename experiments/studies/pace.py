"""How much training does each loss need, in examples and in seconds?

A loss that is as good in the end may need more steps, or more expensive ones. Each arm
is trained on the training part, at the values that validation chose for it (the grid
``tuning``), and after every epoch all items are ranked for validation. What it takes
until NDCG@20 is 95 % of the full softmax's best is counted in examples, to a fraction
of an epoch by linear interpolation, and in seconds, that is, steps times the seconds of
a step. Steps are timed after all trainings, the arms in turns, without compilation.

    python -m experiments run pace                   about 5 minutes on 2 cores
    python -m experiments run pace --quick           about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes half an hour.
Expect sampled negatives with log q to need as many examples as the full softmax, and
the less time, the larger the catalogue.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.ticker import LogLocator, NullFormatter
from numpy import ndarray

from experiments.arms import arm
from experiments.bench.ours import portions
from experiments.bench.protocol import Here, Turns, take_turns
from experiments.grid import SHORTER
from experiments.inputs import prepared_run
from experiments.resolve import with_swept
from experiments.serve import metric_means, serve
from experiments.study import OVER_SEEDS, Report, StudyOptions, described, save_measured
from experiments.tuned import tuned
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared
from research.report.intervals import Interval, over_seeds
from research.report.pages import EMPTY, interval_text, markdown_table, seeds_text
from research.report.pictures import EDGE, Drawing, blank, legend_above, looks, styled
from research.report.predictions import statement
from research.report.records import Stored
from research.train.loop import train

NAME = "pace"
REFERENCE = "full-softmax"
ARMS = (
    *("in-batch", "in-batch+logq", "mixed+logq", "mixed-popularity+logq"),
    *("uniform-softmax", REFERENCE),
)
TURNS, STEPS = 7, 10  # portions of steps that an arm is timed with


def run_pace(options: StudyOptions) -> Path:
    """Trains and times each arm on a data set; returns the records.

    Arrays: curves [arm, seed, epoch] of validation NDCG@20; step_seconds [arm, turn];
    temperatures, learning_rates [arm].

    Raises:
      InputError: no temperature was chosen for an arm on this data set.
    """
    changes = {"fit_on": "train", "left_out": "fitted"}
    base = options.config(**changes, **SHORTER.get(options.dataset, {}))
    dataset = name_of(options.dataset)
    configs = [
        with_swept(arm(name, base), tuned(dataset, name, base.split)) for name in ARMS
    ]

    if options.quick:
        configs = [dataclasses.replace(config, epochs=2) for config in configs]
    configs = [dataclasses.replace(config, evaluate_every=1) for config in configs]
    shape = len(ARMS), options.seeds, configs[0].epochs
    curves = np.zeros(shape)
    for (a, config), seed in itertools.product(enumerate(configs), range(shape[1])):
        run = prepared_run(dataclasses.replace(config, seed=seed), options.data_dir)
        curves[a, seed] = validated(run)
        options.progress(f"{ARMS[a]}, seed {seed}: best {curves[a, seed].max():.4f}")
    runs = {
        name: prepared_run(config, options.data_dir)
        for name, config in zip(ARMS, configs, strict=True)
    }
    seconds = step_seconds(runs, 2 if options.quick else TURNS)
    fitted = runs[REFERENCE].fold.fitted
    arrays = {
        "curves": curves.astype("<f4"),
        "step_seconds": np.array([seconds[name] for name in ARMS], "<f4"),
        "temperatures": np.array([c.temperature for c in configs], "<f4"),
        "learning_rates": np.array([c.learning_rate for c in configs], "<f4"),
    }
    return save_measured(
        options,
        NAME,
        arrays,
        arms=list(ARMS),
        items=fitted.n_items,
        batch=configs[0].batch,
        examples=len(fitted.item) // configs[0].batch * configs[0].batch,
    )


def validated(run: Prepared) -> list[float]:
    """NDCG@20 on validation after each epoch of a training.

    Raises:
      NotFinite: a loss was not finite.
    """
    scores: list[float] = []

    def look(users: ndarray, items: ndarray) -> dict[str, float]:
        scores.extend(metric_means(run, serve(run, users, items), ["ndcg"]))
        return {f"ndcg@{CUTOFF}": scores[-1]}

    train(run.config, run.fold, validate=look)
    return scores


def step_seconds(runs: Mapping[str, Prepared], turns: int) -> dict[str, list[float]]:
    """Seconds of a step of each run, the runs in turns, compilation apart."""
    sides = {
        name: functools.partial(Here, portions(run.config, run.fold, STEPS))
        for name, run in runs.items()
    }
    out = {}
    for name, answers in take_turns(sides, turns).items():
        if not isinstance(answers, Turns):
            raise AssertionError(f"{name}: {answers}")  # a side of this process raises
        out[name] = [each["seconds"] / each["steps"] for each in answers.portions]
    return out


LEVEL, LEVEL_TEXT = 0.95, "95 %"  # of the reference's best NDCG@20
UNCORRECTED, CORRECTED = "in-batch", "in-batch+logq"
MOST_EXAMPLES = 1.1  # of the reference's: the prediction for each corrected arm
MOST_TIME = {  # likewise for in-batch+logq, by the number of items at most
    1_447: 0.8,
    3_533: 0.5,
    50_000: 0.05,
}


def epochs_to(curve: Float[ndarray, " e"], level: float) -> float:
    """Epochs until a curve that starts at 0 first reaches a level; inf for never.

    >>> epochs_to(np.array([0.2, 0.4, 0.3]), 0.3)
    1.5
    >>> epochs_to(np.array([0.2, 0.4, 0.3]), 0.5)
    inf
    """
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return float("inf")
    epoch = int(reached[0])
    before = float(curve[epoch - 1]) if epoch else 0.0
    return epoch + (level - before) / (float(curve[epoch]) - before)


def pace_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm, the times and examples also as shares of the full softmax's.

    Columns: arm, temperature, learning_rate; best NDCG@20 and best_epoch, means over
    seeds; examples to the level, and examples_share with _low and _high; reached, in
    how many seeds; milliseconds of a step and step_share, medians over turns; seconds
    to the level, and seconds_share with _low and _high, which has the interval of the
    examples alone. Where a seed doesn't reach the level, the mean is inf.
    """
    header, arrays, lines = stored.header, stored.arrays, []
    curves, steps = (arrays[n].astype(float) for n in ("curves", "step_seconds"))
    reference = header["arms"].index(REFERENCE)
    levels = LEVEL * curves[reference].max(axis=1)
    epochs = np.array(
        [[epochs_to(*each) for each in zip(of_arm, levels)] for of_arm in curves]
    )
    for a, name in enumerate(header["arms"]):
        examples = epochs[a] * header["examples"]
        share = Interval(np.inf, np.nan, np.nan)
        if np.isfinite(epochs[a]).all():
            share = over_seeds(epochs[a] / epochs[reference]).interval()
        step_share = float(np.median(steps[a] / steps[reference]))
        step = float(np.median(steps[a]))
        lines.append(
            {
                "arm": name,
                "temperature": round(float(arrays["temperatures"][a]), 6),
                "learning_rate": round(float(arrays["learning_rates"][a]), 8),
                "best": curves[a].max(axis=1).mean(),
                "best_epoch": 1 + curves[a].argmax(axis=1).mean(),
                "reached": int(np.isfinite(epochs[a]).sum()),
                "examples": examples.mean(),
                **share.columns("examples_share"),
                "milliseconds": 1e3 * step,
                "step_share": step_share,
                "seconds": examples.mean() / header["batch"] * step,
                **Interval(*(step_share * end for end in share)).columns(
                    "seconds_share"
                ),
            }
        )
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame, items: int) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out, rows = [], frame.set_index("arm")
    for name in rows.index.drop([UNCORRECTED, REFERENCE]):
        text = f"{name}: at most {MOST_EXAMPLES} times the full softmax's examples"
        out.append(_judged(text, rows.loc[name], "examples_share", MOST_EXAMPLES))
    most = next(
        (share for size, share in MOST_TIME.items() if items <= size),
        min(MOST_TIME.values()),
    )
    text = f"{CORRECTED}: at most {most} of the full softmax's time"
    out.append(_judged(text, rows.loc[CORRECTED], "seconds_share", most))
    reached = int(rows.loc[UNCORRECTED, "reached"])
    seeds = int(rows.loc[REFERENCE, "reached"])
    never = {0: "holds", seeds: "fails"}.get(reached, "undecided")
    found = f"reached with {reached} of {seeds} seeds"
    return [*out, [f"{UNCORRECTED}: never reaches the level", found, never]]


def _judged(text: str, row: "pd.Series[float]", name: str, most: float) -> list[str]:
    ends = Interval.of(row, name)
    if not np.isfinite(ends.mean):
        return [text, "not reached with every seed", "fails"]
    return statement(text, ends, high=most, form=".3f")


def pace_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per arm, in Markdown."""
    header = stored.header
    about = described(
        f"{header['dataset']}: {header['items']:,} items, {header['examples']:,} "
        f"examples per epoch, batch {header['batch']:,}, "
        f"{seeds_text(stored.arrays['curves'].shape[1])}; each arm at the temperature "
        "and learning rate that validation chose for it. After every epoch all items "
        "are ranked for validation. Examples and seconds are those until NDCG@20 is "
        f"{LEVEL_TEXT} of the full softmax's best with the same seed.",
        {
            "share": "of what the full softmax needs; that of seconds has the interval "
            "of the examples alone",
            "ms per step": "timed without validation and compilation, the arms in "
            "turns",
        },
        f"{OVER_SEEDS} A larger learning rate needs fewer examples: compare arms of "
        "one rate.",
    )
    rows = [
        [
            f"`{row['arm']}`",
            f"{row['temperature']:g}",
            f"{row['learning_rate']:g}",
            f"{row['best']:.4f}",
            f"{row['best_epoch']:.1f}",
            *_reached(row),
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["arm", "temperature", "learning rate", "best NDCG@20", "at epoch"]
    heads += ["examples, million", "share [95 %]", "ms per step", "seconds"]
    return (
        about,
        markdown_table([*heads, "share [95 %]"], rows),
    )


def _reached(row: dict[str, float]) -> list[str]:
    step = f"{row['milliseconds']:.2f}"
    if not np.isfinite(row["examples"]):
        return ["not reached", EMPTY, step, "not reached", EMPTY]
    shares = [
        interval_text(*Interval.of(row, name), ".3f")
        for name in ("examples_share", "seconds_share")
    ]
    examples, seconds = f"{row['examples'] / 1e6:.2f}", f"{row['seconds']:.1f}"
    return [examples, shares[0], step, seconds, shares[1]]


@styled
def pace_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws the mean curve of each arm against examples and against seconds."""
    header, lines = stored.header, []
    curves = stored.arrays["curves"].astype(float).mean(axis=1)
    epochs = np.arange(1, curves.shape[1] + 1)
    order = np.argsort(-curves.max(axis=1))
    styles = looks(header["arms"])
    figure, panels = blank(3.9, ncols=2, sharey=True)
    for a in order:
        name, row = header["arms"][a], frame.iloc[a]
        examples = epochs * header["examples"]
        seconds = examples / header["batch"] * row.milliseconds / 1e3
        for panel, x in zip(panels, (examples / 1e6, seconds), strict=True):
            panel.plot(
                *(x, curves[a], styles[name].marker + "-"),
                **{"color": styles[name].colour, "label": name, "ms": 4, **EDGE},
            )
        lines.append(
            pd.DataFrame(
                {"arm": name, "examples": examples, "seconds": seconds}
                | {"ndcg": curves[a]}
            )
        )
    level = LEVEL * curves[header["arms"].index(REFERENCE)].max()
    for panel in panels:
        panel.axhline(level, color="0.4", linestyle=(0, (5, 3)))
    panels[0].set_xlabel("examples, million")
    panels[1].set_xlabel("seconds of training steps")
    panels[1].set_xscale("log")
    panels[1].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panels[1].xaxis.set_major_formatter("{x:g}")
    panels[1].xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("NDCG@20 on validation")
    handles = panels[0].get_lines()[: len(order)]
    legend_above(figure, handles, heading(frame, header["items"]), 3)
    return Drawing(figure, pd.concat(lines, ignore_index=True))


def heading(frame: pd.DataFrame, items: int) -> str:
    """What log q over in-batch negatives saves, if the interval says that it does."""
    row = frame.set_index("arm").loc[CORRECTED]
    dashed = f"dashed: {LEVEL_TEXT} of the full softmax's best"
    if row.seconds_share_high < 1:
        other = frame.set_index("arm").loc[REFERENCE]
        at_rates = (
            ""
            if row.learning_rate == other.learning_rate
            else f"\nat learning rates of {row.learning_rate:g} and "
            f"{other.learning_rate:g}"
        )
        return (
            f"{items:,} items: {CORRECTED} reaches {LEVEL_TEXT} of the full softmax's "
            f"best (dashed)\nin {row.seconds_share:.2f} of its time{at_rates}"
        )
    return f"{items:,} items: NDCG@20 by examples and by time ({dashed})"


def report_pace(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = pace_frame(stored)
    drawings = {"-curves": pace_figure(frame, stored)}
    judged = verdicts(frame, stored.header["items"])
    return Report({".csv": frame}, pace_page(frame, stored), drawings, judged)
