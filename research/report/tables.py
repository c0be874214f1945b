"""The long table of a grid: what its files and figures are derived from."""

from collections.abc import Sequence

import pandas as pd

from research.report.cells import (
    Cell,
    cell_keys,
    compare,
    estimate,
    measure,
    swept_fields,
)
from research.report.record_metrics import Key, mean_counted
from research.report.rows import Row

__all__ = [
    "DIRECTED",
    "LEADING",
    "NUMBER",
    "TEXT",
    "TRAILING",
    "WHOLE",
    "long_form",
    "marks",
    "swept_columns",
    "table",
    "wide",
]

LEADING = ["arm", "metric", "k", "mean", "low", "high", "seeds", "users"]
TRAILING = ["against", "delta", "delta_low", "delta_high", "note"]
TEXT = ("arm", "metric", "against", "note")
WHOLE = ("k", "seeds", "users")
NUMBER = "%.6g"  # finer than any interval here, coarser than what machines differ in
# Metrics in which more is better. The others describe lists, and neither end is good.
DIRECTED = (
    *("recall", "ndcg", "hit", "mrr"),
    *("recall_head", "recall_torso", "recall_tail", "recall_item"),
    "recall_expansion",
)


def table(
    rows: Sequence[Row], reference: str, swept: Sequence[str] = ()
) -> pd.DataFrame:
    """Returns the long table of a grid: one row an (arm, swept value, metric, cut-off).

    Columns: arm, metric, k, mean, low, high, seeds, users; one a swept field; against,
    delta, delta_low, delta_high: the paired difference from the reference arm at the
    same swept value, else where it has none swept, else empty; note. A cell with a
    failed run has no mean, 0 seeds and the note "failed: <reason> (seed n)". Numbers
    carry 6 significant digits, so that the file read back is the table.

    Raises:
      ValueError: runs that don't make one table; see ``measure``.
    """
    return long_form(measure(rows, swept), reference, swept_fields(rows, swept))


def long_form(
    cells: Sequence[Cell], reference: str, swept: Sequence[str]
) -> pd.DataFrame:
    """Returns the long table of measured cells; see ``table``."""
    references = {cell.swept: cell for cell in cells if cell.arm == reference}
    unswept: tuple[float | None, ...] = (None,) * len(swept)
    lines: list[dict[str, object]] = []
    for cell in cells:
        other = references.get(cell.swept) or references.get(unswept)
        for key in cell_keys(cells):
            line: dict[str, object] = {
                "arm": cell.arm,
                "metric": key.metric,
                "k": key.k,
            }
            line |= dict(zip(swept, cell.swept, strict=True))
            line |= _numbers(cell, key) | _difference(cell, other, key)
            lines.append(line)
    return _typed(pd.DataFrame(lines, columns=[*LEADING, *swept, *TRAILING]))


def _numbers(cell: Cell, key: Key) -> dict[str, object]:
    if cell.failed:
        return {"seeds": 0, "users": 0, "note": cell.failed}
    users = cell.users[key]
    note = "" if users else "no user counts"
    counts = {"seeds": len(cell.seeds), "users": users, "note": note}
    return estimate(cell, key)._asdict() | counts


def _difference(cell: Cell, other: Cell | None, key: Key) -> dict[str, object]:
    if other is None or other is cell or cell.failed:
        return {}
    if other.failed:
        return {"note": f"no difference: {other.arm} {other.failed}"}
    delta = compare(cell, other, key)
    return {
        "against": other.arm,
        "delta": delta.mean,
        "delta_low": delta.low,
        "delta_high": delta.high,
    }


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the frame in the types and the digits that its file gives back."""
    out = {}
    for name in frame.columns:
        if name in TEXT:
            out[name] = frame[name].astype(object).fillna("").astype(str)
        elif name in WHOLE:
            out[name] = frame[name].astype("int64")
        else:
            numbers = frame[name].astype("float64")
            # + 0.0 turns a difference of -0 into 0
            out[name] = numbers.map(lambda x: float(NUMBER % x) + 0.0)
    return pd.DataFrame(out)


def swept_columns(frame: pd.DataFrame) -> list[str]:
    """Returns the names of a long table's swept fields.

    >>> swept_columns(pd.DataFrame(columns=[*LEADING, "temperature", *TRAILING]))
    ['temperature']
    """
    return [name for name in frame.columns if name not in (*LEADING, *TRAILING)]


def marks(cells: Sequence[Cell]) -> "pd.Series[str]":
    """Returns "best", "tie" or "" for each row of the cells' long table, in its order.

    Only metrics with a better end are marked, at each cut-off. A tie is a cell whose
    paired 95 % interval against the best cell includes zero. Nothing is marked where
    cells are over different users, as where a sweep changes what is held out: there is
    no pairing.
    """
    found: dict[tuple[int, Key], str] = {}
    for key in cell_keys(cells):
        if key.metric not in DIRECTED:
            continue
        means = {
            n: mean_counted(cell.means[key])
            for n, cell in enumerate(cells)
            if not cell.failed and cell.users[key]
        }
        if len({cells[n].users[key] for n in means}) != 1:
            continue
        best = max(means, key=means.__getitem__)
        for n in means:
            gap = compare(cells[n], cells[best], key)
            if gap.low <= 0 <= gap.high:
                found[n, key] = "best" if n == best else "tie"
    order = [(n, key) for n in range(len(cells)) for key in cell_keys(cells)]
    return pd.Series([found.get(place, "") for place in order], dtype=str)


def wide(frame: pd.DataFrame, metrics: Sequence[str], k: int) -> pd.DataFrame:
    """Returns one row an (arm, swept value), in the table's order, at one cut-off.

    Columns: arm, the swept fields, then for each metric its mean under its own name,
    <metric>_low and <metric>_high; note says why a row has no values.
    """
    swept = swept_columns(frame)
    out: pd.DataFrame | None = None
    for metric in metrics:
        part = frame[(frame.metric == metric) & (frame.k == k)].reset_index(drop=True)
        if out is None:
            out = part[["arm", *swept, "note"]].copy()
        elif len(part) != len(out):
            raise ValueError(f"the table lacks {metric}@{k} for some arm")
        for source, name in (("mean", ""), ("low", "_low"), ("high", "_high")):
            out[metric + name] = part[source]
    if out is None or out.empty:
        raise ValueError(f"the table has no {metrics[0] if metrics else ''}@{k}")
    return out[[name for name in out.columns if name != "note"] + ["note"]]
