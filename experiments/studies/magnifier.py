"""Which negatives does the gradient fall on: the share of the hardest, by temperature.

A softmax pushes negative j away with weight p_j = exp(s_j / t) / sum_k exp(s_k / t). A
small temperature t puts that weight on the few highest scores: it magnifies what is
ranked badly [wang2021understanding, section 4]. The share of the k hardest among all
negatives is then

    share_k(t) = sum_{j in top k} exp(s_j / t) / sum_{j negative} exp(s_j / t),

in which the positive cancels. Here it stands beside the measured share: autodiff
through the logits and the loss of training, on an untrained model and after 10 epochs
of full softmax, for the 1, 10 and 100 hardest negatives of the whole catalogue.

    python -m experiments run magnifier            about 2 minutes on 2 cores
    python -m experiments run magnifier --quick    about half a minute

Expect on MovieLens 100K, trained: the 10 hardest of 1,446 get about 87 % of the
gradient at temperature 0.02, 20 % at 0.1 and 1.2 % at 1, where all weigh the same.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int
from numpy import ndarray

from experiments.arms import arm
from experiments.kit import Data, Named, collect, lines, measured, tidy
from experiments.loaded import fold_of
from experiments.studies.probe import make_point, models_of
from experiments.studies.probe.estimators import draw_rows, probed_arm, score_gradient
from experiments.study import Report, StudyOptions
from research.config import Config
from research.marks import Range
from research.prepare import check_config, prepare
from research.report.pages import interval_text, markdown_table
from research.report.pictures import (
    SPARE_COLOURS,
    Drawing,
    Look,
    legend_above,
    styled,
)
from research.report.records import Stored
from research.train.world import World
from research.types import InputError

NAME = "magnifier"
MODELS = ("untrained", "trained")
TEMPERATURES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
QUICK_TEMPERATURES = (0.02, 0.1, 1.0)
KS = (1, 10, 100)
AXES = {name: "model temperature k seed" for name in ("measured", "formula")}
EPOCHS, ROWS = 10, 512
QUICK_EPOCHS, QUICK_ROWS = 1, 64


def measured_share(
    config: Config,
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    world: World,
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    """The share of the gradient on a row's negatives that the k hardest get."""
    probed, key = probed_arm(config, world.pool), jax.random.key(config.seed)
    ids = draw_rows(key, probed, world.pairs, positive, world.pool)
    scores = cosines / config.temperature
    weight = jnp.abs(score_gradient(probed, scores, positive, ids, world.pool))
    return _of_the_hardest(weight, cosines, positive, ks)


