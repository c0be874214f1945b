"""The tidy frame of a grid: a row for each arm, swept values, metric and cut-off.

A cell is an arm at one swept value, whose runs are measured together. Tables, figures
and the HTML page are derived from the frame.
"""

import itertools
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

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
)
from research.report.intervals import Estimate, over_seeds, two_way
from research.report.records import RunResult
from research.types import InputError, Record, choose

TEMPERATURE = "temperature"
UNMEASURED = "not measured"  # how the note of a cell without a metric begins

CellKey = tuple[str, frozenset[tuple[str, float]]]  # the arm, its swept values
Cells = dict[CellKey, list[RunResult]]


def by_cell(results: Sequence[RunResult]) -> Cells:
    """The runs of each arm and its swept values, by seed."""
    cells: Cells = {}
    for result in results:
        cells.setdefault(cell_key(result.arm, result.swept), []).append(result)
    return {
        key: sorted(runs, key=lambda result: result.seed) for key, runs in cells.items()
    }


def cell_key(arm: str, swept: Mapping[str, Any]) -> CellKey:
    """The key of an arm at swept values, in any order."""
    return arm, frozenset((name, float(value)) for name, value in swept.items())


def values_of(runs: Sequence[RunResult], metric: str, k: int) -> Float[ndarray, "*u s"]:
    """A metric of each run: by user and seed, or by seed where it is of all lists.

    Raises:
      InputError: a record lacks it.
    """
    entry, out = choose(metric, METRICS, "metric"), []
    for run in runs:
        record = run.record
        assert record is not None
        if entry.absent(record) or k not in (entry.cutoffs or record.ks.tolist()):
            raise InputError(f"{metric}@{k} not measured in {run.arm}")
        out.append(entry.of(record, k))
    return np.stack(out, axis=-1)


def estimate_of(metric: str, values: Float[ndarray, "*u s"]) -> Estimate:
    """The mean of a metric, or of a difference in it, and its standard error."""
    return two_way(values) if METRICS[metric].per_user else over_seeds(values)


class Cell(NamedTuple):
    """One arm at one swept value: its runs, by seed, and why it has no values.

    ``swept`` is in the order of the table's fields, None where the arm lacks one.
    ``failed`` is empty unless a run failed; then there are no values, since a mean over
    fewer seeds would be another number. ``judged_by`` are digests of the positives
    (``positives_of``).
    """

    arm: str
    swept: tuple[float | None, ...]
    runs: list[RunResult]
    failed: str
    judged_by: tuple[str, str] = ("", "")

    @property
    def users(self) -> int:
        """How many users have lists."""
        record = self.runs[0].record
        return len(record.held) if record else 0

    def hole(self, metric: str) -> str:
        """Why the cell has no value of a metric; "" where it has one.

        It has none of a metric that some of its runs lack, either.
        """
        records = [run.record for run in self.runs if run.record]
        lacking = sum(map(METRICS[metric].absent, records))
        unmeasured = f"{UNMEASURED} in {lacking} of {len(self.runs)} runs"
        return self.failed or (unmeasured if lacking else "")


class Measured(NamedTuple):
    """A cell's values of one metric at one cut-off, of how many users; or why none."""

    cell: Cell
    key: Key
    values: Float[ndarray, "*u s"]
    users: int
    hole: str

    @classmethod
    def of(cls, cell: Cell, key: Key) -> "Measured":
        """Measures a cell."""
        if hole := cell.hole(key.metric):
            return cls(cell, key, np.empty(0), 0, hole)
        values = values_of(cell.runs, *key)
        if METRICS[key.metric].per_user:  # the digits of a results version hang on it
            values = values.astype(np.float32).astype(np.float64)
        counted, per_user = ~np.isnan(values), METRICS[key.metric].per_user
        users = int(counted.any(axis=1).sum()) if per_user else cell.users
        return cls(cell, key, values, users, "")

    def counts_as(self, other: "Measured") -> bool:
        """Whether the metric counts the same users in both cells, with each seed.

        Users whom other positives judge, as in another split, are not the same.
        """
        ours, theirs = np.isnan(self.values), np.isnan(other.values)
        alike = judged_alike(self.cell.judged_by, other.cell.judged_by)
        return alike and self.users == other.users and np.array_equal(ours, theirs)


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


def _cells(results: Sequence[RunResult], fields: Sequence[str]) -> list[Cell]:
    """A cell for each (arm, swept value), arms in order of first appearance."""
    cells, seeded = [], dict[tuple[int, ...], str]()
    for (arm, swept), runs in by_cell(results).items():
        seeds = tuple(run.seed for run in runs)
        value = tuple(map(dict(swept).get, fields))
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{arm} {value}: a seed twice among {list(seeds)}")
        seeded.setdefault(seeds, arm)
        records = [run.record for run in runs if run.record is not None]
        if len(records) < len(runs):
            cells.append(Cell(arm, value, runs, _why(runs)))
            continue
        if len({len(record.held) for record in records}) > 1:
            raise ValueError(f"{arm} {value}: its seeds are over different users")
        cells.append(Cell(arm, value, runs, "", positives_of(records[0])))
    if len(seeded) > 1:
        (a, first), (b, second) = list(seeded.items())[:2]
        raise ValueError(
            f"{first} has seeds {list(a)}, {second} {list(b)}: not one table"
        )
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    return sorted(cells, key=lambda cell: arms.index(cell.arm))


def _cutoffs(results: Sequence[RunResult]) -> dict[int, list[RunResult]]:
    """The cut-offs of the records, rising, and the runs that lack each of them."""
    done = {n: r.record.ks.tolist() for n, r in enumerate(results) if r.record}
    every = sorted({k for ks in done.values() for k in ks})
    return {k: [results[n] for n, ks in done.items() if k not in ks] for k in every}


