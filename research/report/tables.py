"""The tidy frame of a grid: a row for each arm, swept values, metric and cut-off.

A cell is an arm at one swept value, whose runs are measured together. Tables, figures
and the HTML page are derived from the frame.
"""

from collections.abc import Sequence
from hashlib import sha256
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
from research.report.intervals import Interval, over_seeds, two_way
from research.report.records import RunResult
from research.types import Record, choose

TEMPERATURE = "temperature"
UNMEASURED = "not measured"  # how the note of a cell without a metric begins


class CellSummary(NamedTuple):
    """One arm at one swept value: its runs' values, or the reason why it has none.

    ``swept`` is in the order of the table's fields, None where the arm lacks one.
    ``temperature`` is that of the runs' configs, NaN where none is known.
    ``means`` [s] holds each metric of each seed, ``values`` [u, s] the per-user ones,
    ``users`` how many users it counts. ``failed`` is empty unless a run failed; then
    there are no values, since a mean over fewer seeds would be another number. For the
    same reason there are none of a metric that some runs lack; ``lacking`` is how many
    do, by its name. ``judged_by`` are digests of the positives (``positives_of``).
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
    judged_by: tuple[str, str] = ("", "")

    def hole(self, key: Key) -> str:
        """Why the cell has no value of a metric; "" where it has one."""
        if self.failed or key in self.means:
            return self.failed
        return f"{UNMEASURED} in {self.lacking[key.metric]} of {len(self.seeds)} runs"

    def same_users(self, other: "CellSummary", key: Key) -> bool:
        """Whether a metric counts the same users in both cells, with each seed.

        Users whom other positives judge, as in another split, are not the same.
        """
        if not judged_alike(self.judged_by, other.judged_by):
            return False
        if self.users[key] != other.users[key] or key not in self.values:
            return self.users[key] == other.users[key]
        ours, theirs = (np.isnan(one.values[key]) for one in (self, other))
        if ours.shape != theirs.shape:  # other seeds
            ours, theirs = ours.any(axis=1), theirs.any(axis=1)
        return np.array_equal(ours, theirs)


def positives_of(record: Record) -> tuple[str, str]:
    """Digests of the number of each user's held-out positives, and of their items.

    The second one is empty for a record that doesn't name the items.
    """
    items = record.columns.get("item", np.zeros(0, np.int64))
    counts, named = (a.astype("<i8").tobytes() for a in (record.held, items))
    return sha256(counts).hexdigest(), sha256(named).hexdigest() if named else ""


def judged_alike(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two records are of the same positives, as far as both say it.

    >>> judged_alike(("3a", "7c"), ("3a", "")), judged_alike(("3a", ""), ("3b", ""))
    (True, False)
    """
    return all(a == b or not a or not b for a, b in zip(one, other, strict=True))


def swept_fields(results: Sequence[RunResult], swept: Sequence[str] = ()) -> list[str]:
    """The swept fields named, then any other that the results carry."""
    names = (name for result in results for name in result.swept)
    return list(dict.fromkeys([*swept, *names]))