def formula_share(
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    temperature: float,
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    """The same share in closed form: the softmax over the negatives alone.

    One row of three items, the first one positive, at temperature 1: exp(1) over
    exp(1) + exp(0).

    >>> cosines = jnp.array([[0.5, 1.0, 0.0]])
    >>> print(f"{formula_share(cosines, jnp.array([0]), 1.0, (1,))[0, 0]:.4f}")
    0.7311
    """
    negative = _negative(cosines, positive)
    weight = jax.nn.softmax(cosines / temperature, axis=1, where=negative)
    return _of_the_hardest(weight, cosines, positive, ks)


def _negative(cosines: Float[Array, "b i"], positive: Int[Array, " b"]) -> Array:
    return jnp.arange(cosines.shape[1])[None, :] != positive[:, None]


def _of_the_hardest(
    weight: Float[Array, "b i"],
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    negative = _negative(cosines, positive)
    order = jnp.argsort(jnp.where(negative, -cosines, jnp.inf), axis=1)
    ranked = jnp.take_along_axis(jnp.where(negative, weight, 0.0), order, axis=1)
    total = ranked.sum(axis=1)
    return jnp.stack([ranked[:, :k].sum(axis=1) / total for k in ks], axis=1)


def magnifier_frame(data: Data) -> pd.DataFrame:
    """One row per model, temperature and k: mean over seeds, interval, formula."""
    formula = data["formula"].mean_over("seed")
    return tidy({"share": data["measured"], "formula": formula})


def measure_magnifier(
    config: Config,
    temperatures: Sequence[float] = TEMPERATURES,
    rows: int = ROWS,
    data_dir: str | None = None,
) -> pd.DataFrame:
    """Trains one config and measures its shares: ``magnifier_frame`` of one seed.

    Args:
      config: its negatives are the whole catalogue, as full-softmax's.
      temperatures: that the shares are measured at; training has the config's own.
      rows: pairs that the shares are averaged over.
      data_dir: as on the command line.

    Raises:
      InputError: the config is invalid, has other negatives or one of the temperatures
        can't be its own; or no row.
    """
    if config.negatives != ("catalogue",):
        raise InputError(
            f"negatives {' '.join(config.negatives)}: the magnifier is measured over "
            f"the whole catalogue"
        )
    Range(1).check("rows", rows)
    for temperature in temperatures:
        check_config(dataclasses.replace(config, temperature=temperature))
    labels = {"model": MODELS, "temperature": tuple(temperatures), "k": KS, "seed": [0]}
    found = shares(config, data_dir, temperatures, rows)
    arrays = {n: Named(values[..., None], labels) for n, values in found.items()}
    return magnifier_frame(Data({}, arrays))


@styled
def magnifier_figure(frame: pd.DataFrame) -> Drawing:
    """Draws one panel per model: the formula as lines, what was measured as marks."""
    looks = {
        k: Look(colour, marker)
        for k, colour, marker in zip(frame.k.unique(), SPARE_COLOURS, "os^")
    }
    labels = "temperature of the loss", "share of the gradient on negatives"
    columns, name = ("temperature", "formula", "k"), "hardest {}".format
    figure, panels = lines(
        frame, columns, looks.__getitem__, labels, facet="model", name=name, marker=""
    )
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    for model, panel in panels.items():
        for k, row in frame[frame.model == model].groupby("k"):
            ends = row["share"] - row.share_low, row.share_high - row["share"]
            marks: Any = {"fmt": looks[k].marker, "color": looks[k].colour, "ms": 4.5}
            reach = np.nan_to_num(ends).clip(0)
            panel.errorbar(row.temperature, row["share"], reach, **marks)
        panel.set_title(f"{model} model", loc="left")
        panel.set_xscale("log")
        panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
        panel.minorticks_off()
        panel.set_ylim(0, 1.02)
    title = "Share of the gradient that the hardest negatives get, by temperature "
    legend_above(figure, panel, f"{title}(lines: formula; marks: autodiff)", 3)
    return Drawing(figure, frame)


def magnifier_page(frame: pd.DataFrame, data: Data) -> Sequence[str]:
    """The table in Markdown, one row per temperature."""
    cells = frame.assign(
        text=[
            interval_text(row.share, row.share_low, row.share_high, ".3f")
            for row in frame.itertuples()
        ]
    ).pivot(index="temperature", columns=["model", "k"], values="text")
    rows = [[f"{temperature:g}", *row] for temperature, row in cells.iterrows()]
    gap = np.abs((data["measured"] - data["formula"]).values).max()
    about = (
        "Share of the gradient on a row's negatives (the whole catalogue) that goes to "
        "the hardest of them. Mean and 95 % t interval over "
        f"{len(data.labels('seed'))} seeds; trained by full-softmax at 0.1. Measured "
        f"and formula differ by at most {gap:.1e}."
    )
    heads = [f"{model}, hardest {k}" for model, k in cells.columns]
    return about, markdown_table(["temperature", *heads], rows, left=0)


def run_magnifier(options: StudyOptions) -> Path:
    """Measures the shares on untrained and trained models; returns the records.

    A quick run has three temperatures, few rows and one epoch.
    """
    quick = options.quick
    temperatures = QUICK_TEMPERATURES if quick else TEMPERATURES
    rows = QUICK_ROWS if quick else ROWS

    def measure(seed: int) -> tuple[dict[str, ndarray], str]:
        config = dataclasses.replace(
            arm("full-softmax", options.config()),
            epochs=QUICK_EPOCHS if quick else EPOCHS,
            seed=seed,
        )
        found = shares(config, options.data_dir, temperatures, rows)
        least, most = found["measured"][-1, [0, -1], 1]  # trained
        return found, (
            f"seed {seed}, trained: the {KS[1]} hardest get {least:.3f} of the "
            f"gradient at {temperatures[0]:g}, {most:.3f} at {temperatures[-1]:g}"
        )

    found = measured(options, {}, measure)
    points = {"temperature": temperatures}
    return collect(options, NAME, AXES, points, found, rows=rows)


def report_magnifier(stored: Stored) -> Report:
    """The study's table and figure."""
    data = Data.of(stored, AXES, model=MODELS, k=KS)
    frame = magnifier_frame(data)
    return Report(
        {".csv": frame}, magnifier_page(frame, data), {"": magnifier_figure(frame)}
    )


def shares(
    config: Config, data_dir: str | None, temperatures: Sequence[float], rows: int
) -> dict[str, Float[ndarray, "m t k"]]:
    """Measured and by the formula, by model, temperature and k: means over rows."""
    run = prepare(config, fold_of(config, data_dir))
    config, model, (world, _) = run.config, run.model, run.world
    models = models_of(run)
    out: dict[str, list[list[ndarray]]] = {name: [] for name in AXES}
    for name in MODELS:
        point = make_point(model, models[name], world, 1.0, rows, config.seed)
        cosines, positive = point.scores, point.positive
        for each in out.values():
            each.append([])
        for value in temperatures:
            at = dataclasses.replace(config, temperature=value)
            measured = measured_share(at, cosines, positive, world, KS)
            closed = formula_share(cosines, positive, value, KS)
            out["measured"][-1].append(np.asarray(measured.mean(axis=0)))
            out["formula"][-1].append(np.asarray(closed.mean(axis=0)))
    return {name: np.array(values) for name, values in out.items()}
