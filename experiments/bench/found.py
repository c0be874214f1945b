"""What a benchmark found: rows, what was asked of them, and the file they lie in."""

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from research.files import replace


class Row(NamedTuple):
    """One side of one case: a value a repeat, and what else is known of it.

    Attributes:
      case: what was done, the same for all sides that are compared.
      side: who did it.
      unit: of the values; empty where nothing was measured.
      values: one a repeat.
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
    """What was asked for: seen is to be at least, or at most, so much.

    seen is None where a side that it takes wasn't measured.
    """

    what: str
    asked: float
    at_least: bool
    seen: float | None
    unit: str = "times"

    @property
    def met(self) -> bool | None:
        """Whether it is; None where nothing was seen."""
        if self.seen is None:
            return None
        return self.seen >= self.asked if self.at_least else self.seen <= self.asked


class Found(NamedTuple):
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


def ratio(rows: tuple[Row, ...], case: str, side: str, other: str) -> float | None:
    """Median of one side over that of another, in one case; None where one is missing.

    >>> fast, slow = Row("a", "x", "s", (1.0, 3.0, 9.0)), Row("a", "y", "s", (2.0,))
    >>> ratio((fast, slow), "a", "x", "y")
    1.5
    """
    by_side = {row.side: row.median for row in rows if row.case == case}
    above, below = by_side.get(side), by_side.get(other)
    return None if above is None or not below else above / below


def save_found(found: Found, folder: Path) -> Path:
    """Writes FOLDER/<benchmark>.json, whole or not at all."""
    rows = [{**row._asdict(), "median": row.median} for row in found.rows]
    targets = [{**target._asdict(), "met": target.met} for target in found.targets]
    text = json.dumps({**found._asdict(), "rows": rows, "targets": targets}, indent=1)
    return replace(folder / f"{found.benchmark}.json", (text + "\n").encode())


def load_found(path: Path) -> Found:
    """What ``save_found`` wrote."""
    told = json.loads(path.read_text())
    rows = [
        Row(**{n: v for n, v in row.items() if n != "median"}) for row in told["rows"]
    ]
    targets = [
        Target(**{n: v for n, v in target.items() if n != "met"})
        for target in told["targets"]
    ]
    rows = [row._replace(values=tuple(row.values)) for row in rows]
    return Found(**{**told, "rows": tuple(rows), "targets": tuple(targets)})
