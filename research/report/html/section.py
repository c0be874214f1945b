"""The numbers of one grid for the page to explore, ready for the browser to draw.

Conventions: ``a`` cells (an arm at a swept value), ``s`` seeds. A section is JSON: NaN
is null, and a number has as many digits as its file of a table.
"""

import base64
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.evaluate.formulas import recall_of_band
from research.evaluate.metrics import CUTOFF, METRICS, Key, keys
from research.evaluate.record import DECILES
from research.report.cells import (
    CellSummary,
    estimate,
    intervals,
    measure,
    not_measured,
    swept_fields,
)
from research.report.deciles import with_deciles
from research.report.html.users import shown_users
from research.report.intervals import two_way
from research.report.pictures import look
from research.report.records import RunResult
from research.report.tables import NUMBER
from research.types import BANDS, Record

# The metrics in which any two cells are compared. Each takes a number for every pair of
# cells, so a table with many cells is compared in MAIN alone, and one with very many,
# such as one of trials, not at all: nearly half of the page would be its pairs.
MAIN = (
    *(Key("recall", CUTOFF), Key("recall", 100)),
    *(Key("ndcg", CUTOFF), Key("recall_item", CUTOFF)),
)
COMPARED = (
    *(*MAIN, Key("ndcg", 100), *(Key(f"recall_{band}", CUTOFF) for band in BANDS)),
    *(Key("coverage", CUTOFF), Key("train_count", CUTOFF)),
)
MANY, MOST = 64, 200  # cells
Lists = Mapping[str, Sequence[Mapping[str, str]]]
PLACES = 100
NONE = 2**16 - 1  # stands for a pair without an interval
CURVE = "%.4g"  # a curve is looked at; four digits are finer than a line is thick


def section(
    results: Sequence[RunResult],
    reference: str,
    swept: Sequence[str] = (),
    lists: Lists | None = None,
) -> dict[str, Any]:
    """The numbers of a grid, by what the page shows of them.

    Raises:
      ValueError: the results don't make one table.
    """
    cells = measure(results, swept)
    fields = swept_fields(results, swept)
    first = next((r.record for r in results if r.record is not None), None)
    done = [cell for cell in cells if not cell.failed]
    shown = list(dict.fromkeys(key for cell in done for key in cell.means))
    runs = _runs(results, fields)
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    compared = [key for key in _wanted(len(cells)) if key in shown]
    holes = not_measured(results)
    if len(cells) > MOST:
        holes.append(
            f"No differences are shown: {len(cells)} rows have too many pairs."
        )
    return {
        "arms": [{"name": arm, **look(arm)._asdict()} for arm in arms],
        "reference": reference,
        "swept": fields,
        "cells": [
            {
                "arm": arms.index(cell.arm),
                "swept": cell.swept,
                "temperature": _numbers([cell.temperature])[0],
                "seeds": cell.seeds,
                "failed": cell.failed,
                "rows": [row for row, _ in runs[cell.arm, cell.swept]],
            }
            for cell in cells
        ],
        "users": len(first.held) if first else 0,
        "keys": [[key.metric, key.k] for key in shown],
        "seeds": [[_numbers(c.means.get(key, ())) for c in cells] for key in shown],
        "ends": [[_ends(cell, key) for cell in cells] for key in shown],
        "pairs": {f"{key.metric}@{key.k}": _pairs(cells, key) for key in compared},
        "deciles": _deciles([runs[cell.arm, cell.swept] for cell in cells]),
        "curves": _curves([runs[cell.arm, cell.swept] for cell in cells]),
        "people": _people(
            [runs[cell.arm, cell.swept][0] for cell in cells], lists or {}
        ),
        "holes": holes,
    }


def _wanted(cells: int) -> tuple[Key, ...]:
    if cells > MOST:
        return ()
    return MAIN if cells > MANY else COMPARED


Runs = dict[tuple[str, tuple[float | None, ...]], list[tuple[int, RunResult]]]


def _runs(results: Sequence[RunResult], fields: Sequence[str]) -> Runs:
    """The runs of each cell, by seed, and the row that each has in its file."""
    runs: Runs = {}
    for row, result in enumerate(results):
        values = (result.swept.get(name) for name in fields)
        swept = tuple(None if v is None else float(v) for v in values)
        runs.setdefault((result.arm, swept), []).append((row, result))
    return {cell: sorted(of, key=lambda run: run[1].seed) for cell, of in runs.items()}


def _numbers(values: Iterable[float], form: str = NUMBER) -> list[float | None]:
    """Numbers in the digits of a table, for JSON.

    >>> _numbers([1 / 3, float("nan"), -0.0])
    [0.333333, None, 0.0]
    """
    return [None if math.isnan(x) else float(form % x) + 0.0 for x in values]


def _ends(cell: CellSummary, key: Key) -> list[float | None]:
    if cell.hole(key):
        return [None, None]
    _, low, high = estimate(cell, key).interval()
    return _numbers((low, high))


