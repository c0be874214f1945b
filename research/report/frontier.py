"""The frontier of precision and diversity: the front, and who wins at which recall."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from research.evaluate.metrics import Key, mean_counted, per_user
from research.files import beside, replace
from research.report.intervals import bounds, resample
from research.report.pages import csv_text
from research.report.records import RunResult
from research.report.tables import swept_columns, wide

__all__ = [
    "KINDS",
    "PRIOR",
    "cell_name",
    "judge",
    "kinds_of",
    "pareto",
    "verdict",
    "winners",
    "write_frontier",
]

PRIOR = "prior"
CUTOFF = 20
JUDGED = ("recall", "recall_item")
POPULARITY = "train_count"


class Measured(NamedTuple):
    """A cell's means [m] and shared resamples [r, m] of JUDGED and POPULARITY."""

    mean: Float[ndarray, " m"]
    draws: Float[ndarray, "r m"]


def judge(rows: Sequence[RunResult]) -> pd.DataFrame:
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
    rows: Sequence[RunResult],
) -> dict[tuple[str, tuple[tuple[str, float], ...]], Measured]:
    groups: dict[tuple[str, tuple[tuple[str, float], ...]], list[RunResult]] = {}
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


# Kinds of diversity of which more is more diverse, and what an axis calls them.
KINDS = {
    "coverage": "coverage (share of items)",
    "entropy": "entropy of exposure (bits)",
    "ild": "genre distance within a list",
    "novelty": "novelty (bits)",
    "outside_genres": "foreign genres shown (share)",
    "recall_expansion": "recall on foreign genres",
}
FRONTIER_CUTOFF = 20
LEVELS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)  # of the highest recall


def kinds_of(frame: pd.DataFrame) -> list[str]:
    """Returns the kinds of diversity that a long table has."""
    return [name for name in KINDS if name in set(frame.metric)]


def pareto(x: Float[ndarray, " n"], y: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Returns which points no other point beats: more is better on both axes.

    A point is beaten by one that is at least as good on both and better on one; of
    equal points all stay. A point without a value is never on the front.

    >>> pareto(np.array([1.0, 2, 1, 2]), np.array([2.0, 1, 1, 1])).tolist()
    [True, True, False, True]
    """
    there = ~(np.isnan(x) | np.isnan(y))
    least = (x >= x[:, None]) & (y >= y[:, None])
    more = (x > x[:, None]) | (y > y[:, None])
    return np.asarray(there & ~(least & more).any(axis=1))


def winners(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns who is most diverse among those with at least a requested recall@20.

    A row a level and kind: level (a share of the highest recall), least (the recall
    asked for), kind, arm, the swept values, recall, value. Served cells compete too.
    """
    kinds, fields = kinds_of(frame), swept_columns(frame)
    points = wide(frame, ["recall", *kinds], FRONTIER_CUTOFF).dropna(subset=["recall"])
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


def cell_name(arm: str, values: dict[str, float]) -> str:
    """Returns how a table names a cell.

    >>> cell_name("in-batch", {"temperature": 0.1, "prior": -0.5})
    '`in-batch` at 0.1, prior -0.5'
    >>> cell_name("in-batch", {"temperature": 0.1, "prior": float("nan")})
    '`in-batch` at 0.1'
    """
    there = {name: value for name, value in values.items() if not pd.isna(value)}
    at = [f" at {there.pop('temperature'):g}"] if "temperature" in there else [""]
    return f"`{arm}`" + ", ".join([*at, *(f"{n} {v:g}" for n, v in there.items())])


def write_frontier(
    rows: Sequence[RunResult], frame: pd.DataFrame, path: Path
) -> list[Path]:
    """Writes <path>-winners and <path>-line, each as .csv and .md."""
    won, judged = winners(frame), judge(rows)
    texts = {
        "-winners.csv": csv_text(won),
        "-winners.md": _winners_text(won, swept_columns(frame)),
        "-line.csv": csv_text(judged),
        "-line.md": _line_text(judged),
    }
    return [replace(beside(path, name), text.encode()) for name, text in texts.items()]


def _table(title: str, head: list[str], lines: list[list[str]], note: str) -> str:
    rows = [head, ["---"] * len(head), *lines]
    text = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"# {title}", "", *text, "", note, ""])


def _winners_text(won: pd.DataFrame, fields: list[str]) -> str:
    kinds, lines = list(dict.fromkeys(won.kind)), []
    for least, rows in won.groupby("least", sort=False):
        cells = {
            row["kind"]: f"{cell_name(row['arm'], {f: row[f] for f in fields})}:"
            f" {row['value']:.3f}"
            for row in rows.to_dict("records")
        }
        lines.append([f"{least:.3f}", *(cells.get(kind, "-") for kind in kinds)])
    head = [f"recall@{FRONTIER_CUTOFF} at least", *(KINDS[kind] for kind in kinds)]
    note = (
        "Of all arms, temperatures and serving priors with that recall, the one with"
        " the highest mean of each kind. Close ones are not told apart."
    )
    return _table("Which arm wins at a requested precision?", head, lines, note)


def _line_text(judged: pd.DataFrame) -> str:
    fields = [n for n in judged.columns[1 : list(judged.columns).index("metric")]]
    names = list(dict.fromkeys(judged.line))
    head = ["arm", "mean train count", "metric", "value"]
    head += [*(f"against `{name}` + prior" for name in names), "verdict"]
    lines = []
    for _, rows in judged.groupby(["arm", *fields, "metric"], sort=False, dropna=False):
        first = rows.iloc[0]
        cell = cell_name(first["arm"], {f: first[f] for f in fields if f != PRIOR})
        deltas = [
            "-" if pd.isna(r.delta) else f"{r.delta:+.4f} [{r.low:+.4f}, {r.high:+.4f}]"
            for r in rows.itertuples(index=False)
        ]
        named = "recall" if first["metric"] == JUDGED[0] else "item recall"
        values = [
            f"{first[POPULARITY]:.0f}",
            f"{named}@{FRONTIER_CUTOFF}",
            f"{first.value:.4f}",
        ]
        lines.append([cell, *values, *deltas, verdict(rows)])
    note = (
        "Difference from the serving line at the arm's own mean train count, with its"
        " 95 % interval over users and seeds; - where the line doesn't reach that"
        " popularity. better: above every line that does."
    )
    return _table("Does an arm beat the serving prior?", head, lines, note)
