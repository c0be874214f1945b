"""The figures of a grid: its arms against each other, and along a swept value."""

from collections.abc import Hashable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.pages import interval_text
from research.report.pictures import (
    EDGE,
    STYLE,
    Drawing,
    above,
    blank,
    draw_point,
    folded,
    label_points,
    legend_above,
    look,
    notes_below,
)
from research.report.tables import UNMEASURED, swept_columns, wide, without_levels

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


def _leading_place(values: "pd.Series[float]", metric: str) -> tuple[str, Any]:
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
    left, right = axes.get_xlim()
    boxes = shown[[across, f"{up}_low", across, f"{up}_high"]].to_numpy().tolist()
    boxes += [[left, y, right, y] for y in shown[shown.arm == reference][up]]
    xy, inks = shown[[across, up]].to_numpy(), [look(arm).ink for arm in shown.arm]
    missing = label_points(axes, xy, texts, inks, np.array(boxes))
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
    """Draws each arm and swept value on a separate line, in the table's order.

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
        marks = [f"+{mark}: {name}" for name, mark in SWITCHES.items() if name in swept]
        notes_below(
            figure, [*filter(None, ["; ".join(marks)]), *unfinished(points, swept)]
        )
    return Drawing(figure, points)


def _leader(frame: pd.DataFrame, metric: str, swept: list[str]) -> str:
    """Which cell leads in a metric, and the interval of its lead over the reference."""
    cells = frame[(frame.metric == metric) & (frame.k == CUTOFF)]
    if cells["mean"].isna().all():
        return "No run finished"
    end, place = _leading_place(cells["mean"], metric)
    best, name = cells.loc[place].to_dict(), METRICS[metric].title(CUTOFF)
    name = name.removesuffix(f"@{CUTOFF}")
    text = f"{_short_name(best, swept)}: {end} {name}, {best['mean']:.3f}"
    if pd.isna(best["delta"]):
        return text
    gap = interval_text(best["delta"], best["delta_low"], best["delta_high"], "+.3f")
    return f"{text}; {gap} over {best['against']}"


def _short_name(row: dict[Hashable, Any], swept: list[str]) -> str:
    """The arm, its swept values, and those of its switches that are on."""
    plain = [field for field in swept if field not in SWITCHES]
    switches = [name for name in swept if name in SWITCHES and row[name] > 0]
    on = [f" +{SWITCHES[name]}" for name in switches]
    return _name(row, plain) + "".join(on)


NARROW = 16  # characters of an arm's name, of which four fit beside each other


def sweep_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    swept: str = "temperature",
    metrics: Sequence[str] = ("recall", "recall_item", "coverage", "train_count"),
    columns: int = 2,
    height: float = 2.5,
) -> Drawing:
    """Draws metrics at cut-off 20 along a swept value, one panel each.

    One line per arm with its 95 % band; an arm without the swept field is a dashed
    level. A failed cell leaves a gap, and is named below. A metric that the table lacks
    (data without genres) has no panel.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, the leading arm's peak and trends.
      swept: the column along the horizontal axis, logarithmic if all are positive.
      metrics: of the panels; the first one decides which arm leads.
      columns: panels beside each other.
      height: of a panel, in inches.
    """
    shown = [name for name in metrics if name in set(frame.metric)]
    points = along(frame, shown, swept)
    rows = -(-len(shown) // columns)
    with matplotlib.rc_context(STYLE):
        shape = {"nrows": rows, "ncols": columns, "sharex": True, "squeeze": False}
        figure, axes = blank(1.0 + height * rows, **shape)
        for panel in axes.flat[len(shown) :]:
            figure.delaxes(panel)
        for n, (panel, metric) in enumerate(zip(axes.flat, shown)):
            for arm, line in points.groupby("arm", sort=False):
                _band(panel, line, metric, swept, str(arm))
            entry = METRICS[metric]
            name = entry.title(CUTOFF)
            unit = "mean over users" if entry.per_user else "of all lists"
            panel.set_title(name[0].upper() + name[1:], loc="left")
            panel.set_ylabel(entry.unit or unit, fontsize=9.5)
            if n + columns >= len(shown):
                panel.set_xlabel(swept)
                panel.tick_params(labelbottom=True)
        # of a decade, as many as the width has room for
        steps = (1.0, 2.0, 5.0) if columns < 3 else (1.0, 3.0)
        first = axes.flat[0]
        _ticks(first, points[swept][points[shown[0]].notna()], steps)
        around(figure, first, title or _trade(points, shown, swept), points, swept)
    return Drawing(figure, points)


def along(frame: pd.DataFrame, metrics: Sequence[str], swept: str) -> pd.DataFrame:
    """The metrics by arm, in the table's order, then by rising swept value.

    Raises:
      ValueError: no such column, or several points of an arm at one of its values.
    """
    if swept not in frame.columns or frame[swept].isna().all():
        raise ValueError(f"the table does not sweep {swept}")
    points = without_levels(wide(frame, metrics, CUTOFF), swept)
    if points.duplicated(["arm", swept]).any():
        raise ValueError(f"an arm has several points at one {swept}: sweep one field")
    arms = {arm: n for n, arm in enumerate(dict.fromkeys(points.arm))}
    order = points.assign(arm=points.arm.map(arms)).sort_values(["arm", swept])
    return points.loc[order.index].reset_index(drop=True)


def _band(axes: Axes, line: pd.DataFrame, metric: str, swept: str, arm: str) -> None:
    """Draws an arm's line and band along a swept value; a level where it has none."""
    colour, marker = look(arm)
    if line[swept].isna().all():
        level = line[metric].iloc[0]
        axes.axhline(level, color=colour, linestyle=(0, (5, 3)), label=arm)
        return
    x, low, high = line[swept], line[f"{metric}_low"], line[f"{metric}_high"]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    style = {"color": colour, "marker": marker, "label": arm, **EDGE}
    axes.plot(x, line[metric], markersize=5, **style)


