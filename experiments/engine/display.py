"""The progress of a grid: a live display, or plain lines without a terminal."""

import sys
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from experiments.engine.local import RunStatus
from experiments.output.folders import id_of
from research.evaluate.metrics import CUTOFF
from research.report.pages import interval_text, number_text
from research.report.tables import DELTA, swept_columns


class Display:
    """Shows runs done, time left and the last metric, as runs go on and end."""

    def __init__(self, total: int, live: Progress | None) -> None:
        self.total, self.done = total, 0
        self.failed: dict[str, str] = {}  # reasons by the run's id
        self.start = time.perf_counter()
        self.live = live
        self.bar = live.add_task("starting", total=total) if live else None

    def running(self, line: str) -> None:
        """Shows a line on a run in progress."""
        if self.live and self.bar is not None:
            self.live.update(self.bar, description=line)

    def finished(self, status: RunStatus) -> None:
        """Counts a run that has ended, and shows its line."""
        self.done += 1
        if status.failed:
            reason = status.line.removeprefix("failed: ")
            self.failed[id_of(status.run.folder)] = reason
        line = f"{status.run.name}: {status.line} ({status.seconds:.1f} s)"
        if self.live and self.bar is not None:
            self.live.update(self.bar, advance=1, description=line)
            if status.failed:
                self.live.console.print(line, markup=False)
            return
        spent = time.perf_counter() - self.start
        left = spent / self.done * (self.total - self.done)
        print(f"[{self.done}/{self.total}] {line}, {_time(left)} left", flush=True)


@contextmanager
def display(total: int) -> Iterator[Display]:
    """The display of ``total`` runs, live only on a terminal."""
    if not sys.stdout.isatty():
        yield Display(total, None)
        return
    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns) as live:
        yield Display(total, live)


def print_recall(frame: pd.DataFrame, reference: str) -> None:
    """Prints each arm's recall@20 and its difference from the reference."""
    keys, title = ["arm", *swept_columns(frame)], f"recall@{CUTOFF} [95 % interval]"
    rows = [
        [
            *_key_cells(row, keys),
            interval_text(row["mean"], row["low"], row["high"], ".4f"),
            interval_text(row["delta"], row["delta_low"], row["delta_high"], "+.4f"),
        ]
        for row in _recall(frame, [*keys, *DELTA]).to_dict("records")
    ]
    _print_table(title, [*keys, "mean", f"difference from {reference}"], rows)


def beside_committed(frame: pd.DataFrame, committed: pd.DataFrame) -> None:
    """Prints each arm's recall@20 beside the committed interval."""
    swept = dict.fromkeys([*swept_columns(frame), *swept_columns(committed)])
    keys = ["arm", *(n for n in swept if n in frame and n in committed)]
    both = _recall(frame, keys).merge(
        _recall(committed, keys), on=keys, how="left", suffixes=("", "_committed")
    )
    rows = [
        [*_key_cells(row, keys), f"{row['mean']:.4f}", *_committed(row)]
        for row in both.to_dict("records")
    ]
    heads = [*keys, "here", "committed", "95 % interval", "inside"]
    _print_table(f"recall@{CUTOFF}, here and as committed in results/", heads, rows)


def _key_cells(row: dict[Hashable, Any], keys: list[str]) -> list[str]:
    """The arm and its swept values."""
    return [row["arm"], *(number_text(row[key], "g") for key in keys[1:])]


def _print_table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title)
    for name in heads:
        table.add_column(name, justify="left" if name == "arm" else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _committed(row: dict[Hashable, Any]) -> tuple[str, str, str]:
    """The committed mean, its interval, and whether the mean here lies inside."""
    low, high = row["low_committed"], row["high_committed"]
    if not row["mean_committed"] > 0:
        return "-", "-", "not committed"
    inside = low <= row["mean"] <= high
    interval = f"[{low:.4f}, {high:.4f}]"
    return f"{row['mean_committed']:.4f}", interval, "yes" if inside else "no"


def _recall(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    at = frame[(frame.metric == "recall") & (frame.k == CUTOFF)]
    return at[[*keys, "mean", "low", "high"]]


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
