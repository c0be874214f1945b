"""The four kinds of figures, each drawn from a tidy frame: a row is a point.

A frame may have more columns than a plot names: X_low and X_high, Y_low and Y_high (the
ends of intervals), ``pale`` (points that stand back) and, for a forest, ``margin`` (the
half-width of a grey band around zero). A text such as "in-batch, size 64" has the
colour of its arm, in-batch; a second one of that arm has other dashes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy import ndarray

from research.report.pictures import (
    EDGE,
    MARKER,
    Drawing,
    Look,
    above,
    around_zero,
    blank,
    folded,
    freeze,
    legend_above,
    looks,
    notes_below,
    styled,
)

Decorate = Callable[[Axes, pd.DataFrame], None]
LINE, PANEL = 0.24, 2.6  # inches: a line of a forest, the height of any other panel
NARROW, WIDE = 16, 25  # characters of labels, of which four and three fit a line
SEVERAL = 100  # times: over two decades only powers of ten have ticks
MANY = 30  # points of a line: beyond them they have no markers
PALE = 0.25
DASHES: Sequence[Any] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
# Where a label may stand: distances from its point, in points of print, and angles.
DISTANCES = (8.0, 15.0, 24.0, 36.0, 50.0, 68.0, 90.0)
ANGLES = np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 67, 293])
BESIDE = 10.0  # a label farther than this from its point has a line to it


@dataclass(frozen=True)
class Plot:
    """What a figure shows of a frame, by the names of its columns."""

    # a forest shows numbers beside zero, a line for each text
    kind: Literal["forest", "lines", "scatter", "bars"]
    x: str  # along the horizontal axis; of a forest, the number
    y: str  # upwards; of a forest, the text of a line
    colour: str = ""  # its values have colours and entries of the legend
    facet: str = ""  # its values have panels beside each other
    row: str = ""  # its values have groups of lines of a forest
    band: bool = False  # whether lines have a band from Y_low to Y_high
    label: str = ""  # texts beside the points; "" for none
    title: str = ""
    xlabel: str = ""  # default the column's name
    ylabel: str = ""  # default the column's name
    logx: bool = False
    # "x", "y" or "xy": the axes whose scale each panel has for itself. With an own x,
    # the panel's name stands below it.
    own: str = ""
    columns: int = 2  # the most panels beside each other
    size: float = 1.0  # of a panel's height, relative to the usual one


class Panel(NamedTuple):
    """An axes, its rows of the frame, and its name."""

    axes: Axes
    rows: pd.DataFrame
    name: str


class Stroke(NamedTuple):
    """How the points of one colour are drawn."""

    look: Look
    dashes: Any
    label: str


@styled
def draw(
    plot: Plot,
    frame: pd.DataFrame,
    notes: Sequence[str] = (),
    decorate: Decorate | None = None,
    legend: bool = True,
) -> Drawing:
    """Draws a frame, with notes below the panels.

    ``decorate`` is called with each panel and its rows, before points get their labels;
    without ``legend`` colours are not explained, as where each point is named.
    """
    lines = _lines_of(plot, frame)
    figure, panels = _panels(plot, frame, len(lines), len(notes))
    strokes = _strokes(frame, plot.colour)
    for panel in panels:
        DRAWN[plot.kind](panel, plot, strokes, lines)
        if decorate:
            decorate(panel.axes, panel.rows)
    _name_axes(plot, panels, frame)
    title = plot.title
    if plot.kind != "forest" and frame[plot.y].isna().all():
        title = "No run finished"
    if legend and plot.colour and plot.colour != plot.label and len(frame):
        _legend(figure, plot, panels, strokes, title)
    else:
        above(figure, folded(title))
    notes_below(figure, notes)
    if plot.label:
        for panel in panels:
            _label_points(panel, plot, strokes)
    return Drawing(figure, frame)


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column in the order of their appearance; None without one."""
    return list(dict.fromkeys(frame[column])) if column and len(frame) else [None]


def _lines_of(plot: Plot, frame: pd.DataFrame) -> dict[tuple[Any, Any], int]:
    """The place of each line of a forest, by group and text; groups have headings."""
    if plot.kind != "forest":
        return {}
    out: dict[tuple[Any, Any], int] = {}
    for group in _values(frame, plot.row):
        rows = frame if group is None else frame[frame[plot.row] == group]
        texts = _values(rows, plot.y) if len(rows) else []
        for text in [*([] if group is None else [None]), *texts]:
            out[group, text] = len(out)
    return out


