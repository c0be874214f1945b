"""The figure of a swept value: recall, diversity and popularity along it."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from research.report.arms import CUTOFF, folded, unfinished
from research.report.pictures import STYLE, Drawing, blank, label_points, look
from research.report.tables import wide

__all__ = [
    "NAMES",
    "along",
    "around",
    "band",
    "diversity_figure",
    "leading_curve",
    "temperature_figure",
    "ticks",
    "tradeoff_figure",
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


COLUMNS = 3
DIVERSITY_NARROW = (
    1.0,
    3.0,
)  # steps of a decade, of which a third of the width has room
# What a panel shows, its unit, and how a heading calls it.
DIVERSITY_PANELS = {
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
    shown = [name for name in DIVERSITY_PANELS if name in set(frame.metric)]
    points = along(frame, shown, swept)
    rows = -(-len(shown) // COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(1.0 + 1.75 * rows, nrows=rows, ncols=COLUMNS, sharex=True)
        for panel in axes.flat[len(shown) :]:
            figure.delaxes(panel)
        for n, (panel, metric) in enumerate(zip(axes.flat, shown)):
            for arm, line in points.groupby("arm", sort=False):
                band(panel, line, metric, swept, str(arm))
            name, unit, _ = DIVERSITY_PANELS[metric]
            panel.set_title(name, loc="left")
            panel.set_ylabel(unit, fontsize=9.5)
            if n + COLUMNS >= len(shown):
                panel.set_xlabel(swept)
                panel.tick_params(labelbottom=True)
        first = axes.flat[0]
        ticks(first, points[swept][points.recall.notna()], DIVERSITY_NARROW)
        around(figure, first, title or _trade(points, shown, swept), points, swept)
    return Drawing(figure, points)


def _trade(points: pd.DataFrame, shown: list[str], swept: str) -> str:
    """From the first to the last swept value of the leading arm: what goes where."""
    line = leading_curve(points, swept)
    if line is None:
        return "No run finished"
    first, last = line.iloc[0], line.iloc[-1]
    names = [name for name in shown if DIVERSITY_PANELS[name][2]]
    up = [name for name in names if last[name] > first[name]]
    down = [name for name in names if last[name] < first[name]]
    ends = f"{swept} {first[swept]:g} to {last[swept]:g}"
    said = [
        f"{verb} {', '.join(DIVERSITY_PANELS[name][2] for name in some)}"
        for verb, some in (("raises", up), ("lowers", down))
        if some
    ]
    return f"{line.arm.iloc[0]}: {ends} {' and '.join(said)}"


DIVERSITY = ("coverage", "ild")
NEAR = 14.0  # the farthest that a swept value stands from its point, in points


def tradeoff_figure(
    frame: pd.DataFrame, title: str | None = None, swept: str = "temperature"
) -> Drawing:
    """Draws recall@20 against coverage@20 and against intra-list distance.

    The points of an arm are joined along the swept value, which is written beside as
    many of them as there is room for, ends and peak first.

    Args:
      frame: a long table with the swept column.
      title: what the figure says; without one, what the leading arm trades.
      swept: the column along which points are joined.
    """
    points = along(frame, ("recall", *DIVERSITY), swept)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.6, ncols=2, sharey=True)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            for arm, line in points.groupby("arm", sort=False):
                drawn = look(str(arm))
                panel.plot(
                    line[metric],
                    line.recall,
                    color=drawn.colour,
                    marker=drawn.marker,
                    markeredgecolor="white",
                    markeredgewidth=0.5,
                    label=arm,
                )
            panel.set_xlabel(NAMES[metric])
            panel.margins(0.12)
        axes[0].set_ylabel(NAMES["recall"])
        around(figure, axes[0], title or _tradeoff_trade(points, swept), points, swept)
        for panel, metric in zip(axes, DIVERSITY, strict=True):
            _write_values(panel, points, metric, swept)
    return Drawing(figure, points)


def _tradeoff_trade(points: pd.DataFrame, swept: str) -> str:
    line = leading_curve(points, swept)
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
    chosen = shown.loc[[n for _, n in sorted(turns)]].dropna(subset=[swept])
    if chosen.empty:
        return
    boxes = np.concatenate(crowd)
    label_points(
        axes,
        chosen[[metric, "recall"]].to_numpy(),
        [f"{value:g}" for value in chosen[swept]],
        [look(arm).ink for arm in chosen.arm],
        np.concatenate([boxes, boxes], axis=1),
        size=9.5,
        reach=NEAR,
        orders=1,
    )
