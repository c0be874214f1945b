"""How much training does each loss need, in examples and in seconds?

A loss that is as good in the end may need more steps, or more expensive ones. Each arm
is trained on the training part, at the values that validation chose for it, and after
every epoch all items are ranked for validation. What it takes
until NDCG@20 is 95 % of the full softmax's best is counted in examples, to a fraction
of an epoch by linear interpolation, and in seconds, that is, steps times the seconds of
a step. Steps are timed after all trainings, the arms in turns, without compilation.

    python -m experiments run pace                   about 5 minutes on 2 cores
    python -m experiments run pace --quick           about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes half an hour.
On other data every arm has the values of its config.
Expect sampled negatives with log q to need as many examples as the full softmax, and
the less time, the larger the catalogue.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.ticker import LogLocator, NullFormatter
from numpy import ndarray

from experiments.bench.ours import portions
from experiments.bench.protocol import take_turns
from experiments.kit import Data, Named, claim, collect, each, lines, measured, tidy
from experiments.loaded import prepared_run
from experiments.serve import metric_means, serve
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.prepare import Prepared
from research.report.pages import interval_table, seeds_text
from research.report.pictures import Drawing, legend_above, looks, styled
from research.report.records import Stored
from research.train.loop import train

NAME = "pace"
REFERENCE = "full-softmax"
ARMS = (
    *("in-batch", "in-batch+logq", "mixed+logq", "mixed-popularity+logq"),
    *("uniform-softmax", REFERENCE),
)
TUNED = "temperature", "learning_rate"
# By data set, what validation chose for each arm, of 14 trials on MovieLens 100K and of
# 6 on 1M.
CHOSEN: dict[str, dict[str, tuple[float, float]]] = {
    "ml-100k": {
        "in-batch": (0.3, 1e-3),
        "in-batch+logq": (0.2, 2e-3),
        "mixed+logq": (0.2, 2e-3),
        "mixed-popularity+logq": (0.2, 1e-3),
        "uniform-softmax": (0.2, 2e-3),
        REFERENCE: (0.2, 1e-3),
    },
    "ml-1m": {
        "in-batch": (0.15, 1e-3),
        "in-batch+logq": (0.05, 1e-3),
        "mixed+logq": (0.07, 1e-3),
        "mixed-popularity+logq": (0.1, 1e-3),
        "uniform-softmax": (0.1, 1e-3),
        REFERENCE: (0.1, 1e-3),
    },
}
AXES = {  # curves of NDCG@20 on validation
    "curves": "arm seed epoch",
    "step_seconds": "arm turn",
    "temperatures": "arm",
    "learning_rates": "arm",
}
TURNS, STEPS = 7, 10  # portions of steps that an arm is timed with


def run_pace(options: StudyOptions) -> Path:
    """Trains and times each arm on a data set; returns the records."""
    changes = {"fit_on": "train", "left_out": "fitted", "evaluate_every": 1}
    chosen = CHOSEN.get(name_of(options.dataset), {})
    configs = {
        name: options.arm(name, **changes, **dict(zip(TUNED, chosen.get(name, ()))))
        for name in ARMS
    }
    runs = {n: prepared_run(config, options.data_dir) for n, config in configs.items()}
    reference = runs[REFERENCE]
    batch, clicks = reference.config.batch, len(reference.fold.fitted.item)

    def measure(arm: str, seed: int) -> tuple[dict[str, Any], str]:
        config = dataclasses.replace(configs[arm], seed=seed)
        curve = validated(prepared_run(config, options.data_dir))
        return {"curves": curve}, f"{arm}, seed {seed}: best {max(curve):.4f}"

    def found() -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
        yield from measured(options, {"arm": ARMS}, measure)
        seconds = step_seconds(runs, 2 if options.quick else TURNS)
        for name, config in configs.items():
            numbers: dict[str, Any] = {"step_seconds": seconds[name]}
            numbers["temperatures"] = config.temperature
            yield {"arm": name}, {**numbers, "learning_rates": config.learning_rate}

    about: dict[str, Any] = {"batch": batch, "examples": clicks // batch * batch}
    about["items"] = reference.fold.fitted.n_items
    return collect(options, NAME, AXES, {"arm": ARMS}, found(), **about)


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
    sides = {n: portions(run.config, run.fold, STEPS) for n, run in runs.items()}
    return {
        name: [each["seconds"] / each["steps"] for each in answers.portions]
        for name, answers in take_turns(sides, turns).items()
    }


LEVEL, LEVEL_TEXT = 0.95, "95 %"  # of the reference's best NDCG@20
UNCORRECTED, CORRECTED = "in-batch", "in-batch+logq"
MOST_EXAMPLES = 1.1  # of the reference's: the prediction for each corrected arm
# Likewise for in-batch+logq, by the number of items at most.
MOST_TIME = {1_447: 0.8, 3_533: 0.5, 50_000: 0.05}


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


def derive(data: Data) -> dict[str, Named]:
    """The columns of the table, times and examples also as shares of the reference's.

    Where a seed doesn't reach the level, the mean is inf. The share of seconds has the
    interval of the examples alone.
    """
    curves, steps = data["curves"], data["step_seconds"]
    best = curves.reduce("epoch", np.max)
    epochs = each(epochs_to, curves, best.at(arm=REFERENCE) * LEVEL, over="epoch")
    share = epochs / epochs.at(arm=REFERENCE)
    examples = epochs.mean_over("seed") * data.header["examples"]
    step = steps.reduce("turn", np.median)
    step_share = (steps / steps.at(arm=REFERENCE)).reduce("turn", np.median)
    return {
        "temperature": data["temperatures"].map(lambda x: x.round(6)),
        "learning_rate": data["learning_rates"].map(lambda x: x.round(8)),
        "best": best.mean_over("seed"),
        "best_epoch": curves.reduce("epoch", np.argmax).mean_over("seed") + 1,
        "reached": epochs.map(np.isfinite).reduce("seed", np.sum),
        "examples": examples,
        "examples_share": share,
        "milliseconds": step * 1e3,
        "step_share": step_share,
        "seconds": examples / data.header["batch"] * step,
        "seconds_share": step_share * share,
    }


def verdicts(data: Data) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    found, out = derive(data), []
    for name in data.labels("arm"):
        if name not in (UNCORRECTED, REFERENCE):
            text = f"{name}: at most {MOST_EXAMPLES} times the full softmax's examples"
            share = found["examples_share"].at(arm=name)
            out.append(claim(text, share, high=MOST_EXAMPLES, form=".3f"))
    enough = [most for n, most in MOST_TIME.items() if data.header["items"] <= n]
    most = enough[0] if enough else min(MOST_TIME.values())
    text = f"{CORRECTED}: at most {most} of the full softmax's time"
    share = found["seconds_share"].at(arm=CORRECTED)
    out.append(claim(text, share, high=most, form=".3f"))
    reached = int(found["reached"].at(arm=UNCORRECTED).item())
    seeds = len(data.labels("seed"))
    never = {0: "holds", seeds: "fails"}.get(reached, "undecided")
    said = f"reached with {reached} of {seeds} seeds"
    return [*out, [f"{UNCORRECTED}: never reaches the level", said, never]]


COLUMNS = (
    ("best NDCG@20", "best", ".4f"),
    ("at epoch", "best_epoch", ".1f"),
    ("examples, million", "millions", ".2f"),
    ("share [95 %]", "examples_share", ".3f"),
    ("ms per step", "milliseconds", ".2f"),
    ("seconds", "seconds", ".1f"),
    ("share [95 %]", "seconds_share", ".3f"),
)
TERMS = {
    "share": "of what the full softmax needs; that of seconds has the interval of the "
    "examples alone",
    "ms per step": "timed without validation and compilation, the arms in turns",
    "a dash": "some seed does not reach the level",
}


def pace_page(frame: pd.DataFrame, data: Data) -> Sequence[str]:
    """What was measured, and one row per arm, in Markdown."""
    header = data.header
    about = described(
        f"{header['dataset']}: {header['items']:,} items, {header['examples']:,} "
        f"examples per epoch, batch {header['batch']:,}, "
        f"{seeds_text(len(data.labels('seed')))}; each arm at the temperature and "
        "learning rate of the table, on MovieLens those that validation chose for it. "
        "After every epoch all items are ranked for validation. Examples and seconds "
        f"are those until NDCG@20 is {LEVEL_TEXT} of the full softmax's best with the "
        "same seed.",
        TERMS,
        f"{OVER_SEEDS} A larger learning rate needs fewer examples: compare arms of "
        "one rate.",
    )
    shown = frame.replace(np.inf, np.nan).rename(
        columns={"learning_rate": "learning rate"}
    )
    shown = shown.assign(arm="`" + shown.arm + "`", millions=shown.examples / 1e6)
    stated = {"arm": "", "temperature": "g", "learning rate": "g"}
    return about, interval_table(shown, stated, COLUMNS, left=1)


@styled
def pace_figure(frame: pd.DataFrame, data: Data) -> Drawing:
    """Draws the mean curve of each arm against examples and against seconds."""
    header, curves = data.header, data["curves"].mean_over("seed")
    points = tidy({"ndcg": curves})
    examples = (points.epoch + 1) * header["examples"]
    steps = points.arm.map(frame.set_index("arm").milliseconds) / 1e3
    x = {"examples, million": examples / 1e6}
    x["seconds of training steps"] = examples / header["batch"] * steps
    points = points.assign(**x).melt(["arm", "ndcg"], [*x], "by", "x")
    labels = "", "NDCG@20 on validation"
    style = looks(frame.arm).__getitem__
    figure, panels = lines(points, ("x", "ndcg", "arm"), style, labels, facet="by")
    level = LEVEL * curves.reduce("epoch", np.max).at(arm=REFERENCE).item()
    for by, panel in panels.items():
        panel.axhline(level, color="0.4", linestyle=(0, (5, 3)))
        panel.set_xlabel(by)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    title = f"{header['items']:,} items: NDCG@20 by examples and by time (dashed: "
    title += f"{LEVEL_TEXT} of the full softmax's best)"
    legend_above(figure, panel, title, 3)
    return Drawing(figure, points)


def report_pace(stored: Stored) -> Report:
    """The study's table, page and figure."""
    data = Data.of(stored, AXES)
    frame = tidy(derive(data))
    drawings = {"-curves": pace_figure(frame, data)}
    return Report({".csv": frame}, pace_page(frame, data), drawings, verdicts(data))
