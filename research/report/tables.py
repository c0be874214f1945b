"""The long table of a grid, from which its files and figures are derived."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from research.evaluate.metrics import (
    CUTOFF,
    DEFAULT_KS,
    METRICS,
    Key,
    keys,
    mean_counted,
    metric_values,
)
from research.report.intervals import Estimate, over_seeds, two_way
from research.report.records import RunResult

TEMPERATURE = "temperature"
UNMEASURED = "not measured"  # how the note of a cell without a metric begins


class CellSummary(NamedTuple):
    """One arm at one swept value: its runs' values, or the reason why it has none.

    ``swept`` is in the order of the table's fields, None where the arm lacks one.
    ``temperature`` is that of the runs' configs, NaN where none is known.
    ``means`` [s] holds each metric of each seed, ``values`` [u, s] the per-user ones,
    ``users`` how many users it is over. ``failed`` is empty unless
    a run failed; then there are no values, since fewer seeds would be another number.
    For the same reason a metric has none that some of the runs lack: ``lacking`` says
    by its name how many.
    """

    arm: str
    swept: tuple[float | None, ...]
    temperature: float
    seeds: tuple[int, ...]
    means: dict[Key, Float[ndarray, " s"]]
    values: dict[Key, Float[ndarray, "u s"]]
    users: dict[Key, int]
    lacking: dict[str, int]
    failed: str

    def hole(self, key: Key) -> str:
        """Why the cell has no value of a metric; "" where it has one."""
        if self.failed or key in self.means:
            return self.failed
        return f"{UNMEASURED} in {self.lacking[key.metric]} of {len(self.seeds)} runs"


def swept_fields(results: Sequence[RunResult], swept: Sequence[str] = ()) -> list[str]:
    """The swept fields named, then any other that the results carry."""
    names = (name for result in results for name in result.swept)
    return list(dict.fromkeys([*swept, *names]))


def measure(
    results: Sequence[RunResult], swept: Sequence[str] = ()
) -> list[CellSummary]:
    """A cell for each (arm, swept value), arms in order of first appearance.

    The cut-offs are those that all records have.

    Raises:
      ValueError: a run given twice; arms with different seeds; records without a common
        cut-off.
    """
    fields = swept_fields(results, swept)
    arms = {arm: n for n, arm in enumerate(dict.fromkeys(r.arm for r in results))}
    groups: dict[tuple[str, tuple[float | None, ...]], list[RunResult]] = {}
    for result in results:
        values = (result.swept.get(name) for name in fields)
        value = tuple(None if v is None else float(v) for v in values)  # 64 is 64.0
        groups.setdefault((result.arm, value), []).append(result)
    _check(groups)
    ks = [k for k, runs in _cutoffs(results).items() if not runs]
    ordered = sorted(groups.items(), key=lambda group: arms[group[0][0]])
    return [_cell(arm, value, runs, ks) for (arm, value), runs in ordered]


def _cutoffs(results: Sequence[RunResult]) -> dict[int, list[RunResult]]:
    """The cut-offs of the records, rising, and the runs that lack each of them."""
    done = {n: r.record.ks.tolist() for n, r in enumerate(results) if r.record}
    every = sorted({k for ks in done.values() for k in ks})
    return {k: [results[n] for n, ks in done.items() if k not in ks] for k in every}


def not_recorded(results: Sequence[RunResult]) -> list[str]:
    """A line for each cut-off that some of the runs have and others lack."""
    lines = []
    for k, lacking in _cutoffs(results).items():
        if lacking:
            runs, (first, *_) = sum(r.record is not None for r in results), lacking
            lines.append(
                f"Cut-off {k} left out: {len(lacking)} of {runs} runs are recorded"
                f" without it, such as `{first.arm}`, seed {first.seed}."
            )
    return lines


def table_keys(cells: Sequence[CellSummary]) -> list[Key]:
    """The metrics and cut-offs of a table: whatever some run has; all if none ran."""
    done = [cell for cell in cells if not cell.failed]
    if not done:
        return keys(DEFAULT_KS)
    ks = dict.fromkeys(k for name, k in done[0].means if not METRICS[name].cutoffs)
    some = [
        name
        for name in METRICS
        if any(cell.lacking[name] < len(cell.seeds) for cell in done)
    ]
    return keys(list(ks), some)


def not_measured(results: Sequence[RunResult]) -> list[str]:
    """A line for each metric that some of the runs have and others lack."""
    records = [result.record for result in results if result.record is not None]
    lines = []
    for metric in METRICS.values():
        lacking = sum(map(metric.absent, records))
        if 0 < lacking < len(records):
            heading, runs = metric.heading(CUTOFF), len(records)
            lines.append(f"{heading}: {UNMEASURED} in {lacking} of {runs} runs.")
    return lines


def estimate(cell: CellSummary, key: Key, other: CellSummary | None = None) -> Estimate:
    """A cell's mean in one metric, or its difference from another cell's.

    A difference of per-user metrics is paired by user and seed, one of whole-set
    metrics by seed.

    Args:
      cell: the cell.
      key: of the metric, which both cells have.
      other: the cell that is subtracted.

    Raises:
      ValueError: the two are over different numbers of users, so nothing pairs up.
    """
    if other is not None and cell.users[key] != other.users[key]:
        raise ValueError(
            f"{key.metric}@{key.k}: {cell.arm} is over {cell.users[key]} users,"
            f" {other.arm} over {other.users[key]}: no paired difference"
        )
    if key not in cell.values:
        return over_seeds(cell.means[key] - (other.means[key] if other else 0.0))
    values = cell.values[key].astype(np.float64)
    return two_way(values - other.values[key] if other else values)


def _check(groups: dict[tuple[str, tuple[float | None, ...]], list[RunResult]]) -> None:
    seeded: dict[tuple[int, ...], str] = {}
    for (arm, value), runs in groups.items():
        seeds = tuple(sorted(run.seed for run in runs))
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{arm} {value}: a seed twice among {list(seeds)}")
        seeded.setdefault(seeds, arm)
    if len(seeded) > 1:
        (a, first), (b, second) = list(seeded.items())[:2]
        raise ValueError(
            f"{first} has seeds {list(a)}, {second} {list(b)}: not one table"
        )


def _temperature(run: RunResult) -> float:
    """The temperature of a run's config, NaN for a baseline.

    Records that hold no settings tell it by their sweep, or by the end of the curve.
    """
    curve = (run.history or {}).get(TEMPERATURE) or [float("nan")]
    known = {TEMPERATURE: curve[-1]} | run.swept | (run.settings or {})
    return known[TEMPERATURE]


def _cell(
    arm: str, value: tuple[float | None, ...], runs: list[RunResult], ks: list[int]
) -> CellSummary:
    runs = sorted(runs, key=lambda run: run.seed)
    seeds = tuple(run.seed for run in runs)
    temperature = mean_counted(np.array([_temperature(run) for run in runs]))
    first = arm, value, temperature, seeds
    records = [run.record for run in runs if run.record is not None]
    if len(records) < len(runs):
        return CellSummary(*first, {}, {}, {}, {}, _why(runs))
    if not ks:
        raise ValueError(f"{arm}: records without a common cut-off: not one table")
    if len({len(record.held) for record in records}) > 1:
        raise ValueError(f"{arm} {value}: its seeds are over different users")
    lacking = {n: sum(map(metric.absent, records)) for n, metric in METRICS.items()}
    by_seed = [metric_values(record, ks) for record in records]
    values: dict[Key, ndarray] = {}
    means: dict[Key, ndarray] = {}
    users: dict[Key, int] = {}
    for key in (key for key in by_seed[0] if not lacking[key.metric]):
        column = np.stack([seed[key] for seed in by_seed], axis=-1)
        if METRICS[key.metric].per_user:
            values[key] = column.astype(np.float32)  # half the memory of a large table
            means[key] = np.array([mean_counted(seed) for seed in column.T])
            users[key] = int((~np.isnan(column)).any(axis=1).sum())
        else:
            means[key], users[key] = column, len(records[0].held)
    return CellSummary(*first, means, values, users, lacking, "")


def _why(runs: list[RunResult]) -> str:
    """The words "failed: <reason> (seed n)", seeds of one reason together."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.record is None:
            reason = run.reason or "no reason given"
            reasons.setdefault(reason, []).append(str(run.seed))
    parts = [
        f"{reason} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})"
        for reason, seeds in reasons.items()
    ]
    return "failed: " + "; ".join(parts)


