"""The figures of a grid: each prepares a tidy frame, and declares how it is drawn.

Titles name what is shown. Which arm is better is for contrasts to say, by a verdict
(research/report/contrasts.py), and is drawn as differences.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from research.evaluate.metrics import CUTOFF, METRICS
from research.report.contrasts import MARGIN, UNTESTED, measured
from research.report.frontier import JUDGED, KINDS, POPULARITY, PRIOR, pareto
from research.report.intervals import ALPHA
from research.report.pages import QUICK_MARK
from research.report.pictures import Drawing, folded, look
from research.report.plots import Plot, draw
from research.report.records import RunResult
from research.report.tables import (
    UNMEASURED,
    cell_label,
    swept_columns,
    wide,
    without_levels,
)
from research.types import InputError

PLAIN = 95  # characters of a note that fit the width
NOTES = 4  # below a figure, so that they leave room for it
SWITCHES = {  # their marks in names of rows, where whole names would take all the room
    "correct_positive": "pos",
    "leave_own_out": "own",
    "expected_count": "n",
}
ENDS = {"delta": "", "delta_low": "_low", "delta_high": "_high"}
DIVERSITY = ("coverage", "ild")
NOTHING: Mapping[str, float] = MappingProxyType({})
Line = Float[ndarray, "n 2"]


def forest_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    metrics: Sequence[str] = JUDGED,
    without: Sequence[str] = (),
) -> Drawing:
    """Draws each arm's paired difference from the reference, one panel per metric.

    The shaded band is 2 % of the reference's value, where that is one value. Arms named
    by ``without`` are left out, as those that would stretch the axes.
    """
    frame = frame[~frame.arm.isin(without)]
    swept, reference = swept_columns(frame), next(filter(None, frame.against), "")
    parts = []
    for metric in metrics:
        rows = frame[(frame.metric == metric) & (frame.k == CUTOFF)]
        own = rows[rows.arm == reference]["mean"].dropna()
        margin = MARGIN * abs(float(own.iloc[0])) if len(own) == 1 else np.nan
        ends = {old: f"difference{end}" for old, end in ENDS.items()}
        part = rows.rename(columns=ends).assign(margin=margin)
        parts.append(part.assign(metric=METRICS[metric].title(CUTOFF)))
    points = pd.concat(parts).dropna(subset=["difference"]).reset_index(drop=True)
    names = [_row_name(row, swept) for row in points.to_dict("records")]
    points = points.assign(name=names)
    heading = f"Paired differences from {reference}, 95 % intervals"
    if points.margin.notna().any():
        heading += f" (grey: within {100 * MARGIN:g} % of it)"
    if not reference:
        heading = "No differences: the reference is not among the arms"
    plot = Plot(
        *("forest", "difference", "name", "arm"),
        facet="metric",
        own="x",
        title=title or heading,
        xlabel="difference in",
        ylabel="arm and swept values" if swept and len(points) > 3 else "arm",
    )
    notes = [*_marks(swept), *unfinished(wide(frame, metrics, CUTOFF), swept)]
    shown = ["arm", *swept, "name", "metric", "difference"]
    shown += ["difference_low", "difference_high", "margin"]
    return draw(plot, points[shown], notes, legend=False)


def contrasts_figure(contrasts: pd.DataFrame, without: Sequence[str] = ()) -> Drawing:
    """Draws each contrast in the colour of its verdict, in groups that share an arm.

    A group has one metric and one reference; or one arm, where the contrasts have fewer
    arms than references. ``without`` names arms and metrics that are left out, as those
    that would stretch the axis.
    """
    arms = contrasts.arm.str.split().str[0]  # without swept values
    far = arms.isin(without) | contrasts.metric.isin(without)
    shown = contrasts[contrasts.difference.notna() & ~far].reset_index(drop=True)
    of_one = shown.arm.nunique() < shown.against.nunique()
    shared, other = ("arm", "against") if of_one else ("against", "arm")
    before, after = ("", " minus:") if of_one else ("difference from ", ":")
    groups = [
        f"{measured(row['metric'], int(row['k']), int(row['over']))}, "
        f"{before}{_short(row[shared])}{after}"
        for row in shown.to_dict("records")
    ]
    counts = shown.verdict.value_counts()
    points = shown.assign(
        group=groups,
        name=shown[other].map(_short),
        difference_low=shown.low,
        difference_high=shown.high,
        verdict=[f"{v}, {counts[v]} of {len(shown)}" for v in shown.verdict],
    )
    plot = Plot(
        *("forest", "difference", "name", "verdict"),
        row="group",
        title=_found(shown),
        xlabel="difference [95 %]",
        ylabel="arm",
    )
    holes = contrasts.difference.isna().sum()
    notes = _marks([name for name in SWITCHES if shown.arm.str.contains(name).any()])
    notes += [f"without data: {holes}"] if holes else []
    left_out = [name for name in without if name in {*arms, *contrasts.metric}]
    notes += [f"far off, in the table alone: {name}" for name in left_out]
    return draw(plot, points, notes)._replace(points=contrasts)


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


def arms_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    across: str = "train_count",
    up: str = "recall",
) -> Drawing:
    """Draws one metric with its interval against another, at cut-off 20.

    One point per arm (and swept value, if the table has any), named beside it; a dashed
    line marks the reference arm. Failed cells are named below the axis.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      title: the heading; by default, what is shown.
      across: the metric along the horizontal axis.
      up: the metric along the vertical one.
    """
    points, swept = wide(frame, [up, across], CUTOFF), swept_columns(frame)
    reference = next(filter(None, frame.against), "")
    shown = points.dropna(subset=[up, across]).reset_index(drop=True)
    names = [
        cell_label(row, swept) + (" (reference)" if row["arm"] == reference else "")
        for row in shown.to_dict("records")
    ]
    ends = [f"{across}_low", f"{across}_high"]  # intervals of one metric are enough
    shown = shown.assign(name=names).drop(columns=ends)

    def level(axes: Axes, rows: pd.DataFrame) -> None:
        for y in rows[rows.arm == reference][up]:
            style: Any = {"linestyle": (0, (4, 4)), "linewidth": 0.9, "zorder": 1}
            axes.axhline(y, color=look(reference).colour, **style)

    heading = f"{METRICS[up].title(CUTOFF)} and {METRICS[across].title(CUTOFF)}, by arm"
    plot = Plot(
        *("scatter", across, up, "arm"),
        label="name",
        title=title or heading,
        xlabel=METRICS[across].axis(CUTOFF),
        ylabel=f"{METRICS[up].axis(CUTOFF)}, with 95 % interval",
        size=1.6,
    )
    drawing = draw(plot, shown, unfinished(points, swept), level, legend=False)
    return drawing._replace(points=points)


def unfinished(points: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """A line for each point without a value: a figure must not hide a hole.

    >>> unfinished(pd.DataFrame({"arm": ["a"], "note": ["failed: why (seed 1)"]}), [])
    ['not shown: a, failed: why (seed 1)']
    """
    holes = points.note.str.contains(f"^failed|{UNMEASURED}")
    rows = points[holes].to_dict("records")
    lines = [f"not shown: {cell_label(row, swept)}, {row['note']}" for row in rows]
    if len(lines) > NOTES:
        rest = f"and {len(lines) - NOTES + 1} more; see the table"
        lines = [*lines[: NOTES - 1], rest]
    return [folded(line, PLAIN) for line in lines]


def _row_name(row: Mapping[Hashable, Any], swept: Sequence[str]) -> str:
    """The arm, its swept values, and the marks of its switches that are on.

    >>> _row_name({"arm": "a", "size": 64.0, "leave_own_out": 1.0},
    ...           ["size", "leave_own_out"])
    'a, size 64 +own'
    """
    marks = [(name, mark) for name, mark in SWITCHES.items() if name in swept]
    on = [f" +{mark}" for name, mark in marks if row[name] > 0]
    return cell_label(row, [name for name in swept if name not in SWITCHES]) + "".join(
        on
    )


def _marks(swept: Sequence[str]) -> list[str]:
    """What the marks of switches stand for, in one line, if there are any."""
    marks = [f"+{mark}: {name}" for name, mark in SWITCHES.items() if name in swept]
    return ["; ".join(marks)] if marks else []


def _short(cell: str) -> str:
    """A cell's name with marks for its switches.

    >>> _short("in-batch+logq batch 64 correct_positive 1 leave_own_out 0")
    'in-batch+logq batch 64 +pos'
    """
    for name, mark in SWITCHES.items():
        cell = re.sub(rf" {name} 1\b", f" +{mark}", cell)
        cell = re.sub(rf" {name} 0\b", "", cell)
    return cell


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
      metrics: of the panels.
      columns: panels beside each other.
      height: of a panel, in inches.
      label: of the horizontal axis; by default the swept field.
      without: further swept fields, whose cells are left out.
      at: values of further swept fields, whose cells alone are drawn.
    """
    kept = frame[list(without)].isna().all(axis=1)
    for field, value in at.items():
        kept &= frame[field] == value
    frame = frame[kept].drop(columns=[*without, *at])
    shown = [name for name in metrics if name in set(frame.metric)]
    points = along(frame, shown, swept)
    some = " and ".join(METRICS[name].title(CUTOFF) for name in shown[:2])
    some = some if len(shown) < 3 else f"{METRICS[shown[0]].title(CUTOFF)} and others"
    plot = Plot(
        *("lines", swept, "value", "arm"),
        facet="metric",
        band=True,
        title=title or f"{some[0].upper()}{some[1:]} by {label or swept}",
        xlabel=label or swept,
        ylabel="mean",
        logx=bool(points[swept].min() > 0),
        own="y",
        columns=columns,
        size=height / 2.6,
    )
    notes = unfinished(points, [swept])
    return draw(plot, _tidy(points, shown, swept), notes)._replace(points=points)


