"""Forest plots: paired differences with their intervals, one line each, beside zero."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.colours import BAD, GOOD
from research.report.contrasts import MARGIN, UNTESTED, measured
from research.report.figures import row_name, unfinished
from research.report.intervals import ALPHA
from research.report.pictures import (
    Drawing,
    Look,
    above,
    blank,
    folded,
    legend_above,
    looks,
    notes_below,
    styled,
)
from research.report.tables import swept_columns, wide

LINE = 0.24  # inches per line
ROOM = 4  # lines beside which a long label of the axis has room
SWITCHES = {  # their marks in names of rows, where whole names would take all the room
    "correct_positive": "pos",
    "leave_own_out": "own",
    "expected_count": "n",
}
ZERO = "#333333"
NOTE = 0.2  # inches of a line below the panels
ENDS = {"delta": "delta", "low": "delta_low", "high": "delta_high"}
VERDICTS = {
    "better": Look(GOOD, "o"),
    "worse": Look(BAD, "X"),
    "higher": Look("#333333", "^"),
    "lower": Look("#333333", "v"),
    "equivalent": Look("#6b7785", "s"),
    "undecided": Look("#a0a0a0", "D"),
    UNTESTED: Look("#a0a0a0", "d"),
}


@styled
def forest_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    metrics: Sequence[str] = ("recall", "recall_item"),
    without: Sequence[str] = (),
) -> Drawing:
    """Draws each arm's paired difference from the reference, one panel per metric.

    The shaded band is 2 % of the reference's value, where that is one value.
    """
    frame = frame[~frame.arm.isin(without)]
    swept, points = swept_columns(frame), _differences(frame, metrics)
    some = points[[f"{metric}_delta" for metric in metrics]].notna().any(axis=1)
    shown = points[some].reset_index(drop=True)
    reference = next((name for name in frame.against if name), "")
    styles = looks(shown.arm)
    notes = [*_marks(swept), *unfinished(wide(frame, metrics, CUTOFF), swept)]
    below = "\n".join(notes).count("\n")  # a figure of few arms has room for one line
    height = 1.5 + LINE * max(len(shown), 1) + NOTE * below
    figure, panels = blank(height, ncols=len(metrics), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], metrics, strict=True):
        for n, row in enumerate(shown.to_dict("records")):
            delta, low, high = (row[f"{metric}_{end}"] for end in ENDS)
            draw_line(axes, n, (delta, low, high), styles[str(row["arm"])])
        around_zero(axes, _margin(frame, reference, metric))
        axes.set_xlabel(f"difference in\n{METRICS[metric].title(CUTOFF)}")
    names = [row_name(row, swept, SWITCHES) for row in shown.to_dict("records")]
    panels[0][0].set_yticks(range(len(shown)), names)
    long = bool(swept) and len(shown) >= ROOM
    panels[0][0].set_ylabel("arm and swept values" if long else "arm")
    panels[0][0].set_ylim(max(len(shown), 1) - 0.4, -0.6)
    heading = f"Paired differences from {reference}, 95 % intervals"
    if any(axes.patches for axes in panels[0]):
        heading += f" (grey: within {MARGIN:.0%} of it)".replace("%", " %")
    if not reference:
        heading = "No differences: the reference is not among the arms"
    above(figure, folded(title or heading))
    notes_below(figure, notes)
    return Drawing(figure, points)


def _differences(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per (arm, swept value): against, and each metric's difference."""
    parts = [
        frame[(frame.metric == metric) & (frame.k == CUTOFF)].reset_index(drop=True)
        for metric in metrics
    ]
    points = parts[0][["arm", *swept_columns(frame), "against"]].copy()
    for metric, part in zip(metrics, parts, strict=True):
        for end, column in ENDS.items():
            points[f"{metric}_{end}"] = part[column]
    return points


def _margin(frame: pd.DataFrame, reference: str, metric: str) -> float:
    """The margin of equivalence; NaN where the reference has several values."""
    rows = (frame.arm == reference) & (frame.metric == metric) & (frame.k == CUTOFF)
    values = frame[rows]["mean"].dropna()
    return MARGIN * abs(float(values.iloc[0])) if len(values) == 1 else np.nan


def draw_line(
    axes: Axes, y: int, numbers: tuple[float, float, float], style: Look
) -> None:
    """Draws a difference, with its interval where it has one."""
    value, low, high = numbers
    ends = np.array([[value - low], [high - value]])
    axes.errorbar(
        *(value, y),
        xerr=None if np.isnan(ends).any() else ends,
        color=style.colour,
        marker=style.marker,
        markersize=6,
        elinewidth=1.2,
    )