LEADING = ["arm", "metric", "k", "mean", "low", "high", "seeds", "users"]
TRAILING = ["against", "delta", "delta_low", "delta_high", "note"]
TEXT = ("arm", "metric", "against", "note")
WHOLE = ("k", "seeds", "users")
RESIDUE = 1e-14  # a smaller difference is 0 but for the order in which it was summed
NUMBER = "%.6g"  # finer than any interval here, coarser than what machines differ in


def table(
    results: Sequence[RunResult], reference: str, swept: Sequence[str] = ()
) -> pd.DataFrame:
    """The long table of a grid: one row per (arm, swept value, metric, cut-off).

    Columns: arm, metric, k, mean, low, high, seeds, users; temperature; one a swept
    field; against, delta, delta_low, delta_high: the paired difference from the
    reference arm at the same swept value, else where it has none swept, else empty;
    note. A cell with a failed run has no mean, 0 seeds and the note "failed: <reason>
    (seed n)"; one that lacks a metric which others have, "not measured in n of m runs".
    Numbers carry 6 significant digits, so that the file read back is the table.

    Args:
      results: one per run.
      reference: the arm that differences are taken from.
      swept: fields whose columns come first.

    Raises:
      ValueError: runs that don't make one table; see ``measure``.
    """
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
        for key in every:
            line: dict[str, object] = {"arm": cell.arm, **key._asdict()}
            line |= dict(zip(swept, cell.swept, strict=True))
            line[TEMPERATURE] = cell.temperature
            line |= _numbers(cell, key) | _difference(cell, other, key)
            lines.append(line)
    fields = swept if TEMPERATURE in swept else [TEMPERATURE, *swept]
    return typed(pd.DataFrame(lines, columns=[*LEADING, *fields, *TRAILING]))


