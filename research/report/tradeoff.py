"""Precision against kinds of diversity: along a swept value, or by each arm's own."""

from collections.abc import Sequence
from itertools import pairwise

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
    draw_point,
    folded,
    look,
    styled,
)
from research.report.tables import wide

DIVERSITY = ("coverage", "ild")
DOTS = np.linspace(0, 1, 12)[:, None]  # stand for a line as an obstacle to labels
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
    across: str = "coverage",
    up: str = "recall",
) -> Drawing:
    """Draws how two metrics at cut-off 20 move where each arm has a value of its own.

    An arrow leads from an arm's cell at a swept value, an empty point, to its cell with
    no such value, where it is the arm's own. An arm with one cell has a point alone.

    Args:
      frame: a long table with the swept column.
      swept: the column.
      title: the heading; by default, what is shown.
      across: the metric along the horizontal axis.
      up: the metric along the vertical one, whose intervals are drawn.
    """
    points = wide(frame, [up, across], CUTOFF)
    shown = points.dropna(subset=[up, across]).reset_index(drop=True)
    figure, axes = blank(4.6)
    own = shown[shown[swept].isna()]
    crowd = []
    for row in shown.to_dict("records"):
        at, ink = (row[across], row[up]), look(str(row["arm"])).colour
        fill = ink if pd.isna(row[swept]) else "white"
        style = {"markerfacecolor": fill, "markeredgecolor": ink, "elinewidth": 1.0}
        draw_point(axes, row, at, up, markersize=7, **style)
        end = own[own.arm == row["arm"]][[across, up]].to_numpy()
        crowd.append(np.array([at]))
        if fill == "white" and len(end):
            arrow = {"arrowstyle": "-|>", "color": ink, "shrinkA": 5, "shrinkB": 5}
            axes.annotate("", end[0], at, arrowprops={**arrow, "linewidth": 1.2})
            crowd.append(at + DOTS * (end[0] - at))
    axes.set_xlabel(METRICS[across].axis(CUTOFF))
    axes.set_ylabel(f"{METRICS[up].axis(CUTOFF)}, with 95 % interval")
    axes.margins(0.1)
    heading = f"{METRICS[up].title(CUTOFF)} and {METRICS[across].title(CUTOFF)}: from "
    heading += f"a given {swept} (empty) to the arm's own"
    above(figure, folded(title or of_runs(shown, heading)))
    xy, inks = own[[across, up]].to_numpy(), [look(arm).ink for arm in own.arm]
    if len(own):
        label_points(axes, xy, list(own.arm), inks, np.tile(np.concatenate(crowd), 2))
    return Drawing(figure, points)


def _write_values(axes: Axes, points: pd.DataFrame, metric: str, swept: str) -> None:
    """Writes the swept values of each arm's peak and ends, while there is room."""
    shown = points.dropna(subset=[metric, "recall"])
    crowd, turns = [], []
    for _, line in shown.groupby("arm", sort=False):
        xy = line[[metric, "recall"]].to_numpy()
        crowd += [xy, *(a + DOTS * (b - a) for a, b in pairwise(xy))]
        ends = dict.fromkeys([line.recall.idxmax(), line.index[0], line.index[-1]])
        turns += list(enumerate(ends))
    labels = shown.loc[[n for _, n in sorted(turns)]].dropna(subset=[swept])
    if labels.empty:
        return
    xy, texts = labels[[metric, "recall"]].to_numpy(), labels[swept].map("{:g}".format)
    inks = [look(arm).ink for arm in labels.arm]
    boxes = np.tile(np.concatenate(crowd), 2)
    label_points(axes, xy, list(texts), inks, boxes, size=9.5, reach=NEAR, orders=1)