def _tidy(points: pd.DataFrame, metrics: Sequence[str], swept: str) -> pd.DataFrame:
    """A row for each point and metric, named as on a panel."""
    parts = []
    for metric in metrics:
        ends = {f"{metric}{end}": f"value{end}" for end in ("", "_low", "_high")}
        part = points[["arm", swept, *ends]].rename(columns=ends)
        name = METRICS[metric].title(CUTOFF)
        parts.append(part.assign(metric=name[0].upper() + name[1:]))
    return pd.concat(parts, ignore_index=True)


def along(frame: pd.DataFrame, metrics: Sequence[str], swept: str) -> pd.DataFrame:
    """The metrics by arm, in the table's order, then by rising swept value."""
    if swept not in frame.columns or frame[swept].isna().all():
        raise ValueError(f"the table does not sweep {swept}")
    points = without_levels(wide(frame, metrics, CUTOFF), swept)
    if points.duplicated(["arm", swept]).any():
        raise ValueError(f"an arm has several points at one {swept}: sweep one field")
    arms = {arm: n for n, arm in enumerate(dict.fromkeys(points.arm))}
    order = points.assign(arm=points.arm.map(arms)).sort_values(["arm", swept])
    return points.loc[order.index].reset_index(drop=True)


def tradeoff_figure(
    frame: pd.DataFrame,
    title: str | None = None,
    swept: str = "temperature",
    kinds: Sequence[str] = DIVERSITY,
) -> Drawing:
    """Draws recall@20 against kinds of diversity, one panel each.

    The points of an arm are joined along the swept value, which is written beside its
    ends and its peak in recall.

    Args:
      frame: a long table with the swept column.
      title: the heading; by default, what is shown.
      swept: the column along which points are joined.
      kinds: metrics of the panels, two beside each other.
    """
    points = along(frame, ("recall", *kinds), swept)
    turns: set[Any] = set()
    for _, line in points.dropna(subset=["recall"]).groupby("arm", sort=False):
        turns |= {line.recall.idxmax(), line.index[0], line.index[-1]}
    texts = [
        f"{value:g}" if n in turns and not pd.isna(value) else ""
        for n, value in points[swept].items()
    ]
    parts = [
        points[["arm", swept, "recall"]].assign(
            diversity=points[kind], kind=METRICS[kind].axis(CUTOFF), text=texts
        )
        for kind in kinds
    ]
    names = [METRICS[kind].title(CUTOFF) for kind in kinds]
    some = " and ".join(names) if len(names) < 3 else "each of the metrics below"
    plot = Plot(
        *("lines", "diversity", "recall", "arm"),
        facet="kind",
        label="text",
        title=title or f"Recall against {some}, along {swept}",
        xlabel=" ",
        ylabel=METRICS["recall"].axis(CUTOFF),
        own="x",
        size=1.25,
    )
    tidy = pd.concat(parts, ignore_index=True)
    return draw(plot, tidy, unfinished(points, [swept]))._replace(points=points)


