"""The figures of a grid's arms: two metrics against each other, or on lines apart."""

from collections.abc import Hashable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.pages import interval_text
from research.report.pictures import (
    STYLE,
    Drawing,
    above,
    blank,
    draw_point,
    folded,
    label_points,
    look,
    notes_below,
)
from research.report.tables import UNMEASURED, swept_columns, wide

PLAIN = 95  # characters of a note that fit the width
NOTES = 4  # below a figure, so that they leave room for it


def arms_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    across: str = "train_count",
    up: str = "recall",
) -> Drawing:
    """Draws one metric with its interval against another, at cut-off 20.

    One point per arm (and swept value, if the table has any), named beside it; a ring
    and a dashed line mark the reference arm. Failed cells are named below the axis.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      title: the heading; by default, which arm leads and by how much.
      across: the metric along the horizontal axis.
      up: the metric along the vertical one.
    """
    points = wide(frame, [up, across], CUTOFF)
    shown = points.dropna(subset=[up, across]).reset_index(drop=True)
    reference = next((name for name in frame.against if name), "")
    swept = swept_columns(frame)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(5.0)
        style: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        for row in shown.to_dict("records"):
            x, y, colour = row[across], row[up], look(str(row["arm"])).colour
            draw_point(axes, row, (x, y), up, markersize=8, elinewidth=1.2, **style)
            if row["arm"] == reference:
                ring = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.5}
                axes.scatter(x, y, s=196, **ring)
                dashes = {"linestyle": (0, (4, 4)), "linewidth": 0.9, "zorder": 1}
                axes.axhline(y, color=colour, **dashes)
        axes.set_ylabel(f"{METRICS[up].axis(CUTOFF)}, with 95 % interval")
        notes = unfinished(points, swept)
        axes.set_xlabel("\n".join([METRICS[across].axis(CUTOFF), *notes]))
        axes.margins(x=0.1, y=0.08)
        above(figure, folded(title or _leader(frame, up, swept)))
        _name_points(axes, shown, (across, up), swept, reference)
    return Drawing(figure, points)


def unfinished(points: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """A line for each point without a value: a figure must not hide a hole.

    >>> unfinished(pd.DataFrame({"arm": ["a"], "note": ["failed: why (seed 1)"]}), [])
    ['not shown: a, failed: why (seed 1)']
    """
    holes = points.note.str.startswith("failed") | points.note.str.contains(UNMEASURED)
    lines = [
        f"not shown: {_name(row, swept)}, {row['note']}"
        for row in points[holes].to_dict("records")
    ]
    if len(lines) > NOTES:
        rest = f"and {len(lines) - NOTES + 1} more; see the table"
        lines = [*lines[: NOTES - 1], rest]
    return [folded(line, PLAIN) for line in lines]


def _name(row: dict[Hashable, Any], swept: Sequence[str]) -> str:
    values = [f"{field} {row[field]:g}" for field in swept if not pd.isna(row[field])]
    return ", ".join([str(row["arm"]), *values])


def leading_place(values: "pd.Series[float]", metric: str) -> tuple[str, Any]:
    """Which end of a metric leads, "highest" or "lowest", and the label there."""
    if METRICS[metric].better == "lower":
        return "lowest", values.idxmin()
    return "highest", values.idxmax()


def _name_points(
    axes: Axes,
    shown: pd.DataFrame,
    names: tuple[str, str],
    swept: Sequence[str],
    reference: str,
) -> None:
    """Writes each arm's name; one that finds no room stands in a legend outside."""
    texts = [
        _name(row, swept) + (" (reference)" if row["arm"] == reference else "")
        for row in shown.to_dict("records")
    ]
    across, up = names
    ends = axes.get_xlim()
    bars = shown[[across, f"{up}_low", across, f"{up}_high"]].to_numpy()
    lines = shown[shown.arm == reference][up]
    level = np.array([[ends[0], y, ends[1], y] for y in lines]).reshape(-1, 4)
    xy, inks = shown[[across, up]].to_numpy(), [look(arm).ink for arm in shown.arm]
    missing = label_points(axes, xy, texts, inks, np.concatenate([bars, level]))
    for n in missing:
        arm = look(shown.arm[n])
        axes.plot([], [], arm.marker, color=arm.colour, label=texts[n])
    if missing:
        axes.legend(loc="best")


SWITCHES = {  # by a mark each, so that many of them on leave room for the panels
    "correct_positive": "pos",
    "leave_own_out": "own",
    "expected_count": "n",
}


def dots_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    metrics: Sequence[str] = ("recall", "train_count"),
) -> Drawing:
    """Draws each arm and swept value on a line of its own, in the table's order.

    For grids whose arms sweep different fields, so that no one axis holds them all.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      title: the heading; by default, which cell leads, and by how much.
      metrics: of the panels; the first one decides which cell leads.
    """
    swept = swept_columns(frame)
    points = wide(frame, metrics, CUTOFF)
    shown = points.dropna(subset=[metrics[0]]).reset_index(drop=True)
    with matplotlib.rc_context(STYLE):
        height = 1.4 + 0.24 * len(shown)
        figure, panels = blank(height, ncols=len(metrics), sharey=True, squeeze=False)
        panels = panels[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for n, row in enumerate(shown.to_dict("records")):
                at = row[metric], float(n)
                draw_point(axes, row, at, metric, True, markersize=6, elinewidth=1.2)
            interval = ", 95 % interval" if metric == metrics[0] else ""
            axes.set_xlabel(METRICS[metric].title(CUTOFF) + interval)
        names = [_short_name(row, swept) for row in shown.to_dict("records")]
        panels[0].set_yticks(range(len(shown)), names)
        panels[0].set_ylabel("arm and swept values" if swept else "arm")
        for axes in panels:
            axes.locator_params(axis="x", nbins=5)
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        above(figure, folded(title or _leader(frame, metrics[0], swept)))
        notes_below(figure, [*_legend(shown), *unfinished(points, swept)])
    return Drawing(figure, points)


def _leader(frame: pd.DataFrame, metric: str, swept: list[str]) -> str:
    """Which cell leads in a metric, and the interval of its lead over the reference."""
    cells = frame[(frame.metric == metric) & (frame.k == CUTOFF)]
    if cells["mean"].isna().all():
        return "No run finished"
    end, place = leading_place(cells["mean"], metric)
    best, name = cells.loc[place].to_dict(), METRICS[metric].title(CUTOFF)
    name = name.removesuffix(f"@{CUTOFF}")
    text = f"{_short_name(best, swept)}: {end} {name}, {best['mean']:.3f}"
    if pd.isna(best["delta"]):
        return text
    gap = (best["delta"], best["delta_low"], best["delta_high"], "+.3f")
    return f"{text}; {interval_text(*gap)} over {best['against']}"


def _short_name(row: dict[Hashable, Any], swept: list[str]) -> str:
    """The arm, its swept values, and those of its switches that are on."""
    known = [field for field in swept if not pd.isna(row[field])]
    plain = [field for field in known if field not in SWITCHES]
    on = [f" +{SWITCHES[f]}" for f in known if f in SWITCHES and row[f]]
    return _name(row, plain) + "".join(on)


def _legend(shown: pd.DataFrame) -> list[str]:
    """The meaning of the marks of the switches, where there are any."""
    marks = [f"+{SWITCHES[name]}: {name}" for name in SWITCHES if name in shown]
    return ["; ".join(marks)] if marks else []
