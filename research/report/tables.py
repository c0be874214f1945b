"""The long table of a grid, from which its files and figures are derived."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from research.evaluate.metrics import Key
from research.report.cells import (
    TEMPERATURE,
    UNMEASURED,
    CellSummary,
    intervals,
    judged_alike,
    measure,
    swept_fields,
    table_keys,
)
from research.report.intervals import Interval
from research.report.records import RunResult
from research.types import choose

LEADING = ["arm", "metric", "k", "mean", "low", "high", "seeds", "users"]
DELTA = ("against", "delta", "delta_low", "delta_high")
TRAILING = [*DELTA, "note"]
TEXT = ("arm", "metric", "against", "note")
WHOLE = ("k", "seeds", "users")
RESIDUE = 1e-14  # a smaller difference is 0, up to the order in which it was summed
NUMBER = "%.6g"  # finer than any interval here, coarser than differences of machines


def table(
    results: Sequence[RunResult], reference: str, swept: Sequence[str] = ()
) -> pd.DataFrame:
    """The long table of a grid: one row per (arm, swept value, metric, cut-off).

    Columns: arm, metric, k, mean, low, high, seeds, users; temperature; one per swept
    field; against, delta, delta_low, delta_high: the paired difference from the
    reference arm at the same swept value, else from its cell with nothing swept; empty
    without one, or where other positives judge it, as in another split; note. A cell
    with a failed run has no mean, 0 seeds and the note "failed: <reason> (seed n)"; one
    that lacks a metric of others has the note "not measured in n of m runs". Numbers
    carry 6 significant digits, so that the file read back is the table.

    Args:
      results: one per run.
      reference: the arm that differences are taken from.
      swept: fields whose columns come first.

    Raises:
      InputError: no run is of the reference arm.
      ValueError: runs that don't make one table; see ``measure``.
    """
    if results:
        choose(reference, dict.fromkeys(r.arm for r in results), "reference")
    return long_form(measure(results, swept), reference, swept_fields(results, swept))


def long_form(
    cells: Sequence[CellSummary], reference: str, swept: Sequence[str]
) -> pd.DataFrame:
    """The long table of measured cells; see ``table``."""
    references = {cell.swept: cell for cell in cells if cell.arm == reference}
    unswept: tuple[float | None, ...] = (None,) * len(swept)
    every = table_keys(cells)
    lines: list[dict[str, object]] = []
    for cell in cells:
        other = references.get(cell.swept) or references.get(unswept)
        there = [key for key in every if not cell.hole(key)]
        notes = {key: _unpaired(cell, other, key) for key in there}
        paired = [key for key in there if notes[key] == ""]
        own = intervals((cell, key, None) for key in there)
        delta = intervals((cell, key, other) for key in paired)
        numbers = dict(zip(there, own, strict=True))
        differences = dict(zip(paired, delta, strict=True))
        for key in every:
            line: dict[str, object] = {"arm": cell.arm, **key._asdict()}
            line |= dict(zip(swept, cell.swept, strict=True))
            line[TEMPERATURE] = cell.temperature
            line |= _numbers(cell, key, numbers.get(key))
            if note := notes.get(key):
                line["note"] = note
            if other and key in differences:
                ends = (other.arm, *differences[key])
                line |= dict(zip(DELTA, ends, strict=True))
            lines.append(line)
    fields = swept if TEMPERATURE in swept else [TEMPERATURE, *swept]
    return typed(pd.DataFrame(lines, columns=[*LEADING, *fields, *TRAILING]))


def _numbers(cell: CellSummary, key: Key, found: Interval | None) -> dict[str, object]:
    if found is None:
        return {"seeds": 0, "users": 0, "note": cell.hole(key)}
    users = cell.users[key]
    note = "" if users else "no user counts"
    return found._asdict() | {"seeds": len(cell.seeds), "users": users, "note": note}


def _unpaired(cell: CellSummary, other: CellSummary | None, key: Key) -> str | None:
    """Why two cells have no paired difference in a metric; "" where they have one.

    None where there is nothing to compare: a cell with itself, or with no other.
    """
    if other is None or other is cell:
        return None
    if hole := other.hole(key):
        return f"no difference: {other.arm} {hole}"
    alike = max(cell.users.values()) == max(other.users.values())
    if not alike and other.swept != cell.swept:
        return f"no difference: {other.arm} is over other users"
    if alike and not judged_alike(cell.judged_by, other.judged_by):
        return f"no difference: {other.arm} is judged by other positives"
    if alike and not cell.same_users(other, key):
        counted, others = cell.users[key], other.users[key]
        whom = f"{others}" if counted != others else "others"
        return f"no difference: counts {counted} users, {other.arm} {whom}"
    return ""


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """A long table in the types and digits of its file; "" is no number."""
    out = {}
    for name in frame.columns:
        if name in TEXT:
            out[name] = frame[name].astype(object).fillna("").astype(str)
        elif name in WHOLE:
            out[name] = frame[name].astype("int64")
        else:
            numbers = frame[name].map(lambda x: np.nan if x == "" else x)
            numbers = numbers.astype("float64")
            if name.startswith("delta"):
                numbers = numbers.mask(numbers.abs() < RESIDUE, 0.0)
            # + 0.0 turns a difference of -0 into 0
            out[name] = numbers.map(lambda x: float(NUMBER % x) + 0.0)
    return pd.DataFrame(out)


def stated_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a long table that say what a row is: temperature, swept fields.

    >>> stated_columns(pd.DataFrame(columns=[*LEADING, "draws", *TRAILING]))
    ['draws']
    """
    return [name for name in frame.columns if name not in (*LEADING, *TRAILING)]


