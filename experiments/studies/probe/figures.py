"""Figures of the probe: what bias each correction leaves, where it pushes, and n."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from experiments.studies.probe.archive import FAITHFUL, PER_ROW, SMALL, ZERO
from experiments.studies.probe.estimators import ESTIMATORS
from research.report.pictures import Drawing, above, blank, legend_above, look, styled
from research.types import BANDS

FLOOR = 0.1  # percent: below it a bias is drawn at the edge
MODELS = ("untrained", "trained")
MASKED = "in-batch+logq"  # the estimator whose mask is shown
WRONG = "#b3261e"
PLAIN = "#333333"


@styled
def ranking_figure(frame: pd.DataFrame) -> Drawing:
    """Ranks the estimators by bias, before (hollow) and after training.

    At the largest n, away from the truth: how far from the full softmax's gradient, in
    percent of it.
    """
    points = _main(frame)
    points = points[(points.n == points.n.max()) & (points.target == "items")]
    points = points[points.question == FAITHFUL]
    order = list(points[points.model == "trained"].sort_values("bias").form)[::-1]
    figure, axes = blank(4.4)
    _ranked(axes, points, order)
    axes.set_xlabel("bias away from the truth (% of exact gradient)")
    axes.set_yticks(range(len(order)), order)
    _colour_labels(axes, points, order)
    axes.set_ylabel("form (red: a wrong one)")
    n = f"{points.n.max():,} draws a row; hollow: untrained, filled: trained"
    above(figure, f"Bias of each estimator's gradient\n({n})")
    return Drawing(figure, points.reset_index(drop=True))


def _main(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame[(frame.world != SMALL) & (frame.library == "fitted")]
    return rows[(rows.drawn == PER_ROW) & (rows.masked == "no")]


def _ranked(axes: Axes, rows: pd.DataFrame, order: Sequence[str]) -> None:
    for row in rows.to_dict("records"):
        y = order.index(row["form"]) + (0.14 if row["model"] == "untrained" else -0.14)
        colour, marker = look(str(row["form"]))
        value = max(100 * row["bias"], FLOOR)
        ends = [100 * (row["bias"] + s * 2 * row["error"]) for s in (-1, 1)]
        axes.plot(np.maximum(ends, FLOOR), [y, y], color=colour, linewidth=1.2)
        hollow = row["model"] == "untrained"
        axes.plot(
            value, y, marker, color=colour, markersize=6.5,
            markerfacecolor="white" if hollow else colour, clip_on=False,
        )  # fmt: skip
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xscale("log")
    axes.set_xlim(FLOOR, 200)
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _percent(x: float, _: Any) -> str:
    return f"≤{FLOOR:g}" if x == FLOOR else f"{x:g}"


def _colour_labels(axes: Axes, points: pd.DataFrame, order: Sequence[str]) -> None:
    exact = points.drop_duplicates("form").set_index("form")["q exact"]
    for label, form in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color(PLAIN if exact[form] == "yes" else WRONG)


@styled
def deciles_figure(table: pd.DataFrame) -> Drawing:
    """Draws where each estimator pushes: signed error by popularity decile of items.

    Above zero an item's score is pushed down more than by the full softmax.
    """
    points = table[(table.library == "fitted") & (table.masked == "no")]
    points = points[(points.drawn == PER_ROW) & (points.question == FAITHFUL)]
    points = points[points.n == points.n.max()].reset_index(drop=True)
    figure, axes = blank(3.9, ncols=2, sharey=True)
    for panel, model in zip(axes, MODELS, strict=True):
        lines = points[points.model == model].groupby("form", sort=False)
        right = [str(form) for form, _ in lines if ESTIMATORS[str(form)].exact]
        for form, line in lines:
            if form in right:  # they lie on one another: one name for all
                label = f"{len(right)} forms with the right q"
                panel.plot(
                    line.decile, 100 * line.signed, color="0.6", linewidth=2.5,
                    label=label if form == right[0] else None,
                )  # fmt: skip
            else:
                _decile_line(panel, line, str(form))
        panel.axhline(0, color=PLAIN, linewidth=0.8, zorder=1)
        panel.set_xlabel(f"{model}: popularity decile (1 most clicked)")
        panel.set_xticks([1, 3, 5, 7, 10])
    axes[0].set_ylabel("extra push down (% of a row's push)")
    title = "Signed error of each estimator's push, by popularity of the item"
    legend_above(figure, axes[0], title, 4, fontsize=8.5, columnspacing=1.2)
    return Drawing(figure, points)


def _decile_line(axes: Axes, line: pd.DataFrame, form: str) -> None:
    colour, marker = look(form)
    axes.plot(
        line.decile, 100 * line.signed, color=colour, marker=marker, label=form,
        markersize=5, markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    low, high = (100 * (line.signed + s * 2 * line.error) for s in (-1, 1))
    axes.fill_between(line.decile, low, high, color=colour, alpha=0.2, linewidth=0)


@styled
def sizes_figure(frame: pd.DataFrame) -> Drawing:
    """Draws bias against the number of draws n: on six items exactly, and trained."""
    small = frame[(frame.world == SMALL) & (frame.question == ZERO)]
    real = _main(frame)
    real = real[(real.model == "trained") & (real.target == "items")]
    real = real[real.question == FAITHFUL]
    figure, axes = blank(4.0, ncols=2, sharey=True)
    for form, line in small.groupby("form", sort=False):
        _size_line(axes[0], line[line.masked == "no"], str(form), "-")
    of_mask = small[(small.form == MASKED) & (small.masked == "yes")]
    _size_line(axes[0], of_mask, MASKED, ":")
    for form, line in real.groupby("form", sort=False):
        _size_line(axes[1], line, str(form), "-", label=str(form))
    axes[0].set_yscale("log")
    axes[0].set_ylim(FLOOR, 100)
    axes[0].yaxis.set_major_formatter(FuncFormatter(_percent))
    axes[0].set_ylabel("bias (% of exact gradient)")
    axes[0].set_xlabel("n: 6 items, exact, at the truth\n(dotted: same item masked)")
    axes[1].set_xlabel("n: trained model, away from the truth\n ")
    for panel, part in zip(axes, (small, real), strict=True):
        panel.set_xscale("log", base=2)
        sizes = sorted(part.n.unique())
        panel.set_xticks(sizes, [f"{n:,}" for n in sizes])
        panel.xaxis.set_minor_locator(NullLocator())
    title = "Bias of each estimator by its number of draws"
    legend_above(figure, axes[1], title, 4, fontsize=8.5, columnspacing=1.2)
    shown = small[(small.masked == "no") | (small.form == MASKED)]
    return Drawing(figure, pd.concat([shown, real]).reset_index(drop=True))


def _size_line(
    axes: Axes, line: pd.DataFrame, form: str, style: str, label: str | None = None
) -> None:
    colour, marker = look(form)
    axes.plot(
        line.n, np.maximum(100 * line.bias, FLOOR), linestyle=style, color=colour,
        marker=marker, markersize=5, label=label, clip_on=False,
    )  # fmt: skip


SHADES = {"head": "#08519c", "torso": "#6baed6", "tail": "#d6e6f4"}
INK = {"head": "white", "torso": "black", "tail": "black"}
ROOM = 0.045  # a share below it has no room for its number
LINES = ("#4292c6", "#08519c", "#000000")


@styled
def bands_figure(table: pd.DataFrame) -> Drawing:
    """Draws the shares of head, torso and tail of each source, below the catalogue's.

    Sources are drawn under the trained model; beside each bar stand its distinct items.
    """
    points = table[table.model.isin(["", "trained"])].reset_index(drop=True)
    figure, axes = blank(0.42 * len(points) + 1.5)
    for y, row in enumerate(points.to_dict("records")):
        left = 0.0
        for band in BANDS:
            share = row[f"share_{band}"]
            axes.barh(
                y, 100 * share, 0.72, left=100 * left, color=SHADES[band],
                label=band if y == 0 else None,
            )  # fmt: skip
            if share >= ROOM:
                axes.text(
                    100 * (left + share / 2), y, f"{100 * share:.0f}",
                    ha="center", va="center", color=INK[band],
                )  # fmt: skip
            left += share
        axes.text(101, y, f"{row['distinct']:,} items", va="center", fontsize=9.5)
    axes.set_yticks(range(len(points)), list(points.source))
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel(
        "share of draws in one epoch (%); right: distinct items in it\n"
        "(popularity: in proportion to the square root of the clicks)"
    )
    axes.set_ylabel("drawn from")
    axes.grid(False)
    title = "Popularity of what each source draws"
    legend_above(figure, axes, title, 3)
    return Drawing(figure, points)


@styled
def drift_figure(table: pd.DataFrame) -> Drawing:
    """Draws how far item vectors move within a lag, over training: a cache's error."""
    figure, axes = blank(3.4)
    groups = table.groupby("lag") if len(table) else []
    for (lag, line), colour in zip(groups, LINES):
        axes.plot(line.step, line.drift, color=colour)
        axes.annotate(
            f"{lag} steps old", (line.step.iloc[-1], line.drift.iloc[-1]),
            xytext=(6, 0), textcoords="offset points", va="center", color=colour,
        )  # fmt: skip
    axes.margins(x=0.02)
    axes.set_xlim(0, 1.25 * table.step.max() if len(table) else 1)
    axes.set_ylim(0)
    axes.set(xlabel="training step", ylabel="mean |v(t) - v(t - lag)|")
    axes.set_title(
        "How far stored item vectors are from fresh ones",
        loc="left", fontweight="bold",
    )  # fmt: skip
    return Drawing(figure, table)
