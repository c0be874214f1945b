"""The figure of a grid's arms: what they reach, and how popular what they show is."""

import textwrap
from collections.abc import Hashable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.report.pictures import STYLE, Drawing, blank, label_points, look
from research.report.tables import swept_columns, wide

__all__ = ["CUTOFF", "arms_figure", "dots_figure", "folded", "heading", "unfinished"]

CUTOFF = 20  # of all figures: that of the columns which a record holds ready-made
LINE = 80  # characters of a heading that fit the width
PLAIN = 95  # and of a note
NOTES = 4  # below a figure, so that they leave room for it
RECALL = f"recall@{CUTOFF}, with 95 % interval"
SHOWN = f"mean train count of the top {CUTOFF} (training clicks an item)"


def arms_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws recall@20 with its interval against the mean train count of the top 20.

    One point an arm (and swept value, if the table has any), named beside it; a ring
    and a dashed line mark the reference arm. What failed is named below the axis.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      title: what the figure says; without one, which arm leads and by how much.
    """
    points = wide(frame, ["recall", "train_count"], CUTOFF)
    shown = points.dropna(subset=["recall", "train_count"]).reset_index(drop=True)
    reference = next((name for name in frame.against if name), "")
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(5.0)
        for row in shown.to_dict("records"):
            _point(axes, row, row["arm"] == reference)
        axes.set_ylabel(RECALL)
        axes.set_xlabel("\n".join([SHOWN, *unfinished(points, swept_columns(frame))]))
        axes.margins(x=0.1, y=0.08)
        heading(axes, title or _leader(shown, reference))
        _name_points(axes, shown, swept_columns(frame), reference)
    return Drawing(figure, points)


def heading(axes: Axes, text: str) -> None:
    """Sets what a figure says over its left edge, in as many lines as it takes."""
    axes.set_title(folded(text), loc="left", fontweight="bold", pad=10)


def folded(text: str, width: int = LINE) -> str:
    """The text in lines of that many characters; a hyphenated name stays whole.

    >>> folded("over in-batch+logq", 13)
    'over\\nin-batch+logq'
    """
    return textwrap.fill(text, width, break_on_hyphens=False)


def unfinished(points: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """Returns a line for each point that failed: a figure must not hide a hole.

    >>> unfinished(pd.DataFrame({"arm": ["a"], "note": ["failed: why (seed 1)"]}), [])
    ['not shown: a, failed: why (seed 1)']
    """
    failed = points[points.note.str.startswith("failed")].to_dict("records")
    lines = [f"not shown: {_name(row, swept)}, {row['note']}" for row in failed]
    if len(lines) > NOTES:
        lines = [
            *lines[: NOTES - 1],
            f"and {len(lines) - NOTES + 1} more; see the table",
        ]
    return [folded(line, PLAIN) for line in lines]


def _name(row: dict[Hashable, Any], swept: Sequence[str]) -> str:
    values = [f"{field} {row[field]:g}" for field in swept if not pd.isna(row[field])]
    return ", ".join([str(row["arm"]), *values])


def _leader(shown: pd.DataFrame, reference: str) -> str:
    if shown.empty:
        return "No run finished"
    best = shown.loc[shown.recall.idxmax()]
    text = f"{best.arm} has the highest recall@{CUTOFF}, {best.recall:.3f}"
    against = shown[shown.arm == reference].recall
    if len(against) != 1 or best.arm == reference:
        return text
    return f"{text}: {best.recall - against.iloc[0]:+.3f} over {reference}"


def _point(axes: Axes, row: dict[Hashable, Any], is_reference: bool) -> None:
    arm = look(str(row["arm"]))
    x, y = row["train_count"], row["recall"]
    reach = np.array([[y - row["recall_low"]], [row["recall_high"] - y]])
    axes.errorbar(
        x,
        y,
        np.maximum(reach, 0),  # a percentile interval need not hold its mean
        color=arm.colour,
        marker=arm.marker,
        markeredgecolor="white",
        markeredgewidth=0.6,
        markersize=8,
        elinewidth=1.2,
    )
    if is_reference:
        axes.scatter(
            x, y, s=196, facecolors="none", edgecolors=arm.colour, linewidths=1.5
        )
        axes.axhline(
            y, color=arm.colour, linewidth=0.9, linestyle=(0, (4, 4)), zorder=1
        )


def _name_points(
    axes: Axes, shown: pd.DataFrame, swept: Sequence[str], reference: str
) -> None:
    """Writes each arm's name; one that finds no room stands in a legend outside."""
    names = [
        _name(row, swept) + (" (reference)" if row["arm"] == reference else "")
        for row in shown.to_dict("records")
    ]
    ends = axes.get_xlim()
    bars = shown[["train_count", "recall_low", "train_count", "recall_high"]].to_numpy()
    lines = shown[shown.arm == reference].recall
    level = np.array([[ends[0], y, ends[1], y] for y in lines]).reshape(-1, 4)
    missing = label_points(
        axes,
        shown[["train_count", "recall"]].to_numpy(),
        names,
        [look(arm).ink for arm in shown.arm],
        np.concatenate([bars, level]),
    )
    for n in missing:
        arm = look(shown.arm[n])
        axes.plot([], [], arm.marker, color=arm.colour, label=names[n])
    if missing:
        axes.legend(loc="best")


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
        names = [_dots_name(row, swept) for row in shown.to_dict("records")]
        panels[0].set_yticks(range(len(shown)), names)
        panels[0].set_ylabel("arm and swept values" if swept else "arm")
        for axes in panels:
            axes.locator_params(axis="x", nbins=5)
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        text = folded(title or _dots_leader(frame, swept))
        figure.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        foot = [*_legend(shown), *unfinished(points, swept)]
        if foot:
            figure.supxlabel("\n".join(foot), fontsize=9.5, x=0.01, ha="left")
    return Drawing(figure, points)


def _dots_leader(frame: pd.DataFrame, swept: list[str]) -> str:
    """Which cell recalls most, and whether that is clear of the reference."""
    recall = frame[(frame.metric == "recall") & (frame.k == CUTOFF)]
    if recall["mean"].isna().all():
        return "No run finished"
    best = recall.loc[recall["mean"].idxmax()].to_dict()
    text = f"{_dots_name(best, swept)}: highest recall, {best['mean']:.3f}"
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


def _dots_name(row: dict[Hashable, Any], swept: list[str]) -> str:
    """The arm, its swept values, and those of its switches that are on."""
    known = [field for field in swept if not pd.isna(row[field])]
    values = [f"{field} {row[field]:g}" for field in known if field not in SWITCHES]
    on = [f" +{SWITCHES[f]}" for f in known if f in SWITCHES and row[f]]
    return ", ".join([str(row["arm"]), *values]) + "".join(on)


def _legend(shown: pd.DataFrame) -> list[str]:
    """What the marks of the switches stand for, where there are any."""
    found = [f"+{SWITCHES[name]}: {name}" for name in SWITCHES if name in shown]
    return ["; ".join(found)] if found else []