def around_zero(axes: Axes, margin: float = np.nan) -> None:
    """Draws the line of no difference, and a band around it as wide as the margin."""
    axes.axvline(0, color=ZERO, linewidth=0.9, zorder=1)
    if not np.isnan(margin):
        axes.axvspan(-margin, margin, color="#000000", alpha=0.07, linewidth=0)
    axes.locator_params(axis="x", nbins=4)


def _marks(swept: Sequence[str]) -> list[str]:
    """What the marks of switches stand for, in one line, if there are any."""
    marks = [f"+{mark}: {name}" for name, mark in SWITCHES.items() if name in swept]
    return ["; ".join(marks)] if marks else []


@styled
def contrasts_figure(contrasts: pd.DataFrame, without: Sequence[str] = ()) -> Drawing:
    """Draws each contrast in the look of its verdict, in groups that share an arm.

    A group has one metric and one reference; or one arm, where the contrasts have fewer
    arms than references.
    """
    arms = contrasts.arm.str.split().str[0]  # without swept values
    far = arms.isin(without) | contrasts.metric.isin(without)
    some = contrasts.difference.notna() & ~far
    shown = contrasts[some].reset_index(drop=True)
    of_one = shown.arm.nunique() < shown.against.nunique()
    shared, other = ("arm", "against") if of_one else ("against", "arm")
    groups = list(shown.groupby(["metric", "k", "over", shared], sort=False))
    lines = len(shown) + len(groups)
    figure, axes = blank(1.6 + LINE * max(lines, 1))
    names: list[str] = []
    for (metric, k, over, cell), part in groups:
        ends = ("", " minus") if of_one else ("difference from ", "")
        name = _short(cell).join(ends)
        names.append(f"{measured(metric, int(k), int(over))}, {name}:")
        for row in part.to_dict("records"):
            numbers = row["difference"], row["low"], row["high"]
            draw_line(axes, len(names), numbers, VERDICTS[row["verdict"]])
            names.append(_short(row[other]))
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        if label.get_text().endswith(":"):
            label.set_fontweight("bold")
    axes.set_ylim(max(lines, 1) - 0.4, -0.6)
    around_zero(axes)
    axes.set(xlabel="difference [95 %]", ylabel="arm")
    handles, counts = [], shown.verdict.value_counts()
    for verdict in [name for name in VERDICTS if name in counts]:
        colour, marker = VERDICTS[verdict]
        label = f"{verdict} ({counts[verdict]})"
        handles += axes.plot([], [], marker, color=colour, label=label)
    legend_above(figure, handles, _found(shown), 4)
    holes = contrasts.difference.isna().sum()
    left_out = [name for name in without if name in {*arms, *contrasts.metric}]
    marks = _marks([name for name in SWITCHES if shown.arm.str.contains(name).any()])
    notes = [*marks, *([f"without data: {holes}"] if holes else [])]
    notes += [f"far off, in the table alone: {name}" for name in left_out]
    notes_below(figure, notes)
    return Drawing(figure, contrasts)


def _found(contrasts: pd.DataFrame) -> str:
    """How many contrasts show a difference, and how many that it is small.

    >>> verdicts = {"verdict": ["worse", "equivalent", "undecided"]}
    >>> _found(pd.DataFrame({**verdicts, "p_equivalence_holm": [0.9, 0.01, 0.2]}))
    '1 of 3 differences is significant; 1 shows equivalence within 2 %'
    """
    if not len(contrasts):
        return "No contrast has data"
    verdicts = contrasts.verdict[contrasts.verdict != UNTESTED]
    if not len(verdicts):
        return "No difference is tested"
    alike = int((contrasts.p_equivalence_holm < ALPHA).sum())
    found = int((~verdicts.isin(["equivalent", "undecided"])).sum())
    be, show = "is" if found == 1 else "are", "shows" if alike == 1 else "show"
    heading = f"{found} of {len(verdicts)} differences {be} significant"
    near = f"; {alike} {show} equivalence within {100 * MARGIN:g} %"
    return heading + (near if alike else "")


def _short(cell: str) -> str:
    """A cell's name with marks for its switches.

    >>> _short("in-batch+logq batch 64 correct_positive 1 leave_own_out 0")
    'in-batch+logq batch 64 +pos'
    """
    for name, mark in SWITCHES.items():
        cell = re.sub(rf" {name} 1\b", f" +{mark}", cell)
        cell = re.sub(rf" {name} 0\b", "", cell)
    return cell
