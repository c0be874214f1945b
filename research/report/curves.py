"""The figure of a swept value: recall, diversity and popularity along it."""

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from research.report.figures import CUTOFF, folded, unfinished
from research.report.palette import look
from research.report.pictures import STYLE, Drawing, blank
from research.report.tables import wide

__all__ = [
    "NAMES",
    "along",
    "around",
    "band",
    "leading_curve",
    "temperature_figure",
    "ticks",
]

NAMES = {
    "recall": f"recall@{CUTOFF}",
    "recall_item": f"item recall@{CUTOFF}",
    "coverage": f"coverage@{CUTOFF} (share of items)",
    "train_count": f"mean train count, top {CUTOFF}",
    "ild": f"intra-list distance@{CUTOFF}",
}
PANELS = ("recall", "recall_item", "coverage", "train_count")
NARROW = 16  # characters of an arm's name, of which four fit beside each other


def temperature_figure(
    frame: pd.DataFrame, title: str | None = None, swept: str = "temperature"
) -> Drawing:
    """Draws recall, item recall, coverage and popularity along a swept value.

    Small multiples with one line an arm and its 95 % band; an arm without the swept
    field is a dashed level. What failed leaves a gap, and is named below.

    Args:
      frame: a long table with the swept column.
      title: what the figure says; without one, where recall peaks.
      swept: the column along the horizontal axis, logarithmic if all are positive.
    """
    points = along(frame, PANELS, swept)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(6.0, nrows=2, ncols=2, sharex=True)
        for panel, metric in zip(axes.flat, PANELS, strict=True):
            for arm, line in points.groupby("arm", sort=False):
                band(panel, line, metric, swept, str(arm))
            panel.set_ylabel(NAMES[metric])
        ticks(axes[0, 0], points[swept][points.recall.notna()])
        for panel in axes[1]:
            panel.set_xlabel(swept)
        around(figure, axes[0, 0], title or _peak(points, swept), points, swept)
    return Drawing(figure, points)


def along(frame: pd.DataFrame, metrics: Sequence[str], swept: str) -> pd.DataFrame:
    """Returns the metrics by arm, in the table's order, then by rising swept value.

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


def band(axes: Axes, line: pd.DataFrame, metric: str, swept: str, arm: str) -> None:
    """Draws an arm's line and band along a swept value; a level where it has none."""
    colour, marker = look(arm)
    if line[swept].isna().all():
        level = line[metric].iloc[0]
        axes.axhline(level, color=colour, linestyle=(0, (5, 3)), label=arm)
        return
    axes.fill_between(
        line[swept],
        line[f"{metric}_low"],
        line[f"{metric}_high"],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(
        line[swept],
        line[metric],
        color=colour,
        marker=marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=arm,
    )


def ticks(
    axes: Axes, values: "pd.Series[float]", steps: Sequence[float] = (1.0, 2.0, 5.0)
) -> None:
    """Sets the ticks of the swept values; logarithmic if all are positive."""
    if values.min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def around(
    figure: Figure, axes: Axes, title: str, points: pd.DataFrame, swept: str
) -> None:
    """Sets the heading and the arms' legend above the panels, what failed below."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=3 if max(map(len, labels)) > NARROW else 4,
        frameon=False,
        title=folded(title),
        title_fontproperties={"weight": "bold", "size": 10.5},
        alignment="left",
    )
    foot = unfinished(points, [swept])
    if foot:
        figure.supxlabel("\n".join(foot), fontsize=9.5, x=0.01, ha="left")


def leading_curve(points: pd.DataFrame, swept: str) -> pd.DataFrame | None:
    """Returns the curve of the arm whose recall goes highest, None if none ran."""
    curves = points.dropna(subset=["recall", swept])
    if curves.empty:
        return None
    arm = curves.arm[curves.recall.idxmax()]
    return curves[curves.arm == arm]


def _peak(points: pd.DataFrame, swept: str) -> str:
    line = leading_curve(points, swept)
    if line is None:
        return "No run finished"
    top, first, last = line.loc[line.recall.idxmax()], line.iloc[0], line.iloc[-1]
    change = "falls" if last.coverage < first.coverage else "rises"
    return (
        f"{top.arm} recalls most at {swept} {top[swept]:g}; from {first[swept]:g} to"
        f" {last[swept]:g} its coverage {change} from {first.coverage:.2f} to"
        f" {last.coverage:.2f}"
    )
