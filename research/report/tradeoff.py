"""Precision and kinds of diversity, along a swept value and at an arm's own."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.figures import along, around, of_runs
from research.report.labels import label_points
from research.report.pictures import (
    EDGE,
    Drawing,
    above,
    blank,
    folded,
    look,
    styled,
)
from research.report.tables import swept_columns, wide
from research.types import choose

DIVERSITY = ("coverage", "ild")
NEAR = 14.0  # largest distance of a swept value from its point, in points of print


@styled
def tradeoff_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    swept: str = "temperature",
    kinds: Sequence[str] = DIVERSITY,
) -> Drawing:
    """Draws recall@20 against kinds of diversity, one panel each.

    The points of an arm are joined along the swept value, which is written beside its
    ends and its peak in recall.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, what is shown.
      swept: the column along which points are joined.
      kinds: metrics of the panels, two beside each other.
    """
    points = along(frame, ("recall", *kinds), swept)
    rows = -(-len(kinds) // 2)
    figure, axes = blank(1.4 + 3.2 * rows, nrows=rows, ncols=2, sharey=True)
    axes = axes.ravel()
    for panel in axes[len(kinds) :]:
        figure.delaxes(panel)
    for panel, metric in zip(axes, kinds):
        for arm, line in points.groupby("arm", sort=False):
            colour, marker = look(str(arm))
            style = {"color": colour, "marker": marker, "label": arm, **EDGE}
            panel.plot(line[metric], line.recall, **style)
        panel.set_xlabel(METRICS[metric].axis(CUTOFF))
        panel.margins(0.12)
    for panel in axes[: len(kinds) : 2]:
        panel.set_ylabel(METRICS["recall"].axis(CUTOFF))
    names = [METRICS[kind].title(CUTOFF) for kind in kinds]
    some = " and ".join(names) if len(names) < 3 else "each of the metrics below"
    heading = f"Recall against {some}, along {swept}"
    heading = of_runs(points.dropna(subset=["recall"]), heading)
    around(figure, axes[0], title or heading, points, swept)
    for panel, metric in zip(axes, kinds):
        _write_values(panel, points, metric, swept)
    return Drawing(figure, points)


@styled
def moves_figure(
    frame: pd.DataFrame,
    swept: str,
    title: str | None = None,
    metrics: Sequence[str] = ("recall", "coverage"),
) -> Drawing:
    """Draws how means of metrics at cut-off 20 move where an arm has its own value.

    In a panel for each metric, a line leads from the arm's cell at a swept value, an
    empty point, to its cell with no such value, where it is the arm's own. An arm with
    one cell has a point alone. Intervals are of paired differences, which contrasts
    have; those of means hide how certain a move is.

    Raises:
      InputError: the table has no such column.
    """
    choose(swept, dict.fromkeys(swept_columns(frame)), "swept field of the table")
    points = wide(frame, list(metrics), CUTOFF)
    shown = points.dropna(subset=list(metrics))
    arms = list(dict.fromkeys(shown.arm))[::-1]
    height = 1.2 + 0.3 * len(arms)
    figure, axes = blank(height, ncols=len(metrics), sharey=True, squeeze=False)
    for panel, metric in zip(axes[0], metrics, strict=True):
        for place, arm in enumerate(arms):
            _move(panel, shown[shown.arm == arm], metric, swept, place)
        panel.set_xlabel(METRICS[metric].axis(CUTOFF))
        panel.margins(x=0.08)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].set(ylim=(-0.6, len(arms) - 0.4), ylabel="arm")
    names = " and ".join(METRICS[metric].title(CUTOFF) for metric in metrics)
    heading = f"{names}: from a given {swept} (empty) to the arm's own"
    above(figure, folded(title or of_runs(shown, heading)))
    return Drawing(figure, points)


def _move(axes: Axes, cells: pd.DataFrame, metric: str, swept: str, place: int) -> None:
    """Draws an arm's cells, each joined to the one without a swept value."""
    style = look(str(cells.arm.iloc[0]))
    own = cells[cells[swept].isna()][metric].to_numpy()[:1]
    for value, given in zip(cells[metric], cells[swept].notna(), strict=True):
        fill = "white" if given else style.colour
        # a filled point stands on an empty one that it would hide, or be hidden by
        inks: dict[str, Any] = {"color": style.colour, "markerfacecolor": fill}
        size, order = (9, 2) if given else (5.5, 3)
        axes.plot(value, place, style.marker, markersize=size, zorder=order, **inks)
        for end in own[own != value]:
            axes.plot([value, end], [place] * 2, color=style.colour, zorder=1.5)


def _write_values(axes: Axes, points: pd.DataFrame, metric: str, swept: str) -> None:
    """Writes the swept values of each arm's peak and ends, while there is room."""
    shown = points.dropna(subset=[metric, "recall"])
    crowd, turns = [], []
    for _, line in shown.groupby("arm", sort=False):
        xy = line[[metric, "recall"]].to_numpy()
        steps = np.linspace(0, 1, 12)[:, None]  # dots stand for the line as an obstacle
        crowd += [xy, *(a + steps * (b - a) for a, b in pairwise(xy))]
        ends = dict.fromkeys([line.recall.idxmax(), line.index[0], line.index[-1]])
        turns += list(enumerate(ends))
    labels = shown.loc[[n for _, n in sorted(turns)]].dropna(subset=[swept])
    if labels.empty:
        return
    xy, texts = labels[[metric, "recall"]].to_numpy(), labels[swept].map("{:g}".format)
    inks = [look(arm).ink for arm in labels.arm]
    boxes = np.tile(np.concatenate(crowd), 2)
    label_points(axes, xy, list(texts), inks, boxes, size=9.5, reach=NEAR, orders=1)
