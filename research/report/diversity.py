"""The figure of precision and of every kind of diversity, each along a swept value."""

import matplotlib
import pandas as pd

from research.report.curves import along, around, band, leading_curve, ticks
from research.report.pictures import STYLE, Drawing, blank

__all__ = ["diversity_figure"]

COLUMNS = 3
NARROW = (1.0, 3.0)  # steps of a decade, of which a third of the width has room
# What a panel shows, its unit, and how a heading calls it.
PANELS = {
    "recall": ("Recall@20", "of held-out clicks", ""),
    "recall_item": ("Item recall@20", "mean over items", ""),
    "coverage": ("Coverage", "share of items", "coverage"),
    "gini": ("Gini of exposure", "1: all on one item", ""),
    "ild": ("Distance within a list", "1 - genre cosine", "distance in a list"),
    "novelty": ("Novelty", "bits", "novelty"),
    "outside_genres": ("Foreign genres shown", "of genres shown", "foreign genres"),
    "recall_expansion": ("Foreign recall@20", "of foreign clicks", "their recall"),
    "repulsion": ("Repulsion", "unseen ranked above", "repulsion"),
}


def diversity_figure(
    frame: pd.DataFrame, title: str | None = None, swept: str = "temperature"
) -> Drawing:
    """Draws recall and each kind of diversity at 20 along a swept value, bands 95 %.

    A kind that the table lacks (data without genres) has no panel.

    Args:
      frame: a long table with the swept column.
      title: what the figure says; without one, what rises and what falls.
      swept: the column along the horizontal axis.
    """
    shown = [name for name in PANELS if name in set(frame.metric)]
    points = along(frame, shown, swept)
    rows = -(-len(shown) // COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(1.0 + 1.75 * rows, nrows=rows, ncols=COLUMNS, sharex=True)
        for panel in axes.flat[len(shown) :]:
            figure.delaxes(panel)
        for n, (panel, metric) in enumerate(zip(axes.flat, shown)):
            for arm, line in points.groupby("arm", sort=False):
                band(panel, line, metric, swept, str(arm))
            name, unit, _ = PANELS[metric]
            panel.set_title(name, loc="left")
            panel.set_ylabel(unit, fontsize=9.5)
            if n + COLUMNS >= len(shown):
                panel.set_xlabel(swept)
                panel.tick_params(labelbottom=True)
        first = axes.flat[0]
        ticks(first, points[swept][points.recall.notna()], NARROW)
        around(figure, first, title or _trade(points, shown, swept), points, swept)
    return Drawing(figure, points)


def _trade(points: pd.DataFrame, shown: list[str], swept: str) -> str:
    """From the first to the last swept value of the leading arm: what goes where."""
    line = leading_curve(points, swept)
    if line is None:
        return "No run finished"
    first, last = line.iloc[0], line.iloc[-1]
    names = [name for name in shown if PANELS[name][2]]
    up = [name for name in names if last[name] > first[name]]
    down = [name for name in names if last[name] < first[name]]
    ends = f"{swept} {first[swept]:g} to {last[swept]:g}"
    said = [
        f"{verb} {', '.join(PANELS[name][2] for name in some)}"
        for verb, some in (("raises", up), ("lowers", down))
        if some
    ]
    return f"{line.arm.iloc[0]}: {ends} {' and '.join(said)}"
