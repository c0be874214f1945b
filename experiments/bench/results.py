"""Results of a benchmark: rows and targets, their file, and the page of all files."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.bench.protocol import Turns
from research.files import read_json, replace
from research.report.pages import markdown_page, markdown_table

QUICK = "A quick run: its numbers aren't results."


class Row(NamedTuple):
    """One side of one case: a value per repeat, and what else is known of it.

    Attributes:
      case: what was measured, the same for all sides that are compared.
      side: the name of the side.
      unit: of the values; empty where nothing was measured.
      values: one per repeat.
      more: further numbers by their name, which ends in their unit.
      note: what a reader must know; where nothing was measured, why.
    """

    case: str
    side: str
    unit: str = ""
    values: tuple[float, ...] = ()
    more: dict[str, float] = {}  # noqa: RUF012
    note: str = ""

    @property
    def median(self) -> float | None:
        """The middle value, None without any."""
        return statistics.median(self.values) if self.values else None


class Target(NamedTuple):
    """A target: ``seen`` should be at least, or at most, ``asked``.

    seen is the measured value, None where a side that it needs wasn't measured.
    """

    what: str
    asked: float
    at_least: bool
    seen: float | None
    unit: str = "times"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.seen is None:
            return None
        return self.seen >= self.asked if self.at_least else self.seen <= self.asked


def requirement(target: Mapping[str, Any]) -> str:
    """What a target asks for, by the names of its fields."""
    sign = "at least" if target["at_least"] else "at most"
    return f"{sign} {target['asked']:g} {target['unit']}"


class BenchmarkResult(NamedTuple):
    """A finished benchmark.

    Attributes:
      benchmark: its name.
      about: what was done, a sentence or two.
      rows: in the order of the table.
      targets: what was asked for.
      setting: the machine, the versions, the data, the date, whether it was quick.
    """

    benchmark: str
    about: str
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    setting: dict[str, Any] = {}  # noqa: RUF012


def side_row(
    case: str,
    side: str,
    unit: str,
    turns: Turns,
    value: Callable[[dict[str, Any]], float],
) -> Row:
    """A side's row: its value of each portion, or why it failed."""
    if turns.failed:
        return Row(case, side, note=f"failed: {turns.failed}")
    return Row(case, side, unit, tuple(map(value, turns.portions)))


def ratio(rows: Sequence[Row], case: str, side: str, other: str) -> float | None:
    """Ratio of two sides' medians in one case; None where one is missing.

    >>> fast, slow = Row("a", "x", "s", (1.0, 3.0, 9.0)), Row("a", "y", "s", (2.0,))
    >>> ratio((fast, slow), "a", "x", "y")
    1.5
    """
    by_side = {row.side: row.median for row in rows if row.case == case}
    above, below = by_side.get(side), by_side.get(other)
    return None if above is None or not below else above / below


def save_result(result: BenchmarkResult, folder: Path) -> Path:
    """Writes FOLDER/<benchmark>.json, whole or not at all."""
    rows = [{**row._asdict(), "median": row.median} for row in result.rows]
    targets = [{**target._asdict(), "met": target.met} for target in result.targets]
    text = json.dumps({**result._asdict(), "rows": rows, "targets": targets}, indent=1)
    return replace(folder / f"{result.benchmark}.json", (text + "\n").encode())


def page_of(folder: Path, order: Sequence[str]) -> str:
    """The page of the benchmarks in that order, without those that have no file."""
    paths = [folder / f"{name}.json" for name in order]
    results = [read_json(path) for path in paths if path.is_file()]
    return markdown_page(
        "Benchmarks",
        "Written by `python -m experiments bench` from the files beside it. Medians "
        "over repeats, the least and the largest in brackets; sides of one case took "
        "turns. Compilation is apart from what is timed.",
        *(block for result in results for block in _section(result)),
    )


def _section(result: dict[str, Any]) -> list[str]:
    """A benchmark's blocks: what was done, where, the rows, the targets."""
    names = list(dict.fromkeys(name for row in result["rows"] for name in row["more"]))
    rows = [_cells(row, names) for row in result["rows"]]
    blocks = [f"## {result['benchmark']}", result["about"], _where(result["setting"])]
    blocks.append(markdown_table(["case", "side", "median", *names, "note"], rows))
    met = {True: "met", False: "not met", None: ""}
    targets = [
        [
            *(target["what"], requirement(target)),
            "not measured" if target["seen"] is None else _number(target["seen"]),
            met[target["met"]],
        ]
        for target in result["targets"]
    ]
    if targets:
        blocks.append(markdown_table(["asked of", "asked", "seen", ""], targets))
    return blocks


def _where(setting: dict[str, Any]) -> str:
    machine, packages = setting["machine"], setting["packages"]
    parts = [
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory GiB']} GiB, device {setting['device']}",
        ", ".join(f"{name} {number}" for name, number in packages.items()),
    ]
    if work := setting.get("work"):
        parts.append(
            f"{work['data']}: {work['users']:,} users, {work['items']:,} items, "
            f"{work['examples']:,} examples"
        )
    end = f" {QUICK}" if setting["quick"] else ""
    return f"{'; '.join(parts)}; {setting['date']}.{end}"


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    median, values = "", row["values"]
    if values:
        median = f"{_number(row['median'])} {row['unit']}"
        if len(values) > 1:
            median += f" [{_number(min(values))}, {_number(max(values))}]"
    more = [_number(row["more"][n]) if n in row["more"] else "" for n in names]
    return [row["case"], row["side"], median, *more, row["note"]]


def _number(value: float) -> str:
    """Three digits and no power of ten.

    >>> [_number(x) for x in (0.01234, 1.2345, 123.4, 12345.6)]
    ['0.0123', '1.23', '123', '12,346']
    """
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"