def swept_columns(frame: pd.DataFrame) -> list[str]:
    """The names of a long table's swept fields.

    Every table states temperatures; they are swept where some arm has several.

    >>> rows = {"arm": ["a", "a", "b"], "temperature": [0.1, 0.1, 0.2], "draws": 64}
    >>> swept_columns(pd.DataFrame(rows))
    ['draws']
    """
    names = stated_columns(frame)
    if TEMPERATURE in names and frame.groupby("arm")[TEMPERATURE].nunique().max() > 1:
        return names
    return [name for name in names if name != TEMPERATURE]


def without_levels(points: pd.DataFrame, swept: str) -> pd.DataFrame:
    """The points; an arm with one temperature, where others have several, has NaN."""
    counts = points.groupby("arm")[swept].transform("nunique")
    if swept == TEMPERATURE and (counts > 1).any():
        return points.assign(**{swept: points[swept].where(counts > 1)})
    return points


def wide(frame: pd.DataFrame, metrics: Sequence[str], k: int) -> pd.DataFrame:
    """One row per (arm, swept value), in the table's order, at one cut-off.

    Columns: arm, temperature, the swept fields, then for each metric its mean under its
    own name, its ends under that with ``_low`` and ``_high``; note says why a row has
    no values, or which of them was not measured.

    Args:
      frame: a long table, as ``table`` or ``read_table`` give it.
      metrics: names in METRICS.
      k: the cut-off.

    Raises:
      ValueError: the table lacks a metric at the cut-off, or has several rows of it
        for an arm at its swept values.
    """
    stated = ["arm", *stated_columns(frame)]
    parts = {
        metric: frame[(frame.metric == metric) & (frame.k == k)].reset_index(drop=True)
        for metric in metrics
    }
    first = next(iter(parts.values()), pd.DataFrame())
    if first.empty:
        raise ValueError(f"the table has no {metrics[0] if metrics else ''}@{k}")
    columns = {name: first[name] for name in stated}
    note = first.note.mask(first.note.str.startswith(UNMEASURED), "")
    for metric, part in parts.items():
        part = _in_order_of(first, part, stated, f"{metric}@{k}")
        ends = {metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
        columns |= {name: part[source] for name, source in ends.items()}
        missing = part.note.str.startswith(UNMEASURED) & (note == "")
        note = note.mask(missing, f"{metric} " + part.note)
    return pd.DataFrame(columns | {"note": note})


def _in_order_of(
    first: pd.DataFrame, part: pd.DataFrame, stated: list[str], name: str
) -> pd.DataFrame:
    """Rows of another metric in the order of the first one's, by what they state."""
    both = (pd.MultiIndex.from_frame(rows[stated]) for rows in (first, part))
    wanted, there = both
    if not (wanted.is_unique and there.is_unique):
        raise ValueError(f"an arm has several points of {name} at one value")
    places = there.get_indexer(wanted)
    if len(part) != len(first) or (places < 0).any():
        raise ValueError(f"the table lacks {name} for some arm")
    return part.iloc[places].reset_index(drop=True)