def frontier_figure(
    frame: pd.DataFrame, judged: str = "recall", without: Sequence[str] = ()
) -> Drawing:
    """Draws recall@20 against kinds of diversity, a point per arm and temperature.

    The Pareto front of the trained arms is dashed, dominated arms are pale, serving
    lines are thin. Further right and up is better on both. ``without`` names arms that
    are left out, as those that would stretch the axes.
    """
    kinds = [kind for kind in KINDS if kind in set(frame.metric)]
    points = wide(frame[~frame.arm.isin(without)], [judged, *kinds], CUTOFF)
    trained, parts = points[points[PRIOR].isna()], []
    for kind in kinds:
        on = pareto(trained[kind].to_numpy(), trained[judged].to_numpy())
        part = trained[["arm", judged]].assign(diversity=trained[kind], pale=~on)
        parts.append(part.assign(kind=METRICS[kind].axis(CUTOFF)))
    panels = iter(kinds)

    def behind(axes: Axes, rows: pd.DataFrame) -> None:
        front = rows[~rows.pale].sort_values("diversity")
        dashes: Any = {"color": "#777777", "linewidth": 1.1}
        axes.plot(front.diversity, front[judged], "--", **dashes)
        _draw_serving(axes, points, next(panels), judged)

    name = METRICS[judged].title(CUTOFF)
    heading = f"{name[0].upper()}{name[1:]} by kind of diversity (pale: behind the"
    plot = Plot(
        *("scatter", "diversity", judged, "arm"),
        facet="kind",
        title=f"{heading} dashed front; lines: served with a prior, -1 to 1)",
        xlabel=" ",
        ylabel=name,
        own="x",
        columns=3,
        size=0.85,
    )
    shown = pd.concat(parts, ignore_index=True)
    return draw(plot, shown, (), behind)._replace(points=points)


