"""The figures of a swept value: recall, diversity and popularity along it."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.arms import leading_place, unfinished
from research.report.pictures import (
    EDGE,
    STYLE,
    Drawing,
    blank,
    label_points,
    legend_above,
    look,
    notes_below,
)
from research.report.tables import wide

NARROW = 16  # characters of an arm's name, of which four fit beside each other


def sweep_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    swept: str = "temperature",
    metrics: Sequence[str] = ("recall", "recall_item", "coverage", "train_count"),
    columns: int = 2,
    height: float = 2.5,
) -> Drawing:
    """Draws metrics at cut-off 20 along a swept value, each in a panel of its own.

    One line per arm with its 95 % band; an arm without the swept field is a dashed
    level. A failed cell leaves a gap, and is named below. A metric that the table lacks
    (data without genres) has no panel.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, where the leading arm peaks, and what rises and
        what falls.
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
        _around(figure, first, title or _trade(points, shown, swept), points, swept)
    return Drawing(figure, points)


def along(frame: pd.DataFrame, metrics: Sequence[str], swept: str) -> pd.DataFrame:
    """The metrics by arm, in the table's order, then by rising swept value.

    Raises:
      ValueError: no such column, or several points of an arm at one of its values.
    """
    if swept not in frame.columns:
        raise ValueError(f"the table does not sweep {swept}")
    points = wide(frame, metrics, CUTOFF)
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


def _around(
    figure: Figure, axes: Axes, title: str, points: pd.DataFrame, swept: str
) -> None:
    """Sets the heading and the arms' legend above the panels, what failed below."""
    handles, labels = axes.get_legend_handles_labels()
    legend_above(figure, handles, title, 3 if max(map(len, labels)) > NARROW else 4)
    notes_below(figure, unfinished(points, [swept]))


def _leading_curve(
    points: pd.DataFrame, metric: str, swept: str
) -> pd.DataFrame | None:
    """The curve of the arm that leads in a metric somewhere, None if none ran."""
    curves = points.dropna(subset=[metric, swept])
    if curves.empty:
        return None
    arm = curves.arm[leading_place(curves[metric], metric)[1]]
    return curves[curves.arm == arm]


def _trade(points: pd.DataFrame, metrics: Sequence[str], swept: str) -> str:
    """Where the leading arm peaks, and what goes up or down along the swept value."""
    first, *others = metrics
    line = _leading_curve(points, first, swept)
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
    where, place = leading_place(line[first], first)
    peak = f"{where} {METRICS[first].title(CUTOFF)} at {swept} {line[swept][place]:g}"
    text = f"{line.arm.iloc[0]}: {peak}"
    if not changes:
        return text
    return f"{text}; {start[swept]:g} to {end[swept]:g} {' and '.join(changes)}"


DIVERSITY = ("coverage", "ild")
NEAR = 14.0  # the farthest that a swept value stands from its point, in points


def tradeoff_figure(
    frame: pd.DataFrame, title: str | None = None, swept: str = "temperature"
) -> Drawing:
    """Draws recall@20 against coverage and against the distance within a list.

    The points of an arm are joined along the swept value, which is written beside as
    many of them as there is room for, ends and peak first.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, what the leading arm trades.
      swept: the column along which points are joined.
    """
    points = along(frame, ("recall", *DIVERSITY), swept)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.6, ncols=2, sharey=True)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            for arm, line in points.groupby("arm", sort=False):
                colour, marker = look(str(arm))
                style = {"color": colour, "marker": marker, "label": arm, **EDGE}
                panel.plot(line[metric], line.recall, **style)
            panel.set_xlabel(METRICS[metric].axis(CUTOFF))
            panel.margins(0.12)
        axes[0].set_ylabel(METRICS["recall"].axis(CUTOFF))
        _around(figure, axes[0], title or _widest(points, swept), points, swept)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            _write_values(panel, points, metric, swept)
    return Drawing(figure, points)


def _widest(points: pd.DataFrame, swept: str) -> str:
    line = _leading_curve(points, "recall", swept)
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
    labels = shown.loc[[n for _, n in sorted(turns)]].dropna(subset=[swept])
    if labels.empty:
        return
    xy, texts = labels[[metric, "recall"]].to_numpy(), labels[swept].map("{:g}".format)
    inks = [look(arm).ink for arm in labels.arm]
    boxes = np.tile(np.concatenate(crowd), 2)
    label_points(axes, xy, list(texts), inks, boxes, size=9.5, reach=NEAR, orders=1)
