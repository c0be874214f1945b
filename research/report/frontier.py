"""The frontier of precision and diversity: the Pareto front, and winners by recall."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from research.contrast import cell_name as named_cell
from research.contrast import slug
from research.evaluate.metrics import CUTOFF, METRICS
from research.report.contrasts import UNTESTED
from research.report.intervals import ALPHA, holm, two_way
from research.report.pages import (
    EMPTY,
    interval_text,
    markdown_page,
    markdown_table,
    write_texts,
)
from research.report.records import RunResult
from research.report.tables import (
    by_cell,
    swept_columns,
    swept_fields,
    values_of,
    wide,
)

PRIOR = "prior"
JUDGED = ("recall", "recall_item")
POPULARITY = "train_count"
# Kinds of diversity of which more is more diverse.
KINDS = ("coverage", "entropy", "ild", "novelty", "outside_genres", "recall_expansion")


class Measured(NamedTuple):
    """A cell's JUDGED and POPULARITY, by user and seed, and their means."""

    mean: Float[ndarray, " m"]
    values: Float[ndarray, "m u s"]


def judge(results: Sequence[RunResult]) -> pd.DataFrame:
    """Each cell without a prior against each serving line, one row per metric.

    Columns: arm, its swept values, metric, train_count, value; line (the arm served
    with a prior), line_value (of the line at that train_count, linear between priors),
    delta, low, high: their difference with its 95 % interval, paired by user and seed;
    p, and p_holm, adjusted by Holm over all rows; id. Numbers are NaN where the line
    doesn't reach that train_count, and so is p of a cell that is a point of the line.
    Cells with a failed run are left out.
    """
    lines: dict[str, list[Measured]] = {}
    judged: list[tuple[RunResult, Measured]] = []
    for runs in by_cell(results).values():
        if all(run.record for run in runs):
            every = [values_of(runs, name, CUTOFF) for name in (*JUDGED, POPULARITY)]
            cell = Measured(two_way(np.array(every)).mean, np.array(every))
            if PRIOR in runs[0].swept:
                lines.setdefault(runs[0].arm, []).append(cell)
            else:
                judged.append((runs[0], cell))
    out = []
    for run, cell in judged:
        for m, metric in enumerate(JUDGED):
            first = {"arm": run.arm, **run.swept, "metric": metric}
            first |= {POPULARITY: cell.mean[-1], "value": cell.mean[m]}
            for name, line in lines.items():
                place = f"{named_cell(run.arm, run.swept)} vs {name} prior {metric}"
                row = {"id": slug(place), **first, "line": name}
                out.append(row | _against(cell, line, m))
    fields = [name for name in swept_fields(results) if name != PRIOR]
    names = ["id", "arm", *fields, "metric", POPULARITY, "value", "line", "line_value"]
    frame = pd.DataFrame(out, columns=[*names, "delta", "low", "high", "p"])
    return frame.assign(p_holm=holm(frame.p.to_numpy(np.float64)))


def _against(cell: Measured, line: Sequence[Measured], m: int) -> dict[str, float]:
    """The cell's height above the line at its own popularity, with its interval.

    The height is no mean of users and seeds, but nearly linear in such means: with the
    segment's slope b and the place w of the cell on it, it moves as the mean over users
    and seeds of y - (1 - w) y0 - w y1 - b (x - (1 - w) x0 - w x1) does (the delta
    method), whose variance is known.
    """
    ordered = sorted(line, key=lambda point: point.mean[-1])
    xs, x = np.array([point.mean[-1] for point in ordered]), cell.mean[-1]
    if not xs[0] <= x <= xs[-1]:
        return dict.fromkeys(("line_value", "delta", "low", "high", "p"), np.nan)
    n = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    left, right = ordered[n], ordered[n + 1]
    w = (x - xs[n]) / (xs[n + 1] - xs[n])
    rise = right.mean[m] - left.mean[m]
    value = left.mean[m] + w * rise
    y, popularity = (
        cell.values[i] - (1 - w) * left.values[i] - w * right.values[i] for i in (m, -1)
    )
    moved = y - rise / (xs[n + 1] - xs[n]) * popularity
    estimate = two_way(moved)
    delta, low, high = map(float, estimate.interval())
    row = {"line_value": float(value), "delta": delta, "low": low, "high": high}
    # a cell that is a point of the line is not compared, and one seed tests nothing
    tested = np.any(moved) and moved.shape[-1] > 1
    return row | {"p": float(estimate.p()) if tested else np.nan}


def verdict(against: pd.DataFrame) -> str:
    """The verdict on one cell and metric from its rows, one per serving line.

    "better" needs a higher value, significant after Holm, against every line that
    reaches the cell. Without a test, as with one seed, there is none.

    >>> nan = float("nan")
    >>> verdict(pd.DataFrame({"delta": [0.01, nan], "p_holm": [0.02, nan]}))
    'better'
    """
    reached = against.dropna(subset=["delta"])
    if reached.empty:
        return "out of reach"
    if (reached.p_holm.isna() & (reached.delta != 0)).any():
        return UNTESTED
    significant = reached.p_holm < ALPHA
    if (significant & (reached.delta > 0)).all():
        return "better"
    return "worse" if (significant & (reached.delta < 0)).any() else "on the line"