def serving_figure(frame: pd.DataFrame, without: Sequence[str] = ()) -> Drawing:
    """Draws both recalls against the average recommendation popularity.

    The lines are the two models served with a prior from -1 to 1. An arm whose mean
    lies above every line that reaches its popularity is solid, the others are pale;
    the table of the line says for which that is significant.
    """
    points = wide(frame[~frame.arm.isin(without)], [*JUDGED, POPULARITY], CUTOFF)
    trained, parts = points[points[PRIOR].isna()], []
    for metric in JUDGED:
        lines = [line for _, line in _serving(points, POPULARITY, metric)]
        cells = zip(trained[POPULARITY], trained[metric])
        part = trained[["arm", POPULARITY]].assign(value=trained[metric])
        part = part.assign(pale=[not _is_above(lines, x, y) for x, y in cells])
        parts.append(part.assign(metric=METRICS[metric].title(CUTOFF)))
    panels = iter(JUDGED)

    def behind(axes: Axes, rows: pd.DataFrame) -> None:
        _draw_serving(axes, points, POPULARITY, next(panels))

    heading = "Arms at their own temperatures beside models served with a prior"
    plot = Plot(
        *("scatter", POPULARITY, "value", "arm"),
        facet="metric",
        title=f"{heading} (lines: -1 to 1; pale: the mean is not above them)",
        xlabel=METRICS[POPULARITY].title(CUTOFF),
        ylabel="mean",
        own="y",
        size=1.3,
    )
    served, notes = points.dropna(subset=[PRIOR]).get("temperature"), []
    if served is not None and served.nunique() == 1:
        values = sorted(trained.temperature.dropna().unique())
        at = f"the lines' models: temperature {served.iloc[0]:g}"
        notes = [f"{at}; points: {', '.join(f'{value:g}' for value in values)}"]
    shown = pd.concat(parts, ignore_index=True)
    return draw(plot, shown, notes, behind)._replace(points=points)


