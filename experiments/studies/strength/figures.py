"""The figures of the study strength: recall against the total, a line per lambda."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from experiments.studies.strength import CLICKED
from experiments.studies.strength.shifts import COMPARED
from research.report.colours import strength_ink, with_band
from research.report.pictures import (
    Drawing,
    blank,
    legend_above,
    notes_below,
    styled,
)

CROWD = 3  # lines in a panel whose bands would hide each other
WITHOUT = f"{CLICKED}recall_20"  # of lists without unclicked items
TOTAL = "total strength: in the loss + when serving"
LABELS = {
    "recall_20": "recall@20\nall items listed",
    "recall_item_20": "item-averaged\nrecall@20",
    WITHOUT: "recall@20\nclicked items listed",
}


class Name(NamedTuple):
    """What an output is called beside a row of panels and in a title."""

    row: str
    title: str


NAMES = {
    "cosine": Name("cosine", "cosines"),
    "dot": Name("dot product", "dot products"),
    "bounded": Name("bounded dot", "bounded dot products"),
}


class Row(NamedTuple):
    """A row of panels, one per temperature: an output's metric, under a label."""

    output: str
    metric: str
    label: str


def gap(panel: pd.DataFrame, metric: str = "recall_20") -> float:
    """How far the lambdas' means lie apart at most, over the compared totals."""
    rows = panel[panel.total.between(*COMPARED)]
    by_total = rows.groupby("total")[metric]
    return float((by_total.max() - by_total.min()).max())


def curves_figure(frame: pd.DataFrame, output: str) -> Drawing:
    """Recall and item-averaged recall of one output, by the total.

    With lists without unclicked items, where there are such: recall with both kinds.
    """
    points = frame[frame.output == output]
    same = WITHOUT in points  # the two rows are compared with each other
    shown = ("recall_20", WITHOUT if same else "recall_item_20")
    rows = [Row(output, metric, LABELS[metric]) for metric in shown]
    label = TOTAL
    if same:
        ends = " to ".join(f"{total:g}" for total in COMPARED)
        label += f" (≤: largest gap of the lines, {ends})"
    name = NAMES[output].title
    title = f"Does the total alone set recall, or also where log q is? ({name})"
    mark = (lambda row, lines: f"≤ {gap(lines, row.metric):.3f}") if same else None
    figure = _panels(points, rows, title, label, mark, "all" if same else "row")
    return Drawing(figure, points[["output", "temperature", "lambda", "total", *shown]])


def outputs_figure(
    frame: pd.DataFrame, shifts: Mapping[tuple[str, float], float]
) -> Drawing:
    """Recall of each output by the total, without log q in the loss and with it all."""
    metric = WITHOUT if WITHOUT in frame else "recall_20"
    outputs = list(dict.fromkeys(frame.output))
    ends = frame[frame["lambda"].isin([frame["lambda"].min(), frame["lambda"].max()])]
    rows = [Row(one, metric, f"{NAMES[one].row}\nrecall@20") for one in outputs]
    most = {
        one: max((by for (output, _), by in shifts.items() if output == one), key=abs)
        for one in outputs
    }
    said = ", ".join(f"{by:.2f} with {NAMES[one].title}" for one, by in most.items())
    figure = _panels(
        ends,
        rows,
        f"Log q in the loss moves the curve (numbers: how far) by up to {said}",
        TOTAL,
        lambda row, lines: f"{shifts[row.output, lines.temperature.iloc[0]]:+.2f}",
        "row",
    )
    return Drawing(figure, ends[["output", "temperature", "lambda", "total", metric]])


@styled
def _panels(
    points: pd.DataFrame,
    rows: Sequence[Row],
    title: str,
    label: str,
    mark: Callable[[Row, pd.DataFrame], str] | None,
    sharey: str,
) -> Figure:
    """Rows of panels, one per temperature: a line per lambda, and a mark in each."""
    temperatures = list(dict.fromkeys(points.temperature))
    lambdas = list(dict.fromkeys(points["lambda"]))
    figure, axes = blank(
        4.2, nrows=len(rows), ncols=len(temperatures), sharex=True, sharey=sharey,
        squeeze=False,
    )  # fmt: skip
    for (n, row), (column, temperature) in itertools.product(
        enumerate(rows), enumerate(temperatures)
    ):
        panel, of_row = axes[n, column], points[points.output == row.output]
        lines = of_row[of_row.temperature == temperature]
        for strength in lambdas:
            line, ink = lines[lines["lambda"] == strength], strength_ink(strength)
            ends = line[f"{row.metric}_low"], line[f"{row.metric}_high"]
            if len(lambdas) < CROWD:
                panel.fill_between(line.total, *ends, color=ink, alpha=0.15, lw=0)
            first = "strength of log q in the loss: " if strength == lambdas[0] else ""
            panel.plot(
                line.total, line[row.metric], marker="o", ms=3, lw=1.2,
                color=ink, label=f"{first}{strength:g}",
            )  # fmt: skip
        if mark:
            place = {"transform": panel.transAxes, "ha": "right"}
            panel.text(0.97, 0.06, mark(row, lines), **place)
        if n == 0:
            what = "temperature " if column == 0 else ""
            panel.set_title(f"{what}{temperature:g}", fontsize=9)
        if column == 0:
            panel.set_ylabel(row.label, fontsize=9)
    notes_below(figure, [label], fontsize=10, x=0.5, ha="center")
    for panel in axes[-1]:
        panel.set_xlabel(" ", fontsize=1)
    entries = with_band(axes[0, 0]) if len(lambdas) < CROWD else axes[0, 0]
    legend_above(figure, entries, title, len(lambdas) + 1)
    return figure
