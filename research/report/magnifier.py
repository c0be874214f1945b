"""The magnifier: what the hardest negatives get of the gradient, by temperature."""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from research.report.files import beside, replace
from research.report.intervals import over_seeds
from research.report.palette import SPARE_COLOURS
from research.report.pictures import STYLE, Drawing, blank, save_figure
from research.report.table_files import csv_text

__all__ = ["Magnifier", "magnifier_figure", "magnifier_frame", "write_magnifier"]

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