def measure(
    results: Sequence[RunResult], swept: Sequence[str] = ()
) -> list[CellSummary]:
    """A cell for each (arm, swept value), arms in order of first appearance.

    The cut-offs are those that all records have.
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


def table_keys(cells: Sequence[CellSummary]) -> list[Key]:
    """The metrics and cut-offs of a table: those of any run; all if none finished."""
    done = [cell for cell in cells if not cell.failed]
    if not done:
        return keys(DEFAULT_KS)
    ks = dict.fromkeys(k for name, k in done[0].means if not METRICS[name].cutoffs)
    some = [n for n in METRICS if any(c.lacking[n] < len(c.seeds) for c in done)]
    return keys(list(ks), some)


def not_recorded(results: Sequence[RunResult]) -> list[str]:
    """A line for each cut-off that some of the runs have and others lack."""
    runs = sum(result.record is not None for result in results)
    return [
        f"Cut-off {k} left out: {len(lacking)} of {runs} runs are recorded without it,"
        f" such as `{lacking[0].arm}`, seed {lacking[0].seed}."
        for k, lacking in _cutoffs(results).items()
        if lacking
    ]


def absences(results: Sequence[RunResult]) -> list[str]:
    """A line for each metric, cut-off and column of a page that some or all runs lack.

    A column is missing where its cut-off is above the number of items.
    """
    records = [result.record for result in results if result.record is not None]
    items = max((len(record.item_counts) for record in records), default=0)
    metrics, columns = [], []
    for metric in METRICS.values():
        lacking = sum(map(metric.absent, records))
        if 0 < lacking < len(records):
            of = f"{UNMEASURED} in {lacking} of {len(records)} runs."
            metrics.append(f"{metric.heading(CUTOFF)}: {of}")
        if metric.page and 0 < items < (second := metric.page.second):
            there = f"is missing: there are {items} items."
            columns.append(f"{metric.heading(second)} {there}")
    return [*metrics, *not_recorded(results), *columns]


def interval(cell: CellSummary, key: Key, other: CellSummary | None = None) -> Interval:
    """The interval of a cell's mean in one metric, or of its difference from another's.

    A difference of per-user metrics is paired by user and seed, one of whole-set
    metrics by seed.
    """
    if other is not None and not cell.same_users(other, key):
        raise ValueError(
            f"{key.metric}@{key.k}: {cell.arm} is over {cell.users[key]} users, "
            f"{other.arm} over {other.users[key]}, not the same, or judged by other "
            "positives: no paired difference"
        )
    if key not in cell.values:
        less = other.means[key] if other else 0.0
        return over_seeds(cell.means[key] - less).interval()
    values = cell.values[key].astype(np.float64)
    values = values - other.values[key] if other else values
    return Interval(*map(float, two_way(values).interval()))


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
    """The temperature of a run's config, NaN for a baseline."""
    return (run.settings or run.swept).get(TEMPERATURE, np.nan)


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
        column = np.stack([seed[key] for seed in by_seed]).T  # [u, s], or [s]
        if METRICS[key.metric].per_user:
            values[key] = column.astype(np.float32)  # half the memory of a large table
            means[key] = np.array([mean_counted(seed) for seed in column.T])
            users[key] = int((~np.isnan(column)).any(axis=1).sum())
        else:
            means[key], users[key] = column, len(records[0].held)
    judged_by = positives_of(records[0])
    return CellSummary(*first, means, values, users, lacking, "", judged_by)


def _why(runs: list[RunResult]) -> str:
    """The words "failed: <reason> (seed n)", seeds of one reason together."""
    reasons: dict[str, list[str]] = {}
    for run in (run for run in runs if run.record is None):
        reasons.setdefault(run.reason or "no reason given", []).append(str(run.seed))
    parts = [
        f"{reason} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})"
        for reason, seeds in reasons.items()
    ]
    return "failed: " + "; ".join(parts)


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
    every, lines = table_keys(cells), []
    for cell in cells:
        other = references.get(cell.swept) or references.get(unswept)
        values = dict(zip(swept, cell.swept, strict=True))
        stated = {"arm": cell.arm, **values, TEMPERATURE: cell.temperature}
        lines += [{**stated, **_numbers(cell, key, other)} for key in every]
    fields = swept if TEMPERATURE in swept else [TEMPERATURE, *swept]
    return typed(pd.DataFrame(lines, columns=[*LEADING, *fields, *TRAILING]))


def _numbers(
    cell: CellSummary, key: Key, other: CellSummary | None
) -> dict[str, object]:
    """What a row of the long table says of a cell's metric, and of its difference."""
    line: dict[str, object] = {**key._asdict(), "seeds": 0, "users": 0}
    if hole := cell.hole(key):
        return line | {"note": hole}
    users = cell.users[key]
    line |= {**interval(cell, key)._asdict(), "seeds": len(cell.seeds), "users": users}
    line["note"] = "" if users else "no user counts"
    if other is not None and other is not cell:
        if why := _unpaired(cell, other, key):
            return line | {"note": why}
        line |= zip(DELTA, (other.arm, *interval(cell, key, other)), strict=True)
    return line


def _unpaired(cell: CellSummary, other: CellSummary, key: Key) -> str:
    """Why two cells have no paired difference in a metric; "" where they have one."""
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
            numbers = frame[name].replace("", np.nan).astype("float64")
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
    rows = frame[frame.k == k]
    parts = {name: rows[rows.metric == name].set_index(stated) for name in metrics}
    first = next(iter(parts.values()), rows[:0])
    if first.empty:
        raise ValueError(f"the table has no {metrics[0] if metrics else ''}@{k}")
    note = first.note.mask(first.note.str.startswith(UNMEASURED), "").to_numpy()
    columns: dict[str, ndarray] = {}
    for metric, part in parts.items():
        if not (first.index.is_unique and part.index.is_unique):
            raise ValueError(f"an arm has several points of {metric}@{k} at one value")
        places = part.index.get_indexer(first.index)
        if len(part) != len(first) or (places < 0).any():
            raise ValueError(f"the table lacks {metric}@{k} for some arm")
        part = part.iloc[places]
        ends = {metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
        columns |= {name: part[source].to_numpy() for name, source in ends.items()}
        missing = part.note.str.startswith(UNMEASURED).to_numpy() & (note == "")
        note = np.where(missing, f"{metric} " + part.note, note)
    return first.reset_index()[stated].assign(**columns, note=note)
