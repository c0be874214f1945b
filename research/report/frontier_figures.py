"""The frontier drawn: recall against each kind of diversity, and the serving line."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from research.report.arms import CUTOFF, folded
from research.report.frontier import KINDS, PRIOR, kinds_of, pareto
from research.report.pictures import STYLE, Drawing, blank, look
from research.report.tables import wide

__all__ = ["frontier_figure", "item_frontier_figure", "serving_figure"]

PALE = 0.25
JUDGED = {"recall": f"recall@{CUTOFF}", "recall_item": f"item recall@{CUTOFF}"}


def frontier_figure(
    frame: pd.DataFrame, title: str | None = None, judged: str = "recall"
) -> Drawing:
    """Draws recall@20 against each kind of diversity, an arm and temperature a point.

    The Pareto front of the trained arms is dashed, what it dominates is pale; the
    serving lines are drawn thin. Further right and up is better on both. judged is the
    metric upwards.
    """
    kinds = kinds_of(frame)
    points = wide(frame, [judged, *kinds], CUTOFF)
    trained, rows = points[points[PRIOR].isna()], -(-len(kinds) // 3)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(1.3 + 2.1 * rows, nrows=rows, ncols=3, sharey=True)
        for panel in axes.flat[len(kinds) :]:
            figure.delaxes(panel)
        fronts = []
        for panel, kind in zip(axes.flat, kinds):
            on = pareto(trained[kind].to_numpy(), trained[judged].to_numpy())
            fronts.append(set(trained.arm[on]))
            front = trained[on].sort_values(kind)
            panel.plot(front[kind], front[judged], "--", color="#777777", linewidth=1.1)
            _lines(panel, points, kind, judged)
            _points(panel, trained, kind, judged, on)
            panel.set_xlabel(KINDS[kind], fontsize=9.5)
        for panel in axes[:, 0]:
            panel.set_ylabel(JUDGED[judged])
        always = [arm for arm in dict.fromkeys(trained.arm) if _in_all(arm, fronts)]
        said = " and ".join(always) or "no arm"
        _around(figure, trained, title or f"On every front of {JUDGED[judged]}: {said}")
    return Drawing(figure, points)


def item_frontier_figure(frame: pd.DataFrame) -> Drawing:
    """The same with item-balanced recall, which popularity doesn't buy."""
    return frontier_figure(frame, judged="recall_item")


def serving_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws recall and item recall against the popularity of what is recommended.

    The lines are the two models served with a prior from -1 to 1; an arm that lies
    above every line reaching its popularity is solid, the others are pale.
    """
    points = wide(frame, [*JUDGED, "train_count"], CUTOFF)
    trained = points[points[PRIOR].isna()]
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(4.3, ncols=2)
        counts = []
        for panel, metric in zip(axes, JUDGED, strict=True):
            lines = _lines(panel, points, "train_count", metric)
            above = np.array(
                [
                    _outside(lines, row["train_count"], row[metric])
                    for row in trained.to_dict("records")
                ],
                dtype=bool,
            )
            counts.append(int(above.sum()))
            _points(panel, trained, "train_count", metric, above)
            panel.set_xlabel(f"mean train count, top {CUTOFF}")
            panel.set_ylabel(JUDGED[metric])
        said = (
            f"By its mean above the serving prior at equal popularity: {counts[0]} of"
            f" {len(trained)} cells in recall, {counts[1]} in item recall"
        )
        _around(figure, trained, title or said)
    return Drawing(figure, points)


def _in_all(arm: str, fronts: list[set[str]]) -> bool:
    return all(arm in front for front in fronts)


def _lines(
    axes: Axes, points: pd.DataFrame, x: str, y: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws each serving line; returns their points, sorted along x."""
    out = []
    served = points.dropna(subset=[PRIOR, x, y])
    for arm, line in served.groupby("arm", sort=False):
        colour = look(str(arm)).colour
        line = line.sort_values(PRIOR)
        axes.plot(line[x], line[y], color=colour, linewidth=1.3, zorder=1.5)
        ordered = line.sort_values(x)
        out.append((ordered[x].to_numpy(), ordered[y].to_numpy()))
    return out


def _outside(lines: list[tuple[np.ndarray, np.ndarray]], x: float, y: float) -> bool:
    """Whether a point lies above every line that reaches it, and some line does."""
    at = [np.interp(x, *line, left=np.nan, right=np.nan) for line in lines]
    reached = [value for value in at if not np.isnan(value)]
    return bool(reached) and all(y > value for value in reached)


def _points(
    axes: Axes, points: pd.DataFrame, x: str, y: str, strong: np.ndarray
) -> None:
    for row, solid in zip(points.to_dict("records"), strong, strict=True):
        arm, alpha = look(str(row["arm"])), 1.0 if solid else PALE
        reach = np.array([[row[y] - row[f"{y}_low"]], [row[f"{y}_high"] - row[y]]])
        axes.errorbar(
            row[x],
            row[y],
            np.maximum(reach, 0),
            color=arm.colour,
            marker=arm.marker,
            markeredgecolor="white",
            markeredgewidth=0.5,
            elinewidth=0.9,
            alpha=alpha,
            zorder=3 if solid else 2,
        )


def _around(figure: Figure, points: pd.DataFrame, title: str) -> None:
    axes = figure.axes[0]
    handles = []
    for arm in dict.fromkeys(points.arm):
        drawn = look(arm)
        handles += axes.plot([], [], drawn.marker, color=drawn.colour, label=arm)
    handles += axes.plot([], [], color="#777777", label="served with a prior, -1 to 1")
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=3,
        frameon=False,
        title=folded(title),
        title_fontproperties={"weight": "bold", "size": 10.5},
        alignment="left",
    )