def _keys(results: Sequence[RunResult]) -> list[Key]:
    """The metrics and cut-offs of a table: those of any run; all if none finished.

    The cut-offs are those that all records have.
    """
    records = [result.record for result in results if result.record]
    if not records:
        return keys(DEFAULT_KS)
    ks = [k for k, lacking in _cutoffs(results).items() if not lacking]
    if not ks:
        raise ValueError("records without a common cut-off: not one table")
    return keys(ks, [n for n, m in METRICS.items() if not all(map(m.absent, records))])


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


def _temperature(runs: Sequence[RunResult]) -> float:
    """The temperature of the runs' configs, NaN for a baseline."""
    known = [(run.settings or run.swept).get(TEMPERATURE, np.nan) for run in runs]
    return mean_counted(np.array(known))


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
      ValueError: runs that don't make one table, as with other seeds of one arm.
    """
    if results:
        choose(reference, dict.fromkeys(r.arm for r in results), "reference")
    return marked_table(results, reference, swept)[0]


def marked_table(
    results: Sequence[RunResult],
    reference: str,
    swept: Sequence[str] = (),
    ks: Sequence[int] = (),
) -> tuple[pd.DataFrame, "pd.Series[str]"]:
    """The long table (see ``table``), and the mark of each row: "best", "tie" or "".

    Metrics with a better end are marked, at these cut-offs, by default at all. A tie is
    a cell whose paired 95 % interval against the best cell contains 0. Nothing is
    marked where cells are over different users, as where a sweep changes what is held
    out: there is no pairing.
    """
    fields = swept_fields(results, swept)
    cells = _cells(results, fields)
    places = {cell.swept: n for n, cell in enumerate(cells) if cell.arm == reference}
    unswept = places.get((None,) * len(fields))
    about = [
        {**dict(zip(fields, cell.swept)), TEMPERATURE: _temperature(cell.runs)}
        for cell in cells
    ]
    lines: list[list[dict[str, object]]] = [[] for _ in cells]
    for key in _keys(results) if cells else ():
        found = [Measured.of(cell, key) for cell in cells]
        marks = _marks(found) if not ks or key.k in ks else [""] * len(cells)
        for n, one in enumerate(found):
            at = places.get(one.cell.swept, unswept)
            other = None if at in (None, n) else found[at]
            lines[n].append({**about[n], **_numbers(one, other), "mark": marks[n]})
    stated = fields if TEMPERATURE in fields else [TEMPERATURE, *fields]
    columns = [*LEADING, *stated, *TRAILING, "mark"]
    frame = pd.DataFrame(list(itertools.chain(*lines)), columns=columns)
    return typed(frame.drop(columns="mark")), frame["mark"].astype(str)


def _marks(found: Sequence[Measured]) -> list[str]:
    """The mark of each cell in one metric; see ``marked_table``."""
    marks, there = [""] * len(found), [n for n, one in enumerate(found) if one.users]
    metric = found[0].key.metric
    better = METRICS[metric].better
    if better == "neither" or not there:
        return marks
    if not all(found[n].counts_as(found[there[0]]) for n in there):
        return marks
    means = {n: estimate_of(metric, found[n].values).mean for n in there}
    best = (max if better == "higher" else min)(means, key=means.__getitem__)
    for n in there:
        gap = estimate_of(metric, found[n].values - found[best].values).interval()
        if gap.low <= 0 <= gap.high:
            marks[n] = "best" if n == best else "tie"
    return marks


def _numbers(one: Measured, other: Measured | None) -> dict[str, object]:
    """What a row of the long table says of a cell's metric, and of its difference."""
    line: dict[str, object] = {"arm": one.cell.arm, **one.key._asdict()}
    line |= {"seeds": 0, "users": 0}
    if one.hole:
        return line | {"note": one.hole}
    line |= estimate_of(one.key.metric, one.values).interval()._asdict()
    line |= {"seeds": len(one.cell.runs), "users": one.users}
    line["note"] = "" if one.users else "no user counts"
    if other is not None:
        if why := _unpaired(one, other):
            return line | {"note": why}
        gap = estimate_of(one.key.metric, one.values - other.values).interval()
        line |= zip(DELTA, (other.cell.arm, *gap), strict=True)
    return line


def _unpaired(one: Measured, other: Measured) -> str:
    """Why two cells have no paired difference in a metric; "" where they have one."""
    cell, reference = one.cell, other.cell
    if other.hole:
        return f"no difference: {reference.arm} {other.hole}"
    if cell.users != reference.users:
        if cell.swept == reference.swept:
            raise ValueError(
                f"{cell.arm} is over {cell.users} users, {reference.arm} over "
                f"{reference.users}: not one table"
            )
        return f"no difference: {reference.arm} is over other users"
    if not judged_alike(cell.judged_by, reference.judged_by):
        return f"no difference: {reference.arm} is judged by other positives"
    if not one.counts_as(other):
        whom = f"{other.users}" if one.users != other.users else "others"
        return f"no difference: counts {one.users} users, {reference.arm} {whom}"
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


def cell_label(row: Mapping[Any, Any], fields: Sequence[str]) -> str:
    """The label of a cell in figures: its arm, and its values of the fields.

    >>> cell_label({"arm": "mixed", "prior": 0.5, "draws": float("nan")},
    ...            ["prior", "draws"])
    'mixed, prior 0.5'
    """
    values = [f"{field} {row[field]:g}" for field in fields if not pd.isna(row[field])]
    return ", ".join([str(row["arm"]), *values])


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
