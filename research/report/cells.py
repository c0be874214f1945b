"""A table's cells: the runs of one arm at one swept value, measured together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.report.intervals import Interval, bounds, over_seeds, resample
from research.report.record_metrics import (
    PER_USER,
    Key,
    absent,
    keys,
    mean_counted,
    per_user,
    whole_set,
)
from research.report.rows import Row
from research.types import Record

__all__ = ["Cell", "cell_keys", "compare", "estimate", "measure", "swept_fields"]

DEFAULT_KS = (10, 20, 50, 100)  # of a table in which every run failed


class Cell(NamedTuple):
    """One arm at one swept value: what its runs say, or why they say nothing.

    ``swept`` is in the order of the table's fields, None where the arm lacks one.
    ``means`` [s] holds each metric of each seed, ``draws`` [r] the crossed resamples of
    the per-user ones, ``users`` how many users it is over. ``failed`` is empty unless
    a run failed; then there are no values, since fewer seeds would be another number.
    """

    arm: str
    swept: tuple[float | None, ...]
    seeds: tuple[int, ...]
    means: dict[Key, Float[ndarray, " s"]]
    draws: dict[Key, Float[ndarray, " r"]]
    users: dict[Key, int]
    failed: str


def swept_fields(rows: Sequence[Row], swept: Sequence[str] = ()) -> list[str]:
    """Returns the swept fields named, then any other that the rows carry."""
    return list(dict.fromkeys([*swept, *(name for row in rows for name in row.swept)]))


def measure(rows: Sequence[Row], swept: Sequence[str] = ()) -> list[Cell]:
    """Returns a cell for each (arm, swept value), arms in order of first appearance.

    Raises:
      ValueError: a run given twice; arms with different seeds; records with different
        cut-offs.
    """
    fields = swept_fields(rows, swept)
    arms = {arm: n for n, arm in enumerate(dict.fromkeys(row.arm for row in rows))}
    groups: dict[tuple[str, tuple[float | None, ...]], list[Row]] = {}
    for row in rows:
        found = (row.swept.get(name) for name in fields)
        value = tuple(None if v is None else float(v) for v in found)  # 64 is 64.0
        groups.setdefault((row.arm, value), []).append(row)
    _check(groups)
    ordered = sorted(groups.items(), key=lambda group: arms[group[0][0]])
    return [_cell(arm, value, runs) for (arm, value), runs in ordered]


def cell_keys(cells: Sequence[Cell]) -> list[Key]:
    """Returns the metrics and cut-offs of a table: what all cells with values have.

    Cells differ where records of before a metric was measured stand beside new ones.
    """
    measured = [cell.means for cell in cells if cell.means]
    if not measured:
        return keys(np.array(DEFAULT_KS))
    return [key for key in measured[0] if all(key in means for means in measured)]


def estimate(cell: Cell, key: Key) -> Interval:
    """Returns a cell's mean and interval in one metric."""
    if key not in cell.draws:
        return over_seeds(cell.means[key])
    low, high = bounds(cell.draws[key][:, None])[:, 0]
    return Interval(mean_counted(cell.means[key]), float(low), float(high))


def compare(cell: Cell, other: Cell, key: Key) -> Interval:
    """Returns the paired difference of two cells, cell - other, with its interval.

    Per-user metrics are paired by user and seed through the resamples they share,
    whole-set metrics by seed.

    Raises:
      ValueError: the two are over different numbers of users, so nothing pairs up.
    """
    if cell.users[key] != other.users[key]:
        raise ValueError(
            f"{key.metric}@{key.k}: {cell.arm} is over {cell.users[key]} users,"
            f" {other.arm} over {other.users[key]}: no paired difference"
        )
    if key not in cell.draws:
        return over_seeds(cell.means[key] - other.means[key])
    difference = cell.draws[key] - other.draws[key]
    low, high = bounds(difference[:, None])[:, 0]
    mean = mean_counted(cell.means[key] - other.means[key])
    return Interval(mean, float(low), float(high))


def _check(groups: dict[tuple[str, tuple[float | None, ...]], list[Row]]) -> None:
    seeds: dict[tuple[int, ...], str] = {}
    ks: dict[tuple[int, ...], str] = {}
    for (arm, value), runs in groups.items():
        of_arm = tuple(sorted(row.seed for row in runs))
        if len(set(of_arm)) < len(of_arm):
            raise ValueError(f"{arm} {value}: a seed twice among {list(of_arm)}")
        seeds.setdefault(of_arm, arm)
        for row in runs:
            if row.record is not None:
                ks.setdefault(tuple(row.record.ks.tolist()), arm)
    for what, found in (("seeds", seeds), ("cut-offs", ks)):
        if len(found) > 1:
            (a, first), (b, second) = list(found.items())[:2]
            raise ValueError(
                f"{first} has {what} {list(a)}, {second} {list(b)}: not one table"
            )


def _cell(arm: str, value: tuple[float | None, ...], runs: list[Row]) -> Cell:
    runs = sorted(runs, key=lambda row: row.seed)
    seeds = tuple(row.seed for row in runs)
    records = [row.record for row in runs if row.record is not None]
    if len(records) < len(runs):
        return Cell(arm, value, seeds, {}, {}, {}, _why(runs))
    if len({len(record.held) for record in records}) > 1:
        raise ValueError(f"{arm} {value}: its seeds are over different users")
    means, draws, users = _values(records)
    return Cell(arm, value, seeds, means, draws, users, "")


def _why(runs: list[Row]) -> str:
    """Returns "failed: <reason> (seed n)", seeds of one reason together."""
    reasons: dict[str, list[str]] = {}
    for row in runs:
        if row.record is None:
            reasons.setdefault(row.reason or "no reason given", []).append(
                str(row.seed)
            )
    parts = [
        f"{reason} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})"
        for reason, seeds in reasons.items()
    ]
    return "failed: " + "; ".join(parts)


def _values(
    records: list[Record],
) -> tuple[dict[Key, ndarray], dict[Key, ndarray], dict[Key, int]]:
    by_seed = [per_user(record) for record in records]
    lacking = set[str]().union(*(absent(record) for record in records))
    every = keys(records[0].ks, lacking)
    names = [key for key in every if key.metric in PER_USER]
    values = np.stack(
        [np.stack([seed[key] for seed in by_seed], axis=1) for key in names], axis=2
    )
    draws = resample(values)
    whole = [whole_set(record) for record in records]
    means: dict[Key, ndarray] = {}
    users: dict[Key, int] = {}
    for key in every:
        if key in by_seed[0]:
            column = values[:, :, names.index(key)]
            means[key] = np.array([mean_counted(seed) for seed in column.T])
            users[key] = int((~np.isnan(column)).any(axis=1).sum())
        else:
            means[key] = np.array([seed[key] for seed in whole])
            users[key] = len(values)
    return means, {key: draws[:, m] for m, key in enumerate(names)}, users
