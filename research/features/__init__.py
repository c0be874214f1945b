"""What the towers may know of users and items: the registry, and columns by their kind.

A feature belongs to a side, users or items. The two sides stay separate types all the
way to the towers: nothing of the other side fits into a tower's argument. A name is
looked up in ``FEATURES``; any other column of the side's table is a feature by its kind
(``COLUMN_FEATURES``), so that a data set's own columns need no entry.

Reading names and help needs neither JAX nor scikit-learn: what makes the arrays is
imported on the first call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Int
from numpy import ndarray

from research.config import Config
from research.registry import Registry, deferred
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Events,
    Table,
)

__all__ = [
    "CLICK_TIMES",
    "COLUMN_FEATURES",
    "FEATURES",
    "ITEM",
    "PER_EVENT",
    "PER_WINDOW",
    "STATIC",
    "USER",
    "Codes",
    "Feature",
    "Request",
    "feature_of",
]

USER, ITEM = "user", "item"

# What a feature's function returns, of n users or items, u users and e fitted events:
STATIC = "static"  # Codes, or numbers [n, f]
PER_EVENT = "per event"  # [e + u, f]: before each event of a user, then at its end
CLICK_TIMES = "click times"  # [e]: seconds; needs a history, and adds to its rows
PER_WINDOW = "per window"  # [w + 1, n, f]: row w is known when window w begins
_SIDE_OF = {PER_EVENT: USER, CLICK_TIMES: USER, PER_WINDOW: ITEM}


class Codes(NamedTuple):
    """The row of an embedding table of each user or item, and the table's rows."""

    code: Int[ndarray, " n"]
    rows: int


class Request(NamedTuple):
    """What a feature is made from: its name and side, the fitted events, the config."""

    name: str
    side: str
    events: Events
    config: Config

    @property
    def table(self) -> Table:
        """The table of the side."""
        return self.events.table(self.side)

    @property
    def column(self) -> Column:
        """The column of the feature's name."""
        return self.table.columns[self.name]


_TABLE = "{side} {name}"


@dataclass(frozen=True)
class Feature:
    """What a tower may know of its side: one line of help, one function.

    Args:
      help: what it is, for lists of features.
      sides: USER, ITEM or both.
      make: the function of a Request; ``gives`` says what it returns.
      gives: STATIC, PER_EVENT, CLICK_TIMES or PER_WINDOW. The last sets the batches in
        order of time, window after window.
      kind: the kind of the column of the feature's name that it reads, "" for none.
      default: the sides on which it is used where the config names no features.
      table: name of the embedding table of its codes; decides the initial values.
      rated: whether it needs the ratings below the threshold.
      file: whether it needs the config's item_array.
      available: whether the events and the config have what else it needs.
      check: refuses, by an InputError, what would only fail in ``make``.
    """

    help: str
    sides: tuple[str, ...]
    make: Callable[[Request], Any]
    gives: str = STATIC
    kind: str = ""
    default: tuple[str, ...] = ()
    table: str = _TABLE
    rated: bool = False
    file: bool = False
    available: Callable[[Events, Config], bool] = lambda events, config: True
    check: Callable[[Request], None] = lambda request: None

    def __post_init__(self) -> None:
        """Compares what it gives with its sides.

        Raises:
          ValueError: a side that can't take it.
        """
        if self.gives != STATIC and self.sides != (_SIDE_OF.get(self.gives),):
            raise ValueError(f"{self.gives!r} of {' and '.join(self.sides)}")


def _feature(help: str, sides: tuple[str, ...], make: str, **fields: Any) -> Feature:
    return Feature(help, sides, deferred("research.features." + make), **fields)


def _column(
    kind: str, sides: tuple[str, ...], help: str, make: str, table: str = _TABLE
) -> Feature:
    """The feature of a column; a text is no default, and checks what it needs."""
    check = deferred("research.features.content:check_text")
    fields: dict[str, Any] = {"check": check} if kind == TEXT else {"default": sides}
    return _feature(help, sides, f"content:{make}", kind=kind, table=table, **fields)


_BOTH, _USER, _ITEM = (USER, ITEM), (USER,), (ITEM,)
COLUMN_FEATURES = {
    CATEGORY: _column(CATEGORY, _BOTH, "a code for each category", "category"),
    NUMBER: _column(NUMBER, _BOTH, "standardised, and whether it is missing", "number"),
    CATEGORIES: _column(CATEGORIES, _BOTH, "a flag for each category", "categories"),
    TEXT: _column(TEXT, _BOTH, "words, 32 dimensions of an SVD", "text_vectors"),
}
# The order is that of numbers side by side: it decides which initial values they meet.
FEATURES: Registry[Feature] = Registry(
    "feature",
    {
        "id": _feature(
            "a code of its own", _BOTH, "content:identity",
            default=_ITEM, table="{side}",
        ),
        "age": _column(NUMBER, _USER, "age in seven classes", "age_class", "age"),
        "zip": _column(CATEGORY, _USER, "its first digit", "first_digit", "zip"),
        "gender": _column(CATEGORY, _USER, "gender", "category", "gender"),
        "occupation": _column(CATEGORY, _USER, "occupation", "category", "occupation"),
        "genre-profile": _feature(
            "rate of positives among the user's ratings of each genre so far",
            _USER, "timed:genre_profile", gives=PER_EVENT, rated=True,
            available=lambda events, config: bool(events.items.topics().any()),
        ),
        "history-age": _feature(
            "seconds from each click to the latest one, in powers of two",
            _USER, "timed:click_seconds", gives=CLICK_TIMES,
        ),
        "genres": _column(CATEGORIES, _ITEM, "a flag for each genre", "categories"),
        "year": _column(NUMBER, _ITEM, "its decade", "decade", "decade"),
        "title": _column(TEXT, _ITEM, "words, 32 dimensions of an SVD", "text_vectors"),
        "profile": _feature(
            "mean rating and log(1 + ratings) in the fitted part",
            _ITEM, "timed:item_profile", rated=True,
        ),
        "dynamic": _feature(
            "log(1 + positives) and rate of positives in the last window that is over",
            _ITEM, "timed:recent", gives=PER_WINDOW, rated=True,
        ),
        "array": _feature(
            "vectors from the file item_array",
            _ITEM, "content:item_array", default=_ITEM, file=True,
        ),
    },
)  # fmt: skip


def feature_of(table: Table, name: str, side: str) -> Feature | None:
    """The registry's feature of that name, else that of the column's kind.

    A registered feature that reads a column needs one of its kind. None where the
    registry has no such feature of the side and the table no such column.
    """
    entry, column = FEATURES.get(name), table.columns.get(name)
    kind = column.kind if column else None
    if entry and side in entry.sides and entry.kind in ("", kind):
        return entry
    return COLUMN_FEATURES[column.kind] if column else None
