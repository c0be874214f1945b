"""How noisy is the gradient of the item table, by where the negatives come from?

The grids ``sample-size`` and ``push`` compare recall. Here nothing is compared after
training. From the parameters of one full softmax, untrained and after two epochs, each
arm takes a step many times, each with other rows and other negatives. The steps are
those of training, but by stochastic gradient descent and without dropout, so that the
difference of the table of items' ids is its gradient. Its noise is the variance over
the batches, summed over the table; it is shown as a multiple of the full softmax's.

    python -m experiments run noise             about 5 minutes on MovieLens 100K
    python -m experiments run noise --quick     about half a minute

On Electronics (--dataset DIR/electronic; DIR is as in docs/outside.md) it takes about
10 minutes.
Expect in-batch negatives to have less noise than as many fresh draws at both points,
and less than the full softmax only at the second.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy import ndarray

from experiments.arms import arm
from experiments.inputs import prepared_run
from experiments.study import (
    OVER_SEEDS,
    Report,
    StudyOptions,
    described,
    save_cells,
)
from research import rng
from research.config import REFERENCE, Config, structure
from research.evaluate.record import bands
from research.features import ITEM
from research.prepare import Prepared
from research.report.intervals import Interval
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, looks, styled
from research.report.predictions import statement
from research.report.records import Stored
from research.train.loop import train
from research.train.model import Params
from research.train.run_state import init_state, traced_values
from research.train.step import make_step
from research.types import BANDS

NAME, FULL = "noise", "full-softmax"
RATE = 1e3  # of the steps: the larger, the less their difference is rounded
IN_BATCH, MIXED, FRESH = "in-batch+logq", "mixed-popularity+logq", "popularity-softmax"
PUSH = f"{MIXED}+push"
# Arms with the number of draws beside the batch, 0 for those without.
ARMS = (
    *((FULL, 0), (IN_BATCH, 0), (PUSH, 1024), (MIXED, 1024)),
    *((FRESH, 511), (FRESH, 1024), ("uniform-softmax", 1024)),
)
LABELS = [f"{name} {draws}" if draws else name for name, draws in ARMS]


def run_noise(options: StudyOptions) -> Path:
    """Takes the steps; returns the records.

    Arrays: noise [arm, point, seed, band], the variance of the gradient summed over
    the items of a popularity band; points, epochs of the model that steps start from.
    """
    points, _ = _sizes(options.quick)
    models = [
        [_trained(options, epochs, seed) for seed in range(options.seeds)]
        for epochs in points
    ]
    cells = []
    for (name, draws), label in zip(ARMS, LABELS, strict=True):
        for epochs, of_seeds in zip(points, models, strict=True):
            for seed, params in enumerate(of_seeds):
                config = dataclasses.replace(
                    arm(name, options.config(seed=seed)),
                    draws=draws, optimiser="sgd", learning_rate=RATE, weight_decay=0.0,
                    dropout=0.0,
                )  # fmt: skip
                noise = noise_of(config, params, options)
                cells.append({"noise": noise})
                options.progress(
                    f"{label}, {epochs} epochs, seed {seed}: noise {noise.sum():.3g}"
                )
    shape = len(ARMS), len(points), options.seeds
    swept = {"points": points}
    return save_cells(options, NAME, cells, shape, swept, arms=LABELS)


def _sizes(quick: bool) -> tuple[tuple[int, ...], int]:
    """Epochs of the models from which steps start, and batches of each arm."""
    return ((0, 1), 3) if quick else ((0, 2), 100)


def _trained(options: StudyOptions, epochs: int, seed: int) -> Params:
    """The parameters of a full softmax from which all arms take their steps."""
    config = arm(FULL, options.config(epochs=max(epochs, 1), seed=seed))
    run = prepared_run(config, options.data_dir)
    if not epochs:
        return init_state(run, *run.world).params
    return train(run.config, run.fold).params


def noise_of(
    config: Config, params: Params, options: StudyOptions
) -> Float[ndarray, " b"]:
    """The variance of the gradient of the items' ids, summed by popularity band.

    Args:
      config: of the arm; a step of its optimiser is its rate times the gradient.
      params: from which all steps start.
      options: of the study.
    """
    run = prepared_run(config, options.data_dir)
    batches = _sizes(options.quick)[1]
    table = np.zeros_like(params["tables"][ITEM], float)
    total, squares = table, table
    for gradient in _gradients(run, params, batches):
        total, squares = total + gradient, squares + gradient**2
    variance = (squares - total**2 / batches).sum(axis=1) / (batches - 1)
    counts = run.fold.fitted.item_counts
    return np.bincount(bands(counts), variance, minlength=len(BANDS))


def _gradients(
    run: Prepared, params: Params, batches: int
) -> Iterator[Float[ndarray, "i d"]]:
    """The gradient of the table of items' ids, batch by batch, each drawn anew."""
    world, sizes = run.world
    state = init_state(run, world, sizes)
    state = state._replace(params={**params, "loss": state.params["loss"]})
    step = jax.jit(make_step(structure(run.config)))
    hyper, pairs = traced_values(run.config), len(world.pairs.candidate)
    draw = rng.generator(run.config.seed, NAME)
    for n in range(batches):
        rows = draw.choice(pairs, run.config.batch, replace=False)
        start = state._replace(step=jnp.int32(n))  # which decides the negatives
        after, _ = step(start, jnp.asarray(rows), hyper, world)
        moved = state.params["tables"][ITEM] - after.params["tables"][ITEM]
        yield np.asarray(moved, float) / RATE