def _numbers(cell: CellSummary, key: Key) -> dict[str, object]:
    if hole := cell.hole(key):
        return {"seeds": 0, "users": 0, "note": hole}
    users = cell.users[key]
    note = "" if users else "no user counts"
    counts = {"seeds": len(cell.seeds), "users": users, "note": note}
    return estimate(cell, key).interval()._asdict() | counts


def _difference(
    cell: CellSummary, other: CellSummary | None, key: Key
) -> dict[str, object]:
    if other is None or other is cell or cell.hole(key):
        return {}
    if hole := other.hole(key):
        return {"note": f"no difference: {other.arm} {hole}"}
    counted, others = cell.users[key], other.users[key]
    if counted != others and max(cell.users.values()) == max(other.users.values()):
        note = f"no difference: counts {counted} users, {other.arm} {others}"
        return {"note": note}
    delta = estimate(cell, key, other).interval()
    names = ("against", "delta", "delta_low", "delta_high")
    return dict(zip(names, (other.arm, *delta), strict=True))


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
    """The points; where others have several temperatures, an arm with one has none."""
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
      ValueError: the table lacks a metric at the cut-off.
    """
    parts = {
        metric: frame[(frame.metric == metric) & (frame.k == k)].reset_index(drop=True)
        for metric in metrics
    }
    first = next(iter(parts.values()), pd.DataFrame())
    if first.empty:
        raise ValueError(f"the table has no {metrics[0] if metrics else ''}@{k}")
    columns = {name: first[name] for name in ("arm", *stated_columns(frame))}
    note = first.note.mask(first.note.str.startswith(UNMEASURED), "")
    for metric, part in parts.items():
        if len(part) != len(first):
            raise ValueError(f"the table lacks {metric}@{k} for some arm")
        ends = {metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
        columns |= {name: part[source] for name, source in ends.items()}
        missing = part.note.str.startswith(UNMEASURED) & (note == "")
        note = note.mask(missing, f"{metric} " + part.note)
    return pd.DataFrame(columns | {"note": note})