LEVELS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)  # of the highest recall


def pareto(x: Float[ndarray, " n"], y: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Which points are on the Pareto front: more is better on both axes.

    A point is not if another is at least as good on both and better on one; of equal
    points all are. A point without a value never is.

    >>> pareto(np.array([1.0, 2, 1, 2]), np.array([2.0, 1, 1, 1])).tolist()
    [True, True, False, True]
    """
    there = ~(np.isnan(x) | np.isnan(y))
    least = (x >= x[:, None]) & (y >= y[:, None])
    more = (x > x[:, None]) | (y > y[:, None])
    return np.asarray(there & ~(least & more).any(axis=1))


def winners(frame: pd.DataFrame) -> pd.DataFrame:
    """The most diverse cell among those with at least a requested recall@20.

    One row per level and kind: level (a share of the highest recall), least (the recall
    at it), kind, arm, the swept values, recall, value. Served cells compete too.
    """
    kinds = [kind for kind in KINDS if kind in set(frame.metric)]
    fields = swept_columns(frame)
    points = wide(frame, ["recall", *kinds], CUTOFF).dropna(subset=["recall"])
    out = []
    for level in LEVELS:
        least = level * points.recall.max()
        enough = points[points.recall >= least]
        for kind in kinds:
            if enough[kind].notna().any():
                best = enough.loc[enough[kind].idxmax()]
                line = {"level": level, "least": least, "kind": kind}
                line |= {name: best[name] for name in ("arm", *fields, "recall")}
                out.append(line | {"value": best[kind]})
    names = ["level", "least", "kind", "arm", *fields, "recall", "value"]
    return pd.DataFrame(out, columns=names)


def cell_name(row: Mapping[Hashable, Any], fields: Sequence[str]) -> str:
    """The name of a cell in a table: its arm, and its values of the fields.

    >>> cell_name({"arm": "in-batch", "temperature": 0.1, "prior": -0.5},
    ...           ["temperature", "prior"])
    '`in-batch` at 0.1, prior -0.5'
    """
    values = {name: row[name] for name in fields if not pd.isna(row[name])}
    at = [f" at {values.pop('temperature'):g}"] if "temperature" in values else [""]
    name = f"`{row['arm']}`"
    return name + ", ".join([*at, *(f"{n} {v:g}" for n, v in values.items())])


def write_frontier(
    results: Sequence[RunResult], frame: pd.DataFrame, path: Path
) -> list[Path]:
    """Writes <path>-winners and <path>-line, each as .csv and .md."""
    won, judged = winners(frame), judge(results)
    pages = _winners_page(won, swept_columns(frame)), _line_page(judged)
    texts = {"-winners.csv": won, "-winners.md": pages[0]}
    return write_texts(path, {**texts, "-line.csv": judged, "-line.md": pages[1]})


def _winners_page(won: pd.DataFrame, fields: list[str]) -> str:
    kinds, lines = list(dict.fromkeys(won.kind)), []
    for least, rows in won.groupby("least", sort=False):
        cells = {
            row["kind"]: f"{cell_name(row, fields)}: {row['value']:.3f}"
            for row in rows.to_dict("records")
        }
        lines.append([f"{least:.3f}", *(cells.get(kind, EMPTY) for kind in kinds)])
    headings = [f"{METRICS['recall'].title(CUTOFF)} at least"]
    headings += [METRICS[kind].axis(CUTOFF) for kind in kinds]
    return markdown_page(
        "Which arm wins at a requested precision?",
        markdown_table(headings, lines),
        "Of all arms, temperatures and popularity priors with that recall, the one with"
        " the highest mean of each kind. Close ones are not told apart.",
    )


def _line_page(judged: pd.DataFrame) -> str:
    fields = list(judged.columns[2 : list(judged.columns).index("metric")])
    names = dict.fromkeys(judged.line)
    headings = ["arm", f"mean {METRICS[POPULARITY].heading(CUTOFF)}", "metric", "value"]
    headings += [*(f"against `{name}` + prior" for name in names), "verdict"]
    lines = []
    for _, rows in judged.groupby(["arm", *fields, "metric"], sort=False, dropna=False):
        first = rows.iloc[0].to_dict()
        name = METRICS[first["metric"]].title(CUTOFF)
        line = [cell_name(first, fields), f"{first[POPULARITY]:.0f}", name]
        intervals = [
            f'<a id="{row.id}"></a>'
            + interval_text(row.delta, row.low, row.high, "+.4f")
            for row in rows.itertuples()
        ]
        lines.append([*line, f"{first['value']:.4f}", *intervals, verdict(rows)])
    return markdown_page(
        "Does an arm beat a popularity prior?",
        markdown_table(headings, lines),
        "Difference from the serving line at the arm's own average recommendation"
        " popularity, with its 95 % interval over users and seeds; - where the line"
        " doesn't reach that popularity. better: above every line that does,"
        f" significantly after Holm over the {judged.p.notna().sum()} differences of"
        " this page. An arm at another temperature than the line's may"
        " differ by the temperature.",
    )