def noise_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm and point: its noise over the full softmax's, in all and by band.

    Columns: arm, epochs, noise, and noise of each of BANDS, each with _low and _high.
    """
    noise = np.moveaxis(stored.floats()["noise"], 2, -1)  # [arm, point, band, seed]
    full = stored.header["arms"].index(FULL)
    found = {"noise": noise.sum(axis=2) / noise[full].sum(axis=1)}
    found |= {
        f"noise_{band}": noise[:, :, n] / noise[full, :, n]
        for n, band in enumerate(BANDS)
    }
    epochs = [int(value) for value in stored.axis("points")]
    return interval_frame(found, arm=stored.header["arms"], epochs=epochs)


def _at(frame: pd.DataFrame, epochs: int) -> dict[str, Interval]:
    rows = frame[frame.epochs == epochs].to_dict("records")
    return {row["arm"]: Interval.of(row, "noise") for row in rows}


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    untrained, trained = (_at(frame, n) for n in sorted(set(frame.epochs)))
    half, more = {"high": 0.5}, {"low": np.nextafter(1.0, 2.0)}
    expected = (
        (IN_BATCH, "at most half", half),
        (f"{PUSH} 1024", "at most half", half),
        (f"{FRESH} 511", "more", more),
        (f"{FRESH} 1024", "more", more),
        ("uniform-softmax 1024", "more", more),
    )
    rows = [
        statement(f"{name}: {text}", trained[name], **bounds, form=".2f")
        for name, text, bounds in expected
    ]
    added = statement(
        f"{IN_BATCH}, untrained: more", untrained[IN_BATCH], **more, form=".2f"
    )
    return [*rows, added]


@styled
def noise_figure(frame: pd.DataFrame) -> Drawing:
    """Draws each arm's noise with its interval, as a multiple of the full softmax's."""
    figure, axes = blank(3.6)
    styles = looks(name.partition(" ")[0] for name in frame.arm)
    last = frame.epochs.max()
    order = frame[frame.epochs == last].sort_values("noise", ascending=False)
    heights = {name: n for n, name in enumerate(order.arm)}
    for row in frame.to_dict("records"):
        ink = styles[row["arm"].partition(" ")[0]].colour
        height = heights[row["arm"]]
        axes.hlines(height, row["noise_low"], row["noise_high"], color=ink, lw=2)
        fill = ink if row["epochs"] == last else "white"
        axes.plot(row["noise"], height, "o", mec=ink, mfc=fill, mew=1.8, ms=7)
    for fill, label in (("white", "untrained"), ("0.3", f"after {last} epochs")):
        axes.plot([], [], "o", mec="0.3", mfc=fill, mew=1.8, ms=7, label=label)
    axes.set_yticks(range(len(heights)), list(heights))
    axes.axvline(1, color="0.4", linestyle=(0, (5, 3)))
    axes.set_xscale("log")
    drawn = np.log2(frame[["noise", "noise_low", "noise_high"]])
    powers = np.arange(np.floor(drawn.min().min()), np.ceil(drawn.max().max()) + 1)
    axes.set_xlim(2.0 ** powers[0], 2.0 ** powers[-1])
    axes.xaxis.set_major_locator(FixedLocator(list(2.0**powers)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("arm, draws beside the batch")
    axes.set_xlabel("noise of the gradient of items, full softmax = 1 [95 %]")
    legend_above(figure, axes, heading(frame), 2)
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """That in-batch negatives are less noisy than fresh ones, if it is shown."""
    lower = all(
        _at(frame, n)[IN_BATCH].high < _at(frame, n)[f"{FRESH} 511"].low
        for n in set(frame.epochs)
    )
    if lower:
        return (
            "In-batch negatives give items a less noisy gradient than as many fresh\n"
            "draws from the same distribution"
        )
    return "How noisy is the gradient of items, by where the negatives come from?"


def report_noise(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = noise_frame(stored)
    points, batches = _sizes(stored.header["quick"])
    about = described(
        f"{stored.header['dataset']}, {seeds_text(stored.arrays['noise'].shape[2])}. "
        f"All steps of a seed start from one full softmax, untrained or after "
        f"{points[-1]} epochs at the temperature {REFERENCE.temperature:g}. Each is "
        f"one of stochastic gradient descent without dropout, with other rows and "
        f"other negatives ({batches} batches).",
        {
            "noise": "the variance over batches of the gradient of the table of items' "
            "ids, summed over items, divided by that of the full softmax at the same "
            "point",
            "number after an arm": "negatives drawn beside the batch",
            "head, torso and tail": "the same for items that have a third of the "
            "clicks each, from the most to the least popular",
        },
        OVER_SEEDS,
    )
    columns = [("noise [95 %]", "noise", ".2f")]
    columns += [(band, f"noise_{band}", ".2f") for band in BANDS]
    table = interval_table(frame, {"arm": "", "epochs": ""}, columns, left=1)
    drawings = {"-arms": noise_figure(frame)}
    return Report({".csv": frame}, (about, table), drawings, verdicts(frame))
