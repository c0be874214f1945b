"""Figures of what the negatives look like: how popular, and how stale."""

import matplotlib
import pandas as pd

from research.report.pictures import STYLE, Drawing, blank
from research.types import BANDS

__all__ = ["bands_figure", "drift_figure"]

SHADES = {"head": "#08519c", "torso": "#6baed6", "tail": "#d6e6f4"}
INK = {"head": "white", "torso": "black", "tail": "black"}
ROOM = 0.045  # a share below it has no room for its number
LINES = ("#4292c6", "#08519c", "#000000")


def bands_figure(table: pd.DataFrame) -> Drawing:
    """Draws the shares of head, torso and tail of each source, below the library's.

    Sources are drawn under the trained model; beside each bar stand its distinct items.
    """
    points = table[table.model.isin(["", "trained"])].reset_index(drop=True)
    with matplotlib.rc_context(STYLE):
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
        axes.set_xlabel("share of draws in one epoch (%); right: distinct items drawn")
        axes.set_ylabel("drawn from")
        axes.grid(False)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=3, frameon=False,
            title="In-batch and FIFO negatives are popular, uniform ones the library",
            title_fontproperties={"weight": "bold", "size": 10.5}, alignment="left",
        )  # fmt: skip
    return Drawing(figure, points)


def drift_figure(table: pd.DataFrame) -> Drawing:
    """Draws how far item vectors move within a lag, over training: a cache's error."""
    with matplotlib.rc_context(STYLE):
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
        axes.set_xlabel("training step")
        axes.set_ylabel("mean |v(t) - v(t - lag)|")
        axes.set_title(
            "A stored vector is off most early in training",
            loc="left", fontweight="bold",
        )  # fmt: skip
    return Drawing(figure, table)
