"""The figure of the ledger: how far each row here is from the printed one."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from research.report.colours import BAD, GOOD, around_zero
from research.report.pictures import (
    Drawing,
    Look,
    blank,
    legend_above,
    notes_below,
    styled,
)

AGREES, DIFFERS, UNEXPLAINED = "agrees", "differs", "unexplained"
LOOKS = {
    AGREES: Look(GOOD, "o"),
    DIFFERS: Look("#b8860b", "D"),
    UNEXPLAINED: Look(BAD, "X"),
}
LEGEND = ("agrees", "differs, a run shows why", "unexplained")
DATASETS = {
    "ml-1m-ge3": "MovieLens 1M, RecBole",
    "ml-100k": "MovieLens 100K, RecBole",
    "ml-100k-cornac": "MovieLens 100K, Cornac",
    "ml-100k-irb": "MovieLens 100K, IR-Benchmark",
    "electronic": "Electronics",
    "movie": "Movies and TV",
    "gowalla": "Gowalla",
    "electronic-popularity": "Electronics, shifted",
}
METRICS = {"recall": "recall", "ndcg": "NDCG"}
MAIN = 10, 20  # the cut-off at which a table prints both, the largest there is
REACH, EDGE = 17.0, 16.0  # percent on either side; what is further stands at the edge
LINE = 0.215  # inches per line


@styled
def ledger_figure(frame: pd.DataFrame) -> Drawing:
    """Draws each published row's recall and NDCG: ours less the printed, in percent."""
    points = _points(frame)
    places, labels = _lines(points)
    counts = frame.verdict.value_counts()
    figure, panels = blank(1.6 + LINE * len(labels), ncols=2, sharey=True)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for row in points[points.metric == metric].to_dict("records"):
            numbers = float(row["percent"]), float(row["allowed"])
            line = places[str(row["dataset"]), str(row["row"])]
            _draw(axes, line, numbers, LOOKS[str(row["verdict"])])
        around_zero(axes)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(-REACH, REACH)
        axes.set_xlabel(f"{title}, %")
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylabel("published row")
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    for tick in panels[0].get_yticklabels():
        if tick.get_text() in DATASETS.values():
            tick.set_fontweight("bold")
    handles = [
        Line2D([], [], linestyle="", label=label, color=c, marker=m, markersize=6)
        for label, (c, m) in zip(LEGEND, LOOKS.values(), strict=True)
    ]
    heading = (
        f"{counts.get(AGREES, 0)} of {len(frame)} printed numbers agree. Here: "
        "recall and NDCG at 20 (RecBole, Cornac: at 10), ours less the printed"
    )
    legend_above(figure, handles, heading, 2)
    notes_below(figure, ["Grey: how far apart the two may be."])
    return Drawing(figure, points)


def _points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per published row and metric, in percent of the printed number."""
    main = frame[frame.metric.isin(METRICS) & frame.k.isin(MAIN)]
    largest = main.groupby(["dataset", "row"]).k.transform("max")
    main = main[(main.k == largest) & (main.verdict != "")].reset_index(drop=True)
    points = main[["dataset", "row", "metric", "k", "verdict"]].copy()
    points["percent"] = -100 * main.difference / main.value
    points["allowed"] = 100 * main.allowed / main.value
    return points


def _lines(points: pd.DataFrame) -> tuple[dict[tuple[str, str], int], list[str]]:
    """The line of each published row, and the labels of all lines."""
    places: dict[tuple[str, str], int] = {}
    labels: list[str] = []
    for dataset, part in points.groupby("dataset", sort=False):
        labels.append(DATASETS.get(str(dataset), str(dataset)))
        for row in part.row.unique():
            places[str(dataset), row] = len(labels)
            labels.append(f"  {row}")
    return places, labels


def _draw(axes: Axes, line: int, numbers: tuple[float, float], style: Look) -> None:
    """Draws a number on its line, with what is allowed; at the edge if it is beyond."""
    percent, allowed = numbers
    axes.barh(line, 2 * allowed, left=-allowed, height=0.8, color="#e2e2e2", zorder=1)
    side = 1 if percent > 0 else -1
    inside = abs(percent) <= REACH
    at = percent if inside else side * EDGE
    axes.plot(at, line, color=style.colour, marker=style.marker, markersize=6, zorder=3)
    if not inside:
        axes.annotate(
            f"{percent:+.0f}",
            (at, line),
            xytext=(-8 * side, 0),
            textcoords="offset points",
            va="center",
            ha="right" if side > 0 else "left",
            fontsize=9,
        )
