"""The figure of a trade: precision against diversity, along a swept value."""

from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.report.curves import NAMES, along, around, leading_curve
from research.report.palette import look
from research.report.pictures import STYLE, Drawing, blank, label_points

__all__ = ["tradeoff_figure"]

DIVERSITY = ("coverage", "ild")
NEAR = 14.0  # the farthest that a swept value stands from its point, in points


def tradeoff_figure(
    frame: pd.DataFrame, title: str | None = None, swept: str = "temperature"
) -> Drawing:
    """Draws recall@20 against coverage@20 and against intra-list distance.

    The points of an arm are joined along the swept value, which is written beside as
    many of them as there is room for, ends and peak first.

    Args:
      frame: a long table with the swept column.
      title: what the figure says; without one, what the leading arm trades.
      swept: the column along which points are joined.
    """
    points = along(frame, ("recall", *DIVERSITY), swept)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.6, ncols=2, sharey=True)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            for arm, line in points.groupby("arm", sort=False):
                drawn = look(str(arm))
                panel.plot(
                    line[metric],
                    line.recall,
                    color=drawn.colour,
                    marker=drawn.marker,
                    markeredgecolor="white",
                    markeredgewidth=0.5,
                    label=arm,
                )
            panel.set_xlabel(NAMES[metric])
            panel.margins(0.12)
        axes[0].set_ylabel(NAMES["recall"])
        around(figure, axes[0], title or _trade(points, swept), points, swept)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            _write_values(panel, points, metric, swept)
    return Drawing(figure, points)


def _trade(points: pd.DataFrame, swept: str) -> str:
    line = leading_curve(points, swept)
    if line is None:
        return "No run finished"
    top, widest = line.loc[line.recall.idxmax()], line.loc[line.coverage.idxmax()]
    if top[swept] == widest[swept]:
        return (
            f"{top.arm} is at its most precise and at its most diverse at the same"
            f" {swept}, {top[swept]:g}"
        )
    return (
        f"{top.arm} is most precise at {swept} {top[swept]:g}, with"
        f" {top.coverage:.0%} of the catalogue shown; {widest.coverage:.0%} at"
        f" {widest[swept]:g} costs {top.recall - widest.recall:.3f} of recall"
    )


def _write_values(axes: Axes, points: pd.DataFrame, metric: str, swept: str) -> None:
    """Writes swept values beside a panel's points while there is room.

    Each arm's peak, first and last come first, then the others.
    """
    shown = points.dropna(subset=[metric, "recall"])
    crowd, turns = [], []
    for _, line in shown.groupby("arm", sort=False):
        xy = line[[metric, "recall"]].to_numpy()
        steps = np.linspace(0, 1, 12)[:, None]  # a line is as good as dots to a label
        crowd += [xy, *(a + steps * (b - a) for a, b in pairwise(xy))]
        ends = [line.recall.idxmax(), line.index[0], line.index[-1]]
        turns += [(ends.index(n) if n in ends else len(ends), n) for n in line.index]
    chosen = shown.loc[[n for _, n in sorted(turns)]].dropna(subset=[swept])
    if chosen.empty:
        return
    boxes = np.concatenate(crowd)
    label_points(
        axes,
        chosen[[metric, "recall"]].to_numpy(),
        [f"{value:g}" for value in chosen[swept]],
        [look(arm).ink for arm in chosen.arm],
        np.concatenate([boxes, boxes], axis=1),
        size=9.5,
        reach=NEAR,
        orders=1,
    )
