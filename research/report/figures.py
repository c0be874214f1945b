"""Figures of levels: arms in two metrics, and along a swept value.

Titles name what is shown. Which arm is better is for contrasts to say, by a verdict
(research/report/contrasts.py), and is drawn as differences (research/report/forest.py).
"""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.cells import UNMEASURED
from research.report.labels import label_points
from research.report.pages import QUICK_MARK
from research.report.pictures import (
    EDGE,
    Drawing,
    Look,
    above,
    blank,
    draw_point,
    folded,
    legend_above,
    look,
    looks,
    notes_below,
    styled,
)
from research.report.tables import swept_columns, wide, without_levels

PLAIN = 95  # characters of a note that fit the width
MANY = 100  # times: two decades
NOTES = 4  # below a figure, so that they leave room for it


@styled
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
      title: the heading; by default, what is shown.
      across: the metric along the horizontal axis.
      up: the metric along the vertical one.
    """
    points = wide(frame, [up, across], CUTOFF)
    shown = points.dropna(subset=[up, across]).reset_index(drop=True)
    reference = next((name for name in frame.against if name), "")
    swept = swept_columns(frame)
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
    heading = f"{METRICS[up].title(CUTOFF)} and {METRICS[across].title(CUTOFF)}"
    above(figure, folded(title or of_runs(shown, f"{heading}, by arm")))
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


def of_runs(points: pd.DataFrame, heading: str) -> str:
    """The heading of a figure; another one where there are no points."""
    return "No run finished" if points.empty else heading


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


def row_name(
    row: dict[Hashable, Any], swept: Sequence[str], switches: Mapping[str, str]
) -> str:
    """The arm, its swept values, and those of its switches that are on, by their marks.

    >>> row_name({"arm": "a", "size": 64.0, "own": 1.0}, ["size", "own"], {"own": "o"})
    'a, size 64 +o'
    """
    plain = [field for field in swept if field not in switches]
    on = [f" +{switches[name]}" for name in swept if name in switches and row[name] > 0]
    return _name(row, plain) + "".join(on)


NOTHING: Mapping[str, float] = MappingProxyType({})
NARROW, WIDE = 16, 25  # characters of arms' names, of which four and three fit a line


@styled
def sweep_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    swept: str = "temperature",
    metrics: Sequence[str] = ("recall", "recall_item", "coverage", "train_count"),
    columns: int = 2,
    height: float = 2.5,
    label: str = "",
    without: Sequence[str] = (),
    at: Mapping[str, float] = NOTHING,
) -> Drawing:
    """Draws metrics at cut-off 20 along a swept value, one panel each.

    One line per arm with its 95 % band; an arm without the swept field is a dashed
    level. A failed cell leaves a gap, and is named below. A metric that the table lacks
    (data without genres) has no panel.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, what is shown.
      swept: the column along the horizontal axis, logarithmic if all are positive.
      metrics: of the panels; the first one decides which arm leads.
      columns: panels beside each other.
      height: of a panel, in inches.
      label: of the horizontal axis; by default the swept field.
      without: further swept fields, whose cells are left out.
      at: values of further swept fields, whose cells alone are drawn.
    """
    frame = _cells_at(frame, without, at)
    shown = [name for name in metrics if name in set(frame.metric)]
    points = along(frame, shown, swept)
    rows = -(-len(shown) // columns)
    shape = {"nrows": rows, "ncols": columns, "sharex": True, "squeeze": False}
    figure, axes = blank(1.0 + height * rows, **shape)
    for panel in axes.flat[len(shown) :]:
        figure.delaxes(panel)
    styles = looks(points.arm)
    for n, (panel, metric) in enumerate(zip(axes.flat, shown)):
        for arm, line in points.groupby("arm", sort=False):
            _band(panel, line, metric, swept, styles[str(arm)])
        entry = METRICS[metric]
        name = entry.title(CUTOFF)
        over = "items" if metric == "recall_item" else "users"
        unit = f"mean over {over}" if entry.per_user else "of all lists"
        panel.set_title(name[0].upper() + name[1:], loc="left")
        panel.set_ylabel(entry.unit or unit, fontsize=9.5)
        if n + columns >= len(shown):
            panel.set_xlabel(label or swept)
            panel.tick_params(labelbottom=True)
    # ticks per decade: as many as the width has room for
    steps = (1.0, 2.0, 5.0) if columns < 3 else (1.0, 3.0)
    first = axes.flat[0]
    _ticks(first, points[swept][points[shown[0]].notna()], steps)
    names = [METRICS[metric].title(CUTOFF) for metric in shown]
    some = " and ".join(names if len(names) < 3 else (names[0], "other metrics"))
    heading = f"{some[0].upper()}{some[1:]} by {label or swept}"
    heading = of_runs(points.dropna(subset=shown[:1]), heading)
    around(figure, first, title or heading, points, swept)
    return Drawing(figure, points)


def _cells_at(
    frame: pd.DataFrame, without: Sequence[str], at: Mapping[str, float]
) -> pd.DataFrame:
    """The table without the cells that sweep some fields, at one value of others."""
    kept = frame[list(without)].isna().all(axis=1)
    for field, value in at.items():
        kept &= frame[field] == value
    return frame[kept].drop(columns=[*without, *at])


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


def _band(axes: Axes, line: pd.DataFrame, metric: str, swept: str, style: Look) -> None:
    """Draws an arm's line and band along a swept value; a level where it has none."""
    (colour, marker), arm = style, str(line.arm.iloc[0])
    if line[swept].isna().all():
        level = line[metric].iloc[0]
        axes.axhline(level, color=colour, linestyle=(0, (5, 3)), label=arm)
        return
    x, low, high = line[swept], line[f"{metric}_low"], line[f"{metric}_high"]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    drawn = {"color": colour, "marker": marker, "label": arm, **EDGE}
    axes.plot(x, line[metric], markersize=5, **drawn)


def _ticks(axes: Axes, values: "pd.Series[float]", steps: Sequence[float]) -> None:
    """Sets the ticks of the swept values; logarithmic if all are positive.

    Over many decades, one tick for each: more would overlap.
    """
    if values.min() > 0:
        axes.set_xscale("log")
        if values.max() / values.min() > MANY:
            steps = steps[:1]
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _right_end(line: Any) -> float:
    """The last finite value of a line; below all others where it has none."""
    values = np.asarray(line.get_ydata(), float)
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else -np.inf


def around(
    figure: Figure, axes: Axes, title: str, points: pd.DataFrame, swept: str
) -> None:
    """Sets the heading and the arms' legend above the panels, failed cells below.

    The legend is in the order of the lines' right ends, the highest first.
    """
    handles, labels = axes.get_legend_handles_labels()
    handles = sorted(handles, key=_right_end, reverse=True)
    longest = max(map(len, labels))
    columns = 4 if longest <= NARROW else 3 if longest <= WIDE else 2
    legend_above(figure, handles, title, columns)
    notes_below(figure, unfinished(points, [swept]))


def mark_quick(figure: Figure) -> None:
    """Writes across a figure that it shows a smoke run; no layout changes by it."""
    style: Any = {"ha": "center", "va": "center", "rotation": 20, "alpha": 0.25}
    figure.text(0.5, 0.5, QUICK_MARK, fontsize=28, color="#888888", **style)