def _panels(
    plot: Plot, frame: pd.DataFrame, lines: int, notes: int
) -> tuple[Figure, list[Panel]]:
    """The figure and its panels, row by row; those left over are removed."""
    forest = plot.kind == "forest"
    facets = _values(frame, plot.facet)
    ncols = len(facets) if forest else min(len(facets), plot.columns)
    nrows = -(-len(facets) // ncols)
    height = 1.0 + PANEL * plot.size * nrows + 0.15 * max(notes - 1, 0)
    if forest:
        height = 1.6 + LINE * max(lines, 1) + 0.2 * max(notes - 1, 0)
    figure, axes = blank(
        height,
        nrows=nrows,
        ncols=ncols,
        squeeze=False,
        sharex="x" not in plot.own,
        sharey=forest or "y" not in plot.own,
    )
    for spare in axes.flat[len(facets) :]:
        figure.delaxes(spare)
    panels = []
    for n, (axis, facet) in enumerate(zip(axes.flat, facets)):
        part = frame if facet is None else frame[frame[plot.facet] == facet]
        panels.append(Panel(axis, part, facet or ""))
        # a panel over a removed one has the ticks
        axis.tick_params(labelbottom="x" in plot.own or n + ncols >= len(facets))
    return figure, panels


def _strokes(frame: pd.DataFrame, column: str) -> dict[Any, Stroke]:
    """The stroke of each value of a column, by the arm that begins it."""
    values = [value for value in _values(frame, column) if not pd.isna(value)]
    if not column or not values:
        return {None: Stroke(Look("#333333", "o"), "-", "")}
    arms = [value.partition(", ")[0] for value in values]
    styles, seen, out = looks(arms), dict[str, int](), {}
    for value, arm in zip(values, arms):
        seen[arm] = seen.get(arm, -1) + 1
        out[value] = Stroke(styles[arm], DASHES[seen[arm] % len(DASHES)], value)
    return out


def _parts(
    panel: Panel, plot: Plot, strokes: Mapping[Any, Stroke]
) -> list[tuple[int, Stroke, pd.DataFrame]]:
    """The number, the stroke and the rows of each colour."""
    rows, column = panel.rows, plot.colour
    return [
        (n, stroke, part)
        for n, (value, stroke) in enumerate(strokes.items())
        if len(part := rows[rows[column] == value] if column and value else rows)
    ]


def _reach(rows: pd.DataFrame, name: str) -> Float[ndarray, "2 n"] | None:
    """How far the intervals of a column reach below and above it; None without."""
    if f"{name}_low" not in rows or rows[f"{name}_low"].isna().all():
        return None
    low, high = rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]
    # an interval of percentiles need not hold its mean
    return np.maximum(np.nan_to_num(np.stack([low, high])), 0)


def _draw_lines(
    panel: Panel, plot: Plot, strokes: Mapping[Any, Stroke], _: Any
) -> None:
    places = _places(panel, plot.x)
    for _number, (look, dashes, label), rows in _parts(panel, plot, strokes):
        colour, x, y = look.colour, rows[plot.x], rows[plot.y]
        if places:
            x = x.map(places)
        elif x.isna().all():  # a level, which has no place along the axis
            level: Any = {"color": colour, "linestyle": (0, (5, 3)), "label": label}
            panel.axes.axhline(y.iloc[0], **level)
            continue
        marker = look.marker if len(rows) <= MANY else ""
        line = {"linestyle": dashes, "label": label, "markersize": 5, **EDGE}
        panel.axes.plot(x, y, marker=marker, color=colour, **line)
        if plot.band:
            ends = rows[f"{plot.y}_low"], rows[f"{plot.y}_high"]
            panel.axes.fill_between(x, *ends, color=colour, alpha=0.18, linewidth=0)


def _draw_scatter(
    panel: Panel, plot: Plot, strokes: Mapping[Any, Stroke], _: Any
) -> None:
    for _number, (look, _dashes, _label), rows in _parts(panel, plot, strokes):
        pale = rows.get("pale", pd.Series(False, rows.index)).astype(bool)
        for faint, part in rows.groupby(pale):
            alpha, order = (PALE, 2) if faint else (1.0, 3)
            style: Any = {"alpha": alpha, "zorder": order, "elinewidth": 1.1, **EDGE}
            panel.axes.errorbar(
                part[plot.x],
                part[plot.y],
                xerr=_reach(part, plot.x),
                yerr=_reach(part, plot.y),
                color=look.colour,
                marker=look.marker,
                linestyle="",
                markersize=7,
                **style,
            )
    panel.axes.margins(x=0.1, y=0.08)


