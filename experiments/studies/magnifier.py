"""How much of a row's gradient falls on its hardest negatives, by temperature.

A softmax pushes negative j away with weight p_j = exp(s_j / t) / sum_k exp(s_k / t). A
small temperature t puts that weight on the few highest scores: it magnifies what is
ranked badly [wang2021understanding, section 4]. The share of the k hardest among all
negatives is then

    share_k(t) = sum_{j in top k} exp(s_j / t) / sum_{j negative} exp(s_j / t),

in which the positive cancels. Here it stands beside the measured one: autodiff through
the logits and the loss of training.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.arms import arm
from experiments.runs import fold_of, ratings_of
from experiments.studies.probe.follow import follow
from experiments.studies.probe.gradients import draw_rows, probed, score_gradient
from experiments.studies.probe.points import make_point
from experiments.studies.records import load_study, records_path, save_study
from research.config import Config
from research.files import beside, replace
from research.negatives.source import Pool
from research.report.intervals import over_seeds
from research.report.pages import csv_text
from research.report.pictures import SPARE_COLOURS, STYLE, Drawing, blank, save_figure
from research.train.model import make_model
from research.train.world import build_world, resolve_features
from research.types import Pairs

__all__ = [
    "Magnifier",
    "formula_share",
    "magnifier_figure",
    "magnifier_frame",
    "measured_share",
    "report_magnifier",
    "run_magnifier",
    "write_magnifier",
]


def measured_share(
    config: Config,
    cosines: Float[Array, "b i"],
    positive: Int[Array, " b"],
    pairs: Pairs,
    pool: Pool,
    ks: Sequence[int],
) -> Float[Array, "b k"]:
    """The share of the gradient on a row's negatives that the k hardest get.

    Args:
      config: the arm; its negatives are the whole catalogue.
      cosines: of each row with each item, before the temperature.
      positive: the item of each row.
      pairs: the fitted pairs.
      pool: the catalogue.
      ks: numbers of hardest negatives, by score.
    """
    arm = probed(config, pool)
    ids = draw_rows(jax.random.key(config.seed), arm, pairs, positive, pool)
    scores = cosines / config.temperature
    pushed = jnp.abs(score_gradient(arm, scores, positive, ids, pool))
    return _of_the_hardest(pushed, cosines, positive, ks)


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


MARKERS = "os^"


class Magnifier(NamedTuple):
    """Shares [model, temperature, k, seed], measured and by the formula."""

    models: tuple[str, ...]
    temperatures: tuple[float, ...]
    ks: tuple[int, ...]
    measured: Float[ndarray, "m t k s"]
    formula: Float[ndarray, "m t k s"]


def magnifier_frame(found: Magnifier) -> pd.DataFrame:
    """A row a model, temperature and k: the mean over seeds, its interval, formula."""
    lines = []
    for m, model in enumerate(found.models):
        for t, temperature in enumerate(found.temperatures):
            for n, k in enumerate(found.ks):
                line: dict[str, Any] = {"model": model, "temperature": temperature}
                line |= {"k": k} | over_seeds(found.measured[m, t, n])._asdict()
                line |= {"formula": float(found.formula[m, t, n].mean())}
                lines.append(line | {"seeds": found.measured.shape[-1]})
    return pd.DataFrame(lines)


def magnifier_figure(found: Magnifier) -> Drawing:
    """Draws a panel a model: the formula as lines, what was measured as marks."""
    frame = magnifier_frame(found)
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(3.9, ncols=len(found.models), sharey=True)
        for model, axes in zip(found.models, panels, strict=True):
            _panel(axes, frame[frame.model == model], found.ks)
            axes.set_title(f"{model} model", loc="left")
        panels[0].set_ylabel("share of the gradient on negatives")
        last = frame[(frame.model == found.models[-1]) & (frame.k == found.ks[1])]
        ends = last.sort_values("temperature")["mean"].to_numpy()
        figure.suptitle(
            f"After training, the {found.ks[1]} hardest negatives get {ends[0]:.0%} of "
            f"the gradient at {min(found.temperatures):g}, {ends[-1]:.0%} at "
            f"{max(found.temperatures):g}\n(lines: the softmax's formula; marks: "
            "measured by autodiff)",
            x=0.01,
            ha="left",
            fontsize=10.5,
            fontweight="bold",
        )
    return Drawing(figure, frame)


def _panel(axes: Axes, frame: pd.DataFrame, ks: tuple[int, ...]) -> None:
    for n, k in enumerate(ks):
        curve = frame[frame.k == k].sort_values("temperature")
        colour = SPARE_COLOURS[n]
        axes.plot(curve.temperature, curve.formula, color=colour, zorder=2)
        low, high = curve["mean"] - curve.low, curve.high - curve["mean"]
        axes.errorbar(
            *(curve.temperature, curve["mean"]),
            yerr=np.nan_to_num(np.stack([low, high])).clip(0),
            fmt=MARKERS[n],
            color=colour,
            markersize=4.5,
            linewidth=1,
            label=f"hardest {k}",
            zorder=3,
        )
    axes.set_xscale("log")
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("temperature of the loss")
    axes.legend(frameon=False)


def write_magnifier(
    found: Magnifier, table: Path, figure: Path, quick: bool
) -> list[Path]:
    """Writes <table>.csv, <table>.md, and the figure's three files."""
    frame, drawing = magnifier_frame(found), magnifier_figure(found)
    names = [f"{model}, hardest {k}" for model in found.models for k in found.ks]
    gap = float(np.abs(found.measured - found.formula).max())
    lines = [
        "# Whom does the gradient fall on, at which temperature?",
        "",
        "Share of the gradient on a row's negatives, the whole catalogue, that its"
        " hardest ones get. Mean and 95 % t interval over"
        f" {found.measured.shape[-1]} seeds; trained by full-softmax at 0.1. Measured"
        f" and formula differ by at most {gap:.1e}.",
        "",
        "| " + " | ".join(["temperature", *names]) + " |",
        "|" + " --: |" * (len(names) + 1),
    ]
    for value, rows in frame.groupby("temperature"):
        cells = [_cell(row) for row in rows.itertuples(index=False)]
        lines.append("| " + " | ".join([f"{value:g}", *cells]) + " |")
    if quick:
        lines += ["", "A quick run: it shows that everything works, and no result."]
    return [
        replace(beside(table, ".csv"), csv_text(frame).encode()),
        replace(beside(table, ".md"), ("\n".join(lines) + "\n").encode()),
        *save_figure(drawing.figure, drawing.points, figure.with_name("magnifier")),
    ]


