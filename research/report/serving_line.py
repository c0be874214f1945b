"""Does an arm beat the serving prior? Its recall against the line's, equally popular.

A serving line is one trained model ranked by score / temperature + alpha log q, a cell
an alpha: rows that sweep ``prior``. What it reaches costs no training, so an arm is
better only where its recall is above the line's *at the mean train count of what the
arm recommends*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from research.report.intervals import bounds, resample
from research.report.record_metrics import Key, mean_counted, per_user
from research.report.rows import Row

__all__ = ["PRIOR", "judge", "verdict"]

PRIOR = "prior"
CUTOFF = 20
JUDGED = ("recall", "recall_item")
POPULARITY = "train_count"


class Measured(NamedTuple):
    """A cell's means [m] and shared resamples [r, m] of JUDGED and POPULARITY."""

    mean: Float[ndarray, " m"]
    draws: Float[ndarray, "r m"]


def judge(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns each cell without a prior against each serving line, a row a metric.

    Columns: arm, its swept values, metric, train_count, value; line (the arm served
    with a prior), line_value (the line's at that train count, linear between alphas),
    delta, low, high: their difference with its 95 % interval, users and seeds resampled
    together for both, and the interpolation done anew in each resample. Without numbers
    where the line doesn't reach that train count. Cells with a failed run are left out.
    """
    cells = _cells(rows)
    lines: dict[str, list[Measured]] = {}
    for (arm, swept), cell in cells.items():
        if PRIOR in dict(swept):
            lines.setdefault(arm, []).append(cell)
    out = []
    for (arm, swept), cell in cells.items():
        if PRIOR in dict(swept):
            continue
        for m, metric in enumerate(JUDGED):
            first = {"arm": arm, **dict(swept), "metric": metric}
            first |= {POPULARITY: cell.mean[-1], "value": cell.mean[m]}
            for name, line in lines.items():
                out.append({**first, "line": name, **_against(cell, line, m)})
    fields = list(dict.fromkeys(f for row in rows for f in row.swept if f != PRIOR))
    names = ["arm", *fields, "metric", POPULARITY, "value", "line", "line_value"]
    return pd.DataFrame(out, columns=[*names, "delta", "low", "high"])


def _cells(
    rows: Sequence[Row],
) -> dict[tuple[str, tuple[tuple[str, float], ...]], Measured]:
    groups: dict[tuple[str, tuple[tuple[str, float], ...]], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.arm, tuple(row.swept.items())), []).append(row)
    names = [Key(metric, CUTOFF) for metric in (*JUDGED, POPULARITY)]
    cells = {}
    for key, runs in groups.items():
        records = [r.record for r in sorted(runs, key=lambda r: r.seed) if r.record]
        if len(records) < len(runs):
            continue
        found = [per_user(record) for record in records]
        values = np.stack(
            [np.stack([by[name] for by in found], axis=1) for name in names], axis=2
        )
        means = [mean_counted(values[..., m].ravel()) for m in range(len(names))]
        cells[key] = Measured(np.array(means), resample(values))
    return cells


def _against(cell: Measured, line: Sequence[Measured], m: int) -> dict[str, float]:
    ordered = sorted(line, key=lambda point: point.mean[-1])
    x = np.array([point.mean[-1] for point in ordered])
    if not x[0] <= cell.mean[-1] <= x[-1]:
        return dict.fromkeys(("line_value", "delta", "low", "high"), np.nan)
    value = np.interp(cell.mean[-1], x, [point.mean[m] for point in ordered])
    xs = np.stack([point.draws[:, -1] for point in ordered], axis=1)
    ys = np.stack([point.draws[:, m] for point in ordered], axis=1)
    drawn = [np.interp(a, b, c) for a, b, c in zip(cell.draws[:, -1], xs, ys)]
    low, high = bounds((cell.draws[:, m] - np.array(drawn))[:, None])[:, 0]
    found: dict[str, Any] = {"line_value": value, "delta": cell.mean[m] - value}
    return {name: float(v) for name, v in (found | {"low": low, "high": high}).items()}


def verdict(against: pd.DataFrame) -> str:
    """What the rows of one cell and metric say together, a row a line.

    "better" asks for an interval above zero against every line that reaches the cell.

    >>> verdict(pd.DataFrame({"low": [0.01, float("nan")], "high": [0.02] * 2}))
    'better'
    """
    reached = against.dropna(subset=["low"])
    if reached.empty:
        return "out of reach"
    if (reached.low > 0).all():
        return "better"
    return "worse" if (reached.high < 0).any() else "on the line"
