"""What the towers may know of users and items: the registry, and columns by their kind.

A feature belongs to a side, users or items. The two sides stay separate types all the
way to the towers: nothing of the other side fits into a tower's argument. A name is
looked up in ``FEATURES``; any other column of the side's table is a feature by its kind
(``COLUMN_FEATURES``), so that a data set's own columns need no entry.

Reading names and help needs neither JAX nor scikit-learn: what makes the arrays is
imported on the first call.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
CLICK_TIMES = "click times"  # [e]: seconds; how long before the latest has a row
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


@dataclass(frozen=True)
class Feature:
    """What a tower may know of its side: one line of help, one function.

    Args:
      help: what it is, for lists of features.
      sides: USER, ITEM or both.
      make: the function of a Request; ``gives`` says what it returns.
      gives: STATIC, PER_EVENT, CLICK_TIMES or PER_WINDOW.
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
    table: str = "{side} {name}"
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

    @property
    def needs_history(self) -> bool:
        """Whether it says something of each click of a history, and nothing without."""
        return self.gives == CLICK_TIMES

    @property
    def needs_time_order(self) -> bool:
        """Whether batches have to go through time, window by window."""
        return self.gives == PER_WINDOW


_BOTH = (USER, ITEM)
_CONTENT, _TIMED = "research.features.content:", "research.features.timed:"

COLUMN_FEATURES: dict[str, Feature] = {
    CATEGORY: Feature(
        "a row of an embedding table for each category",
        _BOTH,
        deferred(_CONTENT + "category"),
        kind=CATEGORY,
        default=_BOTH,
    ),
    NUMBER: Feature(
        "the number, standardised; where some are missing, 0 and a flag beside it",
        _BOTH,
        deferred(_CONTENT + "number"),
        kind=NUMBER,
        default=_BOTH,
    ),
    CATEGORIES: Feature(
        "a flag for each category",
        _BOTH,
        deferred(_CONTENT + "categories"),
        kind=CATEGORIES,
        default=_BOTH,
    ),
    TEXT: Feature(
        "hashed words and pairs of words, weighed by rarity, 32 dimensions of an SVD",
        _BOTH,
        deferred(_CONTENT + "text_vectors"),
        kind=TEXT,
        check=deferred(_CONTENT + "check_text"),
    ),
}


def _of_column(
    kind: str, side: str, help: str, function: str = "", table: str = ""
) -> Feature:
    """A column's own feature: another function than its kind has, or another table.

    Args:
      kind: of the column.
      side: whose column it is.
      help: as Feature has it.
      function: of research/features/content.py; "" is that of the kind.
      table: of the codes; "" is that of other columns.
    """
    other = COLUMN_FEATURES[kind]
    return replace(
        other,
        help=help,
        sides=(side,),
        make=deferred(_CONTENT + function) if function else other.make,
        default=(side,) if other.default else (),
        table=table or other.table,
    )


# The order is that of numbers side by side: it decides which initial values they meet.
FEATURES: Registry[Feature] = Registry(
    "feature",
    {
        "id": Feature(
            "a row of its own of an embedding table",
            _BOTH,
            deferred(_CONTENT + "identity"),
            default=(ITEM,),
            table="{side}",
        ),
        "age": _of_column(
            NUMBER, USER, "age in the classes of MovieLens 1M", "age_class", "age"
        ),
        "zip": _of_column(
            CATEGORY, USER, "first digit of the zip code", "first_digit", "zip"
        ),
        "gender": _of_column(CATEGORY, USER, "gender", table="gender"),
        "occupation": _of_column(CATEGORY, USER, "occupation", table="occupation"),
        "genre-profile": Feature(
            "rate of positives among the user's ratings of each genre so far",
            (USER,),
            deferred(_TIMED + "genre_profile"),
            PER_EVENT,
            rated=True,
            available=lambda events, config: bool(events.items.topics().any()),
        ),
        "history-age": Feature(
            "seconds from each click to the latest one, in powers of two",
            (USER,),
            deferred(_TIMED + "click_seconds"),
            CLICK_TIMES,
        ),
        "genres": _of_column(CATEGORIES, ITEM, "a flag for each genre"),
        "year": _of_column(NUMBER, ITEM, "decade", "decade", "decade"),
        "title": _of_column(TEXT, ITEM, "words of the title, 32 dimensions of an SVD"),
        "profile": Feature(
            "mean rating and log(1 + ratings) in the fitted part",
            (ITEM,),
            deferred(_TIMED + "item_profile"),
            rated=True,
        ),
        "dynamic": Feature(
            "log(1 + positives) and rate of positives in the last window that is over",
            (ITEM,),
            deferred(_TIMED + "recent"),
            PER_WINDOW,
            rated=True,
        ),
        "array": Feature(
            "vectors from the file item_array",
            (ITEM,),
            deferred(_CONTENT + "item_array"),
            default=(ITEM,),
            file=True,
        ),
    },
)


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