def paired_reaches(cells: Sequence[CellSummary], key: Key) -> Float[ndarray, "a a"]:
    """How far the paired 95 % interval of each difference reaches to either side of it.

    [n, m] is of cell n minus cell m, for n < m. NaN where there is no pairing, or no
    interval.
    """
    pairs = [
        (n, m)
        for n, m in itertools.combinations(range(len(cells)), 2)
        if not cells[n].hole(key) and not cells[m].hole(key)
        if cells[n].same_users(cells[m], key)
    ]
    found = intervals((cells[n], key, cells[m]) for n, m in pairs)
    reaches = np.full((len(cells), len(cells)), np.nan)
    for pair, (mean, low, _) in zip(pairs, found, strict=True):
        reaches[pair] = mean - low
    return reaches


def _pairs(cells: Sequence[CellSummary], key: Key) -> dict[str, Any]:
    """The reach of each pair of cells, in whole numbers of a step.

    A step is the widest reach / 65,534: too fine to be seen beside any of them. The
    pairs are in the order (0, 1), (0, 2), ..., (1, 2), ...
    """
    reaches = paired_reaches(cells, key)[np.triu_indices(len(cells), 1)]
    widest = float(np.nanmax(reaches, initial=0.0))
    step = widest / (NONE - 1) or 1.0
    whole = np.where(np.isnan(reaches), NONE, np.round(reaches / step))
    return {"step": step, "reaches": _base64(whole)}


def _base64(values: ndarray) -> str:
    return base64.b64encode(values.astype("<u2").tobytes()).decode()


def _deciles(
    of_cells: Sequence[list[tuple[int, RunResult]]],
) -> list[list[list[float | None]] | None]:
    """Recall@20 of each tenth of the items, the most clicked first, with its interval.

    None for a cell with a run that failed, or whose record does not name the items.
    """
    cells: list[list[list[float | None]] | None] = []
    for runs in of_cells:
        records = [with_deciles(run.record) for _, run in runs if run.record]
        named = [record for record in records if record is not None]
        if len(named) < len(runs):
            cells.append(None)
            continue
        tenths = []
        for n in range(DECILES):
            values = [recall_of_band(record, CUTOFF, n) for record in named]
            tenths.append(_numbers(two_way(np.stack(values, axis=-1)).interval()))
        cells.append(tenths)
    return cells


def _curves(of_cells: Sequence[list[tuple[int, RunResult]]]) -> dict[str, list[Any]]:
    """Each column of the training curves: for each cell, the mean over its seeds."""
    histories = [
        [run.history for _, run in runs if run.history is not None] for runs in of_cells
    ]
    names = dict.fromkeys(n for runs in histories for h in runs for n in h)
    return {name: [_mean_curve(runs, name) for runs in histories] for name in names}


def _mean_curve(
    histories: Sequence[Mapping[str, list[float]]], name: str
) -> list[float | None]:
    curves = [history[name] for history in histories if name in history]
    length = min(map(len, curves), default=0)
    columns = zip(*(curve[:length] for curve in curves))
    return _numbers((sum(column) / len(column) for column in columns), CURVE)


def _people(
    firsts: Sequence[tuple[int, RunResult]], lists: Lists
) -> list[dict[str, Any]]:
    """Two users: where each cell's first run places their positives, and its lists.

    A place counts from 1; positives that are not among the first 100, which the
    ranks of every record reach, are left out. A
    list is of (title, whether it is held out, the item's id), as items may have one
    title; or null where none was kept.
    """
    records = [run.record for _, run in firsts]
    some = next((record for record in records if record is not None), None)
    people = []
    for user in shown_users(some.held) if some else []:
        rows = [
            [r for r in lists.get(str(n), ()) if r["user"] == str(user)]
            for n, _ in firsts
        ]
        ids = {row["id"] for listed in rows for row in listed}
        people.append(
            {
                "name": f"User {min(ids)}" if ids else f"Row {user} of the users",
                "held": int(some.held[user]) if some else 0,
                "places": [_places(r, user) if r else None for r in records],
                "lists": [
                    [[r["title"], r["held_out"] == "1", r["item"]] for r in listed]
                    or None
                    for listed in rows
                ],
            }
        )
    return people


def _places(record: Record, user: int) -> list[int] | None:
    if user >= len(record.held):
        return None
    start = int(record.held[:user].sum())
    ranks = record.rank[start : start + int(record.held[user])]
    return sorted(int(rank) + 1 for rank in ranks if rank < PLACES)


def metrics_shown() -> dict[str, dict[str, Any]]:
    """What the page says of each metric, by its name."""
    whole = dict.fromkeys(key.metric for key in keys((CUTOFF,)))
    return {
        name: {
            "label": metric.label,
            "help": metric.help,
            "heading": metric.page.heading if metric.page else metric.label,
            "digits": _digits(metric.page.number if metric.page else ".4f"),
            "leading": bool(metric.page and metric.page.leading),
            "paged": metric.page is not None,
            "better": metric.better,
            "unit": metric.unit,
        }
        for name, metric in ((name, METRICS[name]) for name in whole)
    }


def _digits(form: str) -> int:
    """The digits behind the point of a number's format.

    >>> _digits(".4f")
    4
    """
    return int(form.strip(".f"))