def _draw_bars(panel: Panel, plot: Plot, strokes: Mapping[Any, Stroke], _: Any) -> None:
    texts = panel.rows.assign(**{plot.x: panel.rows[plot.x].map(str)})
    places = _places(Panel(panel.axes, texts, ""), plot.x)
    width = 0.8 / len(strokes)
    for n, (look, _dashes, _label), rows in _parts(panel, plot, strokes):
        at = rows[plot.x].map(str).map(places) + width * (n - (len(strokes) - 1) / 2)
        error: Any = {"yerr": _reach(rows, plot.y), "error_kw": {"elinewidth": 1.0}}
        panel.axes.bar(at, rows[plot.y], width, color=look.colour, **error)
    panel.axes.grid(axis="x", visible=False)


def _places(panel: Panel, column: str) -> dict[Any, int]:
    """The places of texts along the axis, whose ticks it sets; none for numbers."""
    values = _values(panel.rows, column)
    if not isinstance(values[0], str):
        return {}
    panel.axes.set_xticks(range(len(values)), values)
    if sum(map(len, values)) > 40:
        panel.axes.tick_params(axis="x", rotation=30)
    return {value: n for n, value in enumerate(values)}


def _draw_forest(
    panel: Panel,
    plot: Plot,
    strokes: Mapping[Any, Stroke],
    lines: Mapping[tuple[Any, Any], int],
) -> None:
    axes, rows = panel.axes, panel.rows
    groups = rows[plot.row] if plot.row else [None] * len(rows)
    at = np.array([lines[key] for key in zip(groups, rows[plot.y])], float)
    beside = len(set(at)) < len(at)  # several colours on a line
    for n, (look, _dashes, _label), part in _parts(panel, plot, strokes):
        place = at[rows.index.get_indexer(part.index)]
        place = place + beside * 0.5 * ((n + 0.5) / len(strokes) - 0.5)
        style: Any = {"color": look.colour, "marker": look.marker, "linestyle": ""}
        axes.errorbar(
            part[plot.x], place, xerr=_reach(part, plot.x), elinewidth=1.2, **style
        )
    margin = rows["margin"].dropna() if "margin" in rows else pd.Series(dtype=float)
    around_zero(axes, float(margin.iloc[0]) if len(margin) else np.nan)
    named = [group if text is None else text for group, text in lines]
    axes.set_yticks(range(len(lines)), named)
    for text, (_, line) in zip(axes.get_yticklabels(), lines):
        text.set_fontweight("bold" if line is None else "normal")
    axes.set_ylim(max(len(lines), 1) - 0.4, -0.6)


DRAWN = {
    "forest": _draw_forest,
    "lines": _draw_lines,
    "scatter": _draw_scatter,
    "bars": _draw_bars,
}


def _name_axes(plot: Plot, panels: Sequence[Panel], frame: pd.DataFrame) -> None:
    """Sets scales, ticks, and the names of panels and axes."""
    for panel in panels:
        axes, xlabel = panel.axes, plot.xlabel or plot.x
        if "x" in plot.own and panel.name:
            xlabel = f"{plot.xlabel}\n{panel.name}".strip()
        else:
            axes.set_title(panel.name, loc="left")
        grid = axes.get_subplotspec()
        if "x" in plot.own or (axes.xaxis.get_tick_params().get("labelbottom")):
            axes.set_xlabel(xlabel)
        if "y" in plot.own or grid is None or grid.is_first_col():
            axes.set_ylabel(plot.ylabel or plot.y)
        there = frame[plot.x][frame[plot.y].notna()].dropna()
        if plot.logx and plot.kind != "bars" and len(there):
            _ticks(axes, there)
        elif plot.kind == "lines" and pd.api.types.is_integer_dtype(frame[plot.x]):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _ticks(axes: Axes, values: "pd.Series[float]") -> None:
    """Sets a logarithmic axis, with plain numbers that do not overlap."""
    axes.set_xscale("log")
    far = values.max() / values.min() > SEVERAL
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if far else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _legend(
    figure: Figure,
    plot: Plot,
    panels: Sequence[Panel],
    strokes: Mapping[Any, Stroke],
    title: str,
) -> None:
    """Sets the heading and the legend above the panels."""
    handles: list[Any] = []
    if plot.kind == "lines":
        drawn = panels[0].axes.get_legend_handles_labels()[0]
        # in the order of the lines' right ends, the highest first
        handles = sorted(drawn, key=_right_end, reverse=True)
    there = {handle.get_label() for handle in handles}
    for look, dashes, label in strokes.values():
        if plot.kind == "bars":
            handles.append(Patch(color=look.colour, label=label))
        elif label not in there:
            handles.append(_handle(look, dashes if plot.kind == "lines" else "", label))
    if plot.band:
        band: Any = {"color": "0.5", "alpha": 0.3, "linewidth": 0}
        handles.append(Patch(label="95 % interval", **band))
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = 4 if longest <= NARROW else 3 if longest <= WIDE else 2
    legend_above(figure, handles, title, columns)


