"""When does the log q correction recover what users would choose, and when not?

A click needs an item to be liked and to be shown. In-batch negatives take away the log
of the click share. Log q gives it back, and with it whatever made items popular. In
synthetic data (research/data/synthetic.py) the truth is known: training sees clicks
alone, and the corrected and the uncorrected model are both judged by the relevance that
made them, over the spread of quality and the spread of exposure.

    python -m experiments run exposure             about 6 minutes on 2 cores
    python -m experiments run exposure --quick     about 1 minute

Expect the corrected model to recover 0.65 to 0.7 of the truly best 20 without exposure
bias, and the uncorrected one to be ahead where exposure spreads more than quality.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from matplotlib.colors import LinearSegmentedColormap
from numpy import ndarray

from experiments.arms import arm
from experiments.study import SIMULATED, Report, StudyOptions, save_measured
from research.config import Config
from research.data.synthetic import Synthetic, made_fold, make_synthetic, relevance
from research.report.pages import interval_frame, interval_table
from research.report.pictures import Drawing, above, blank, look, styled
from research.report.records import Stored
from research.train.loop import train
from research.types import InputError

NAME = "exposure"
ARMS = ("in-batch", "in-batch+logq")
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)
USERS, ITEMS, GROUPS, CLICKS, TOP = 600, 400, 40, 50, 20
ROWS = 256  # users at a time, whose scores stay in the processor's cache
RECIPE: dict[str, Any] = {
    "user_features": (),
    "item_features": ("id",),
    "dim": 32,
    "user_hidden": (64,),
    "item_hidden": (64,),
    "batch": 256,
    "epochs": 12,
    "learning_rate": 3e-3,
}


def recipe(name: str, seed: int, epochs: int | None = None) -> Config:
    """The config of an arm on synthetic data; by default with the epochs of RECIPE."""
    changes = {**RECIPE, "seed": seed}
    if epochs is not None:  # 0 is refused, not the default
        changes["epochs"] = epochs
    return dataclasses.replace(arm(name), **changes)


def phase_frame(
    arms: Sequence[str], spreads: Sequence[float], shares: Float[ndarray, "a q e s"]
) -> pd.DataFrame:
    """One row per data set: both arms' means over seeds, and the paired gain.

    Args:
      arms: two names, the second of the corrected one.
      spreads: of quality, and of exposure.
      shares: of recovered items [arm, quality, exposure, seed].
    """
    plain, corrected = shares
    gain = {"gain": corrected - plain}
    frame = interval_frame(gain, quality=spreads, exposure=spreads)
    for n, name in enumerate(arms):
        frame.insert(2 + n, name, shares[n].mean(axis=-1).ravel())
    return frame.assign(seeds=shares.shape[-1])


INK = "#333333"


@styled
def phase_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the gain of the corrected arm over both spreads, blue where it helps.

    A dashed line shows where the gain is zero, if gains of both signs occur.
    """
    gain = frame.pivot(index="quality", columns="exposure", values="gain")
    limit = float(np.abs(gain.to_numpy()).max())
    figure, axes = blank(5.2)
    colours = LinearSegmentedColormap.from_list(
        "gain", [look(frame.columns[2]).colour, "white", look(frame.columns[3]).colour]
    )
    image = axes.imshow(
        gain.to_numpy(), cmap=colours, vmin=-limit, vmax=limit, origin="lower"
    )
    axes.grid(False)
    for n, row in enumerate(gain.to_numpy()):
        for m, value in enumerate(row):
            dark = abs(value) > 0.6 * limit
            axes.text(
                *(m, n, f"{value:+.2f}"),
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
    ticks = [f"{value:g}" for value in gain.index]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_yticks(range(len(ticks)), ticks)
    axes.set_xlabel("spread of exposure (Zipf exponent)")
    axes.set_ylabel("spread of quality (Zipf exponent)")
    label = f"recovered by {frame.columns[3]}, less by {frame.columns[2]}"
    bar = figure.colorbar(image, ax=axes, label=label)
    bar.ax.set_xlabel(" ")
    title = "Does correcting by log q recover more of the best items? Blue: it does"
    if gain.to_numpy().min() < 0 < limit:
        axes.contour(gain.to_numpy(), levels=[0], colors=INK, linestyles="--")
        title += ";\norange: it recovers fewer; dashed: no difference"
    above(figure, title)
    return Drawing(figure, frame)


def phase_page(frame: pd.DataFrame) -> Sequence[str]:
    """The table in Markdown, one row per synthetic data set."""
    arms = frame.columns[2:4]
    stated = {"quality": "g", "exposure": "g", **dict.fromkeys(arms, ".3f")}
    gain = [("gain [95 %]", "gain", "+.3f")]
    about = (
        "Share of each user's 20 truly most relevant items among the 20 recommended, "
        "in synthetic data. The gain is paired by seed; its interval is a 95 % t "
        "interval over seeds."
    )
    return about, interval_table(frame, stated, gain, left=0)


def best_items(scores: Float[ndarray, "u i"]) -> Bool[ndarray, "u i"]:
    """Marks each user's 20 items of highest score; among equal ones the first count.

    Raises:
      InputError: there are fewer than 20 items.
    """
    if scores.shape[1] < TOP:
        raise InputError(f"{scores.shape[1]} items: the best {TOP} need as many")
    marked = np.empty(scores.shape, bool)
    for start in range(0, len(scores), ROWS):
        rows = scores[start : start + ROWS]
        least = np.partition(rows, -TOP, axis=1)[:, -TOP, None]
        above, level = rows > least, rows == least
        room = TOP - above.sum(axis=1, keepdims=True)
        marked[start : start + ROWS] = above | (
            level & (np.cumsum(level, axis=1) <= room)
        )
    return marked


def recovered(scores: Float[ndarray, "u i"], truth: Bool[ndarray, "u i"]) -> float:
    """The share of each user's 20 most relevant items among its 20 highest scores.

    Args:
      scores: of all items, [u, i].
      truth: the relevant items, from ``best_items`` of their relevance, [u, i].
    """
    return float((best_items(scores) & truth).sum(axis=1).mean() / TOP)


def run_exposure(options: StudyOptions) -> Path:
    """Trains each arm on each synthetic data set; returns the records.

    A quick run has four data sets and two epochs.
    """
    quick = options.quick
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    shares = np.zeros((len(ARMS), len(spreads), len(spreads), options.seeds))
    for (q, quality), (e, exposure), seed in itertools.product(
        enumerate(spreads), enumerate(spreads), range(options.seeds)
    ):
        world = make_synthetic(
            USERS, ITEMS, GROUPS, quality=quality, exposure=exposure, seed=seed
        )
        for a, name in enumerate(ARMS):
            shares[a, q, e, seed] = _trained(name, world, seed, 2 if quick else None)
        options.progress(
            f"quality {quality:g}, exposure {exposure:g}, seed {seed}: recovered "
            + ", ".join(f"{n} {shares[a, q, e, seed]:.3f}" for a, n in enumerate(ARMS))
        )
    arrays = {"recovered": shares.astype("<f4"), "spreads": np.array(spreads, "<f4")}
    options = options._replace(dataset=SIMULATED)
    return save_measured(options, NAME, arrays, arms=list(ARMS))


def report_exposure(stored: Stored) -> Report:
    """The study's table and figure."""
    header, _, arrays = stored
    spreads = tuple(float(x) for x in arrays["spreads"])
    frame = phase_frame(header["arms"], spreads, arrays["recovered"].astype(float))
    return Report({".csv": frame}, phase_page(frame), {"-gain": phase_figure(frame)})


def _trained(name: str, world: Synthetic, seed: int, epochs: int | None) -> float:
    done = train(recipe(name, seed, epochs), made_fold(world, CLICKS, seed))
    truth = best_items(relevance(world))
    return recovered(done.user_vectors @ done.item_vectors.T, truth)
