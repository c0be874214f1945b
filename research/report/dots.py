"""The figure of many cells, a line each: recall, and how popular its lists are."""

from collections.abc import Hashable
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.report.figures import CUTOFF, folded, unfinished
from research.report.palette import look
from research.report.pictures import STYLE, Drawing, blank
from research.report.tables import swept_columns, wide

__all__ = ["dots_figure"]

SWITCHES = {  # by a mark each, so that many of them on leave room for the panels
    "correct_positive": "pos",
    "leave_own_out": "own",
    "expected_count": "n",
}
PANELS = {
    "recall": f"recall@{CUTOFF}, 95 % interval",
    "train_count": f"mean train count, top {CUTOFF}",
}


def dots_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws each arm and swept value on a line of its own, in the table's order.

    For grids whose arms sweep different fields, so that no one axis holds them all.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      title: what the figure says; without one, which cell leads, and by how much.
    """
    swept = swept_columns(frame)
    points = wide(frame, list(PANELS), CUTOFF)
    shown = points.dropna(subset=["recall"]).reset_index(drop=True)
    with matplotlib.rc_context(STYLE):
        height = 1.4 + 0.24 * len(shown)
        figure, panels = blank(height, ncols=2, sharey=True)
        for axes, (metric, label) in zip(panels, PANELS.items(), strict=True):
            _dots(axes, shown, metric)
            axes.set_xlabel(label)
        names = [_name(row, swept) for row in shown.to_dict("records")]
        panels[0].set_yticks(range(len(shown)), names)
        panels[0].set_ylabel("arm and swept values" if swept else "arm")
        for axes in panels:
            axes.locator_params(axis="x", nbins=5)
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        text = folded(title or _leader(frame, swept))
        figure.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        foot = [*_legend(shown), *unfinished(points, swept)]
        if foot:
            figure.supxlabel("\n".join(foot), fontsize=9.5, x=0.01, ha="left")
    return Drawing(figure, points)


def _leader(frame: pd.DataFrame, swept: list[str]) -> str:
    """Which cell recalls most, and whether that is clear of the reference."""
    recall = frame[(frame.metric == "recall") & (frame.k == CUTOFF)]
    if recall["mean"].isna().all():
        return "No run finished"
    best = recall.loc[recall["mean"].idxmax()].to_dict()
    text = f"{_name(best, swept)}: highest recall, {best['mean']:.3f}"
    if pd.isna(best["delta"]):
        return text
    low, high = best["delta_low"], best["delta_high"]
    gap = f"{best['delta']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"{text}; {gap} over {best['against']}"


def _dots(axes: Axes, shown: pd.DataFrame, metric: str) -> None:
    for n, row in enumerate(shown.to_dict("records")):
        arm, mean = look(str(row["arm"])), row[metric]
        reach = np.array(
            [[mean - row[f"{metric}_low"]], [row[f"{metric}_high"] - mean]]
        )
        axes.errorbar(
            mean,
            n,
            xerr=np.maximum(reach, 0),  # a percentile interval need not hold its mean
            color=arm.colour,
            marker=arm.marker,
            markersize=6,
            elinewidth=1.2,
        )


def _name(row: dict[Hashable, Any], swept: list[str]) -> str:
    """The arm, its swept values, and those of its switches that are on."""
    known = [field for field in swept if not pd.isna(row[field])]
    values = [f"{field} {row[field]:g}" for field in known if field not in SWITCHES]
    on = [f" +{SWITCHES[f]}" for f in known if f in SWITCHES and row[f]]
    return ", ".join([str(row["arm"]), *values]) + "".join(on)


def _legend(shown: pd.DataFrame) -> list[str]:
    """What the marks of the switches stand for, where there are any."""
    found = [f"+{SWITCHES[name]}: {name}" for name in SWITCHES if name in shown]
    return ["; ".join(found)] if found else []
