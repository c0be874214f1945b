"""How noisy is the gradient of the item table, by where the negatives come from?

The grids ``sample-size`` and ``push`` compare recall. Here nothing is compared after
training: a full softmax is trained, and from its parameters each arm takes the first
step many times, each with other rows and other negatives. The steps are those of
training, but by stochastic gradient descent and without dropout, so that the difference
of the table of items' ids is its gradient. Its noise is the variance over the batches,
summed over the table; it is shown as a multiple of the full softmax's.

    python -m experiments run noise             about 5 minutes on MovieLens 100K
    python -m experiments run noise --quick     about half a minute

On Electronics (--dataset DIR/electronic; DIR is as in docs/outside.md) it takes about
10 minutes.
Expect in-batch negatives to have about half of the full softmax's noise, and as many
fresh draws from the click share 1.4 to 1.6 times as much as it.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float
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
from research.report.pictures import Drawing, above, blank, looks, styled
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

    Arrays: noise [arm, seed, band], the variance of the gradient summed over the items
    of a popularity band.
    """
    points = [_trained(options, seed) for seed in range(options.seeds)]
    cells = []
    for (name, draws), label in zip(ARMS, LABELS, strict=True):
        for seed, params in enumerate(points):
            config = options.config(**_changes(options, seed))
            config = dataclasses.replace(
                arm(name, config),
                draws=draws, optimiser="sgd", learning_rate=RATE, weight_decay=0.0,
                dropout=0.0,
            )  # fmt: skip
            noise = noise_of(config, params, options)
            cells.append({"noise": noise})
            options.progress(f"{label}, seed {seed}: noise {noise.sum():.3g}")
    shape = len(ARMS), options.seeds
    return save_cells(options, NAME, cells, shape, {}, arms=LABELS)


def _sizes(quick: bool) -> tuple[int, int]:
    """Epochs of the model from which all steps start, and batches of each arm."""
    return (1, 3) if quick else (2, 200)


def _changes(options: StudyOptions, seed: int) -> dict[str, int]:
    return {"epochs": _sizes(options.quick)[0], "seed": seed}


def _trained(options: StudyOptions, seed: int) -> Params:
    """The parameters of a full softmax from which all arms take their steps."""
    config = arm(FULL, options.config(**_changes(options, seed)))
    run = prepared_run(config, options.data_dir)
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
    """One row per arm: its noise, and that of each band, over the full softmax's.

    Columns: arm, noise, and noise of each of BANDS, each with _low and _high.
    """
    noise = np.moveaxis(stored.floats()["noise"], 1, -1)  # [arm, band, seed]
    full = stored.header["arms"].index(FULL)
    found = {"noise": noise.sum(axis=1) / noise[full].sum(axis=0)}
    found |= {
        f"noise_{band}": noise[:, n] / noise[full, n] for n, band in enumerate(BANDS)
    }
    return interval_frame(found, arm=stored.header["arms"])


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    ends = {row["arm"]: Interval.of(row, "noise") for row in frame.to_dict("records")}
    half, more = {"high": 0.5}, {"low": np.nextafter(1.0, 2.0)}
    expected = {
        IN_BATCH: ("at most half", half),
        f"{PUSH} 1024": ("at most half", half),
        f"{FRESH} 511": ("more", more),
        f"{FRESH} 1024": ("more", more),
        "uniform-softmax 1024": ("more", more),
    }
    return [
        statement(f"{name}: {text}", ends[name], **bounds, form=".2f")
        for name, (text, bounds) in expected.items()
    ]


@styled
def noise_figure(frame: pd.DataFrame) -> Drawing:
    """Draws each arm's noise with its interval, as a multiple of the full softmax's."""
    figure, axes = blank(3.2)
    styles = looks(name.partition(" ")[0] for name in frame.arm)
    rows = frame.sort_values("noise", ascending=False).reset_index(drop=True)
    for height, row in rows.iterrows():
        ink = styles[row.arm.partition(" ")[0]].colour
        axes.hlines(height, row.noise_low, row.noise_high, color=ink, lw=2)
        axes.plot(row.noise, height, "o", color=ink, ms=7)
    axes.set_yticks(rows.index, rows.arm)
    axes.axvline(1, color="0.4", linestyle=(0, (5, 3)))
    axes.set_xlim(left=0)
    axes.set_ylabel("arm, draws beside the batch")
    axes.set_xlabel("noise of the gradient of items, full softmax = 1 [95 %]")
    above(figure, heading(frame))
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """That in-batch negatives are less noisy and fresh ones more, if it is shown."""
    ends = frame.set_index("arm")
    below = ends.noise_high[IN_BATCH] < 1
    if below and (ends.noise_low[[f"{FRESH} 511", f"{FRESH} 1024"]] > 1).all():
        return (
            "In-batch negatives give items a less noisy gradient than the full\n"
            "softmax, fresh draws from the same distribution a noisier one"
        )
    return "How noisy is the gradient of items, by where the negatives come from?"


def report_noise(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = noise_frame(stored)
    epochs, batches = _sizes(stored.header["quick"])
    about = described(
        f"{stored.header['dataset']}, {seeds_text(stored.arrays['noise'].shape[1])}. "
        f"All steps of a seed start from one full softmax, after {epochs} epochs at "
        f"the temperature {REFERENCE.temperature:g}. Each is one of stochastic "
        f"gradient descent without dropout, with other rows and other negatives "
        f"({batches} batches).",
        {
            "noise": "the variance over batches of the gradient of the table of items' "
            "ids, summed over items, divided by that of the full softmax",
            "number after an arm": "negatives drawn beside the batch",
            "head, torso and tail": "the same for items that have a third of the "
            "clicks each, from the most to the least popular",
        },
        OVER_SEEDS,
    )
    columns = [("noise [95 %]", "noise", ".2f")]
    columns += [(band, f"noise_{band}", ".2f") for band in BANDS]
    table = interval_table(frame, {"arm": ""}, columns, left=1)
    drawings = {"-arms": noise_figure(frame)}
    return Report({".csv": frame}, (about, table), drawings, verdicts(frame))