def _cell(row: Any) -> str:
    if np.isnan(row.low):
        return f"{row.mean:.3f}"
    return f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]"


NAME = "magnifier"
MODELS = ("untrained", "trained")
TEMPERATURES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
KS = (1, 10, 100)
EPOCHS, ROWS, SEEDS = 10, 512, 5
QUICK_EPOCHS, QUICK_ROWS = 1, 64


def run_magnifier(
    out: Path,
    dataset: str = "ml-100k",
    data_dir: str | None = None,
    quick: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Measures the shares on untrained and trained models; writes all files under out.

    Args:
      out: the output folder.
      dataset: whose pairs and catalogue.
      data_dir: as on the command line.
      quick: three temperatures, one seed, few rows, one epoch: no result.
      progress: told a line a model.
    """
    temperatures = (0.02, 0.1, 1.0) if quick else TEMPERATURES
    seeds, rows = (1, QUICK_ROWS) if quick else (SEEDS, ROWS)
    shape = (2, len(MODELS), len(temperatures), len(KS), seeds)
    found = np.zeros(shape)
    for seed in range(seeds):
        config = dataclasses.replace(
            arm("full-softmax", Config(dataset=dataset)),
            epochs=QUICK_EPOCHS if quick else EPOCHS,
            seed=seed,
        )
        models = _shares(config, data_dir, temperatures, rows)
        for m, name in enumerate(MODELS):
            found[:, m, :, :, seed] = models[name]
            first = found[0, m, :, 1, seed]
            low, high = temperatures[0], temperatures[-1]
            progress(
                f"seed {seed}, {name}: the 10 hardest get {first[0]:.3f} of the "
                f"gradient at {low:g}, {first[-1]:.3f} at {high:g}"
            )
    path = save_study(
        records_path(out, dataset, NAME),
        {
            "measured": found[0].astype("<f4"),
            "formula": found[1].astype("<f4"),
            "temperatures": np.array(temperatures, "<f4"),
        },
        dataset,
        quick,
        ratings_of(dataset, data_dir).digest,
        rows=rows,
    )
    report_magnifier(path, out)
    return path


def report_magnifier(records: Path, out: Path) -> list[Path]:
    """Writes the study's table and figure under out from its records.

    Raises:
      InputError: no such file, or of another RESULTS_VERSION.
    """
    header, arrays = load_study(records)
    found = Magnifier(
        models=MODELS,
        temperatures=tuple(round(float(t), 6) for t in arrays["temperatures"]),
        ks=KS,
        measured=arrays["measured"].astype(float),
        formula=arrays["formula"].astype(float),
    )
    table, figure = (
        out / what / header["dataset"] / NAME for what in ("tables", "figures")
    )
    return write_magnifier(found, table, figure, header["quick"])


def _shares(
    config: Config, data_dir: str | None, temperatures: tuple[float, ...], rows: int
) -> dict[str, np.ndarray]:
    """By model: (measured, formula) by temperature by k, means over rows."""
    fold = fold_of(config, data_dir)
    config = resolve_features(config, fold)
    world, sizes = build_world(config, fold)
    model = make_model(config)
    models, _ = follow(config, fold, model, world, sizes)
    out = {}
    for name, params in models.items():
        point = make_point(model, params, world, 1.0, rows, config.seed)
        cosines, positive = point.scores, point.positive
        shares = []
        for value in temperatures:
            at = dataclasses.replace(config, temperature=value)
            measured = measured_share(
                at, cosines, positive, world.pairs, world.pool, KS
            )
            closed = formula_share(cosines, positive, value, KS)
            shares.append(jnp.stack([measured.mean(axis=0), closed.mean(axis=0)]))
        out[name] = np.stack([np.asarray(s) for s in shares], axis=1)
    return out