def _ticks(axes: Axes, values: "pd.Series[float]", steps: Sequence[float]) -> None:
    """Sets the ticks of the swept values; logarithmic if all are positive."""
    if values.min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def around(
    figure: Figure, axes: Axes, title: str, points: pd.DataFrame, swept: str
) -> None:
    """Sets the heading and the arms' legend above the panels, failed cells below.

    Args:
      figure: of the panels.
      axes: whose lines the legend names.
      title: the heading.
      points: of ``along``.
      swept: the column along which they are drawn.
    """
    handles, labels = axes.get_legend_handles_labels()
    legend_above(figure, handles, title, 3 if max(map(len, labels)) > NARROW else 4)
    notes_below(figure, unfinished(points, [swept]))


def leading_curve(points: pd.DataFrame, metric: str, swept: str) -> pd.DataFrame | None:
    """The curve of the arm that leads in a metric somewhere, None if none ran.

    Args:
      points: of ``along``.
      metric: in which it leads.
      swept: the column along which the curve runs.
    """
    curves = points.dropna(subset=[metric, swept])
    if curves.empty:
        return None
    arm = curves.arm[_leading_place(curves[metric], metric)[1]]
    return curves[curves.arm == arm]


def _trade(points: pd.DataFrame, metrics: Sequence[str], swept: str) -> str:
    """The leading arm's peak, and the metrics that rise or fall along the sweep."""
    first, *others = metrics
    line = leading_curve(points, first, swept)
    if line is None:
        return "No run finished"
    start, end = line.iloc[0], line.iloc[-1]
    moved: dict[str, list[str]] = {"raises": [], "lowers": []}
    for name in others:
        page = METRICS[name].page
        if not (page and page.leading) and start[name] != end[name]:
            verb = "raises" if end[name] > start[name] else "lowers"
            moved[verb].append(METRICS[name].heading(CUTOFF))
    changes = [f"{verb} {', '.join(names)}" for verb, names in moved.items() if names]
    where, place = _leading_place(line[first], first)
    peak = f"{where} {METRICS[first].title(CUTOFF)} at {swept} {line[swept][place]:g}"
    text = f"{line.arm.iloc[0]}: {peak}"
    span = f"; {start[swept]:g} to {end[swept]:g} {' and '.join(changes)}"
    return text + span if changes else text