def _handle(look: Look, dashes: Any, label: str) -> Line2D:
    style: Any = {"color": look.colour, "marker": look.marker, "linestyle": dashes}
    return Line2D([], [], label=label, **style)


def _right_end(line: Any) -> float:
    """The last finite value of a line; below all others where it has none."""
    values = np.asarray(line.get_ydata(), float)
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else -np.inf


def _label_points(panel: Panel, plot: Plot, strokes: Mapping[Any, Stroke]) -> None:
    """Writes the labels of points; one without room stands in a legend inside."""
    axes, rows = panel.axes, panel.rows.dropna(subset=[plot.x, plot.y])
    some = rows[rows[plot.label] != ""]
    if some.empty:
        return
    styles = [strokes[value].look for value in some[plot.colour]]
    points = rows[[plot.x, plot.y]].to_numpy(float)
    if plot.kind == "lines":  # dots stand for the lines as obstacles
        for _, line in rows.groupby(plot.colour, sort=False):
            xy = line[[plot.x, plot.y]].to_numpy(float)
            steps = np.linspace(0, 1, 12)[:, None]
            points = np.concatenate(
                [points, *(a + steps * (b - a) for a, b in pairwise(xy))]
            )
    at, texts = some[[plot.x, plot.y]].to_numpy(float), list(some[plot.label])
    missing = place_labels(axes, at, texts, [style.ink for style in styles], points)
    if plot.kind == "scatter" and missing:
        handles = [_handle(styles[n], "", texts[n]) for n in missing]
        axes.legend(handles=handles, loc="best")


def place_labels(
    axes: Axes,
    at: Float[ndarray, "n 2"],
    texts: Sequence[str],
    colours: Sequence[str],
    avoid: Float[ndarray, "m 2"],
) -> list[int]:
    """Writes a text beside each point, each in the nearest free place.

    Returns those for which there is none within reach. Call it last: it freezes the
    layout and the limits, since places are found in units of print.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    freeze(figure)
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    unit, frame = figure.dpi / 72, np.array(axes.get_window_extent().extents)
    dots = axes.transData.transform(avoid)
    taken = np.concatenate([dots - MARKER * unit, dots + MARKER * unit], axis=1)
    towards = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).round(9)
    reach = np.repeat(np.array(DISTANCES) * unit, len(ANGLES))[:, None]
    ways = np.tile(towards, (len(DISTANCES), 1))
    missing = []
    for n, anchor in enumerate(axes.transData.transform(at)):
        text = axes.annotate(texts[n], at[n], color=colours[n], fontsize=9.5)
        box = text.get_window_extent()
        size = np.array([box.width, box.height])
        edge = anchor + reach * ways
        centre = edge + ways / np.abs(ways).max(axis=1, keepdims=True) * size / 2
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        inside = (boxes[:, :2] >= frame[:2]) & (boxes[:, 2:] <= frame[2:])
        free = inside.all(axis=1) & ~_overlap(boxes, taken).any(axis=1)
        if not free.any():
            text.remove()
            missing.append(n)
            continue
        best = int(np.argmax(free))
        corner = axes.transData.inverted().transform(boxes[best, :2])
        text.set_position((float(corner[0]), float(corner[1])))
        text.set_verticalalignment("bottom")
        if reach[best, 0] > BESIDE * unit:
            ends = axes.transData.inverted().transform([anchor, edge[best]])
            axes.plot(*ends.T, color=colours[n], linewidth=0.8, alpha=0.7, zorder=1.5)
        steps = anchor + np.linspace(0.3, 1, 8)[:, None] * (edge[best] - anchor)
        taken = np.concatenate([taken, boxes[[best]], np.tile(steps, 2)])
    return missing


def _overlap(boxes: Float[ndarray, "q 4"], others: Float[ndarray, "m 4"]) -> ndarray:
    after = boxes[:, None, :2] >= others[None, :, 2:] + 1.5
    before = boxes[:, None, 2:] + 1.5 <= others[None, :, :2]
    return np.asarray(~(after | before).any(axis=2))