def _serving(points: pd.DataFrame, x: str, y: str) -> Iterator[tuple[str, Line]]:
    """Each arm that was served with priors, and the points of its line by prior."""
    for arm, line in points.dropna(subset=[PRIOR, x, y]).groupby("arm", sort=False):
        yield str(arm), line.sort_values(PRIOR)[[x, y]].to_numpy(np.float64)


def _draw_serving(axes: Axes, points: pd.DataFrame, x: str, y: str) -> None:
    for arm, line in _serving(points, x, y):
        axes.plot(*line.T, color=look(arm).colour, linewidth=1.3, zorder=1.5)


def _is_above(lines: Sequence[Line], x: float, y: float) -> bool:
    """Whether a point lies above every line that reaches it, and some line does."""
    lines = [line[np.argsort(line[:, 0])] for line in lines]
    levels = [np.interp(x, line[:, 0], line[:, 1], np.nan, np.nan) for line in lines]
    reached = [level for level in levels if not np.isnan(level)]
    return bool(reached and y > max(reached))


def history_frame(results: Sequence[RunResult]) -> pd.DataFrame:
    """The training curves of runs: one row per run and epoch.

    Columns: arm, one per swept field, seed, then those of history.csv
    (docs/metrics.md). Runs without a curve, such as baselines, have no rows.

    Args:
      results: of ``compare``, ``load_run`` or ``load_records``.

    Raises:
      InputError: no run has a curve.
    """
    parts = [
        pd.DataFrame({"arm": run.arm, **run.swept, "seed": run.seed, **run.history})
        for run in results
        if run.history
    ]
    if not parts:
        raise InputError("no run has a training curve: baselines have none")
    return pd.concat(parts, ignore_index=True)


def history_figure(
    results: Sequence[RunResult], columns: Sequence[str] = ("loss", "item_uniformity")
) -> Drawing:
    """Draws learning curves, one panel per column: means over seeds by epoch.

    Swept values of an arm share its colour and differ in their dashes.

    Args:
      results: of ``compare``, ``load_run`` or ``load_records``.
      columns: of ``history_frame``.

    Raises:
      InputError: no run has a curve, or none has such a column.
    """
    frame = history_frame(results)
    for name in columns:
        if name not in frame:
            raise InputError(f"no curve of {name}: choose {', '.join(frame.columns)}")
    fields = list(dict.fromkeys(name for r in results for name in r.swept))
    cells = [cell_label(row, fields) for row in frame.to_dict("records")]
    means = frame.assign(cell=cells).groupby(["cell", "epoch"], sort=False)
    parts = [
        means[name].mean().rename("mean").reset_index().assign(curve=name)
        for name in columns
    ]
    plot = Plot(
        *("lines", "epoch", "mean", "cell"),
        facet="curve",
        own="y",
        title="Learning curves"
        + (": means over seeds" if frame.seed.nunique() > 1 else ""),
        ylabel="mean of the runs",
    )
    return draw(plot, pd.concat(parts, ignore_index=True))._replace(points=frame)


def mark_quick(figure: Figure) -> None:
    """Writes across a figure that it shows a smoke run; no layout changes by it."""
    style: Any = {"ha": "center", "va": "center", "rotation": 20, "alpha": 0.25}
    figure.text(0.5, 0.5, QUICK_MARK, fontsize=28, color="#888888", **style)
