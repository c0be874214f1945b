"""Records that pass between the stages, and the check that guards a stage's entry.

Conventions, once for all files: the last axis of a score is candidates (``c``),
the leading one the batch (``b``); ``u`` users, ``i`` items, ``e`` events, ``h``
held-out positives, ``d`` dimension, ``k`` cut-off, ``s`` steps. ``keep`` is True
for what is allowed; ``log_q`` is the log of a sampling probability; a *score* is
before temperature and correction, a *logit* after.

Records are NamedTuples, which are pytrees under jit, vmap and scan. ``check(record)``
compares each field with its annotation; a stage calls it on its input.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from jaxtyping import Bool, Float, Int, UInt, UInt8
from numpy import ndarray

BANDS = ("head", "torso", "tail")

# Number of pairs that a candidate without any counts as, so that its log q is finite;
# below 1, so that it stays rarer than one with a pair. The papers leave this open; the
# value is this project's choice.
UNSEEN = 0.3

Hyper = dict[str, Any]  # a float32 scalar for each name, traced


class InputError(Exception):
    """Bad input from the person at the keyboard: one line, exit status 2."""


class TooLarge(InputError):
    """Arrays that can't fit this machine's memory."""


# Kinds of columns.
CATEGORY, NUMBER, CATEGORIES, TEXT = "category", "number", "categories", "text"
_TYPES = {CATEGORY: "Uiu", NUMBER: "fiu", CATEGORIES: "b", TEXT: "U"}  # dtype.kind


@dataclass(frozen=True, eq=False)
class Column:
    """A named property of users or items: its kind, and a value for each row.

    The values of each kind, and the value that says that a row has none:

    - ``category``: strings or whole-number codes [n]; "" or a negative code.
    - ``number``: numbers [n]; NaN.
    - ``categories``: any number of categories per row, as flags [n, g] over their
      sorted ``names``, which hold no "|"; no flag set.
    - ``text``: strings [n]; "".
    """

    kind: str
    values: ndarray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Compares values and names with the kind.

        Raises:
          ValueError: they aren't values of the kind, or there is no such kind.
        """
        shape, dtype = self.values.shape, self.values.dtype
        width = (len(self.names),) if self.kind == CATEGORIES else ()
        if dtype.kind not in _TYPES.get(self.kind, "") or shape[1:] != width:
            raise ValueError(
                f"a column of kind {self.kind!r} can't hold values {dtype}{shape}"
            )
        if any("|" in name for name in self.names) or sorted(self.names) != [
            *dict.fromkeys(self.names)
        ]:
            raise ValueError(
                f"names of categories {self.names}: expected sorted and distinct ones "
                "without '|'"
            )

    @property
    def missing(self) -> Bool[ndarray, " n"]:
        """Which rows have no value."""
        values = self.values
        if self.kind == CATEGORIES:
            return np.logical_not(values.any(axis=1))
        if self.kind == NUMBER:
            return np.isnan(values)
        return np.asarray(values == "" if values.dtype.kind == "U" else values < 0)


class Table(NamedTuple):
    """Users or items: their raw ids and, by name, the columns that the source has.

    Tables of a data set are sorted by id. The order of the columns is the source's.
    Where the source's ids are text, ``text`` has them and id is a hash of each
    (research/rng.py).
    """

    id: Int[ndarray, " n"]
    columns: Mapping[str, Column]
    text: ndarray | None = None

    @property
    def names(self) -> ndarray:
        """The ids as the source has them: text, or whole numbers."""
        return self.id if self.text is None else self.text

    def take(self, rows: Int[ndarray, " t"]) -> "Table":
        """The table of these rows, in this order."""
        columns = {
            name: dataclasses.replace(column, values=column.values[rows])
            for name, column in self.columns.items()
        }
        text = None if self.text is None else self.text[rows]
        return Table(self.id[rows], columns, text)

    def of_kind(self, kind: str) -> list[Column]:
        """The columns of a kind, in order."""
        return [column for column in self.columns.values() if column.kind == kind]

    def titles(self) -> ndarray:
        """What to call each row: the first column of text; without one, the ids."""
        columns = self.of_kind(TEXT)
        return columns[0].values if columns else self.names.astype(str)

    def topics(self) -> Bool[ndarray, "n g"]:
        """What items are about: the first column of categories; [n, 0] if none."""
        columns = self.of_kind(CATEGORIES)
        return columns[0].values if columns else np.zeros((len(self.id), 0), np.bool_)


class Ratings(NamedTuple):
    """A data set: ratings as columns sorted by (user, item), two tables, a digest.

    user and item are rows of the tables (contiguous); timestamp is in seconds. Where
    ``timed`` is False every timestamp is 0 and there is no order; where ``rated`` is
    False every row is a positive. part is TRAIN, VALIDATION or TEST, where the source
    has its own split. notes are lines for the user on what was read.
    """

    name: str
    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]
    users: Table
    items: Table
    digest: str
    timed: bool = True
    rated: bool = True
    part: UInt8[ndarray, " n"] | None = None
    notes: tuple[str, ...] = ()


class Rated(NamedTuple):
    """All ratings among a catalogue, sorted by (user, order in time) as its events are.

    The positive ones are the events, in their order.
    """

    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]
    positive: Bool[ndarray, " n"]
    part: UInt8[ndarray, " n"] | None = None


class Pairs(NamedTuple):
    """Training pairs, on the host or the device: columns of an epoch or of a batch.

    query is an entity and position its place among the events: the history of a query
    is what stands before its position among the entity's events, so a position equal to
    the entity's end sees all of them.
    """

    query: Int[Any, " n"]
    position: Int[Any, " n"]
    candidate: Int[Any, " n"]
    weight: Float[Any, " n"]


class Events(NamedTuple):
    """Positives sorted by (user, order in time).

    User u has rows offsets[u]:offsets[u + 1]. user and item are catalogue indices: an
    item's is the rank of its hash, a user's the rank of its raw id. The tables are cut
    to the catalogue, in index order. rated is present where a feature needs the ratings
    below the threshold too. Where ``timed`` is False the order is that of a hash. part
    is the source's own split, where it has one.
    """

    user: Int[ndarray, " e"]
    item: Int[ndarray, " e"]
    rating: Float[ndarray, " e"]
    timestamp: Int[ndarray, " e"]
    order: Int[ndarray, " e"]
    offsets: Int[ndarray, " u1"]
    users: Table
    items: Table
    rated: Rated | None = None
    timed: bool = True
    part: UInt8[ndarray, " e"] | None = None

    @property
    def n_users(self) -> int:
        """Number of users of the catalogue."""
        return len(self.users.id)

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.items.id)

    @property
    def item_counts(self) -> Int[ndarray, " i"]:
        """Number of events of each item of the catalogue."""
        return np.bincount(self.item, minlength=self.n_items)

    def table(self, side: str) -> Table:
        """The table of a side, "user" or "item"."""
        return {"user": self.users, "item": self.items}[side]


class Fold(NamedTuple):
    """One phase: the events of its training part, and the positives it is judged by.

    Counts, log q, features, histories and popularity bands are of ``fitted`` alone.
    held_user, held_item and held_time (seconds) are sorted by user; evaluated lists the
    users with at least one fitted and one held-out positive, ascending. removed holds
    offsets [v + 1] and items [s]: where it is set, a user's list leaves out these items
    and not the fitted positives (research/positives/tasks.py, and ``left_out`` of the
    split's rules).
    """

    fitted: Events
    held_user: Int[ndarray, " h"]
    held_item: Int[ndarray, " h"]
    evaluated: Int[ndarray, " v"]
    held_time: Int[ndarray, " h"] | None = None
    removed: tuple[Int[ndarray, " v1"], Int[ndarray, " s"]] | None = None


class Record(NamedTuple):
    """Measurements of a run, from which all its tables and figures are made.

    Held-out positives of the evaluated users are listed by user, then by item (both
    ascending), so that the same positive has the same place in every run over the same
    data; ``columns["item"]`` [h] is its catalogue index, as in exposure. Records that
    hold only the first 100 ranks list by user, then by rank, and don't name the item.
    rank counts from 0 and is capped: a rank of ``depth`` says that the item isn't among
    the first ``depth``. band is 0, 1, 2 for BANDS. exposure[k, i] counts the top-k
    lists that hold item i, for the cut-offs ``ks``.

    ``columns`` holds by name whatever else was measured of the lists, for the metrics
    that need it (research/evaluate/metrics.py): [v] a value per user, [h] a value per
    held-out positive, or [k] a value per cut-off. A column is absent where it could not
    be measured, and from records that are older than its metric.
    """

    ks: Int[ndarray, " k"]
    held: Int[ndarray, " v"]
    rank: UInt[ndarray, " h"]
    band: UInt8[ndarray, " h"]
    exposure: Int[ndarray, "k i"]
    item_counts: Int[ndarray, " i"]
    columns: dict[str, ndarray]
    depth: int = 100  # where a record doesn't state it


T = TypeVar("T")


def check(record: T) -> T:
    """Returns the record after comparing each field with its annotation.

    Array axes share names across the fields of one record, as in a jaxtyped function.

    Raises:
      TypeError: naming the record, the field and what it holds.
    """
    from jaxtyping import jaxtyped

    hints: dict[str, Any] = get_type_hints(type(record))
    with jaxtyped("context"):
        for name, hint in hints.items():
            value = getattr(record, name)
            if not _fits(value, hint):
                what = type(value).__name__
                if hasattr(value, "shape"):
                    what = f"{value.dtype}{list(value.shape)}"
                raise TypeError(f"{type(record).__name__}.{name}: {what} is not {hint}")
    return record


def _fits(value: object, hint: Any) -> bool:
    try:
        return isinstance(value, hint)
    except TypeError:  # a parameterised generic such as tuple[str, ...]
        return isinstance(value, getattr(hint, "__origin__", object))


MANY_NAMES, FEW_NAMES = 10, 5  # of more than the first, a refusal names the second
LISTED = {  # words of the command list, by what a refusal calls an entry
    "arm": "arms",
    "baseline": "baselines",
    "feature": "features",
    "grid": "grids",
    "loss": "losses",
    "metric": "metrics",
    "model": "baselines",
    "source of negatives": "sources",
}


def choose(name: str, registry: Mapping[str, T], what: str) -> T:
    """The entry of that name.

    Raises:
      InputError: there is none; the line names the nearest and the choices, of more
        than ten the five nearest and the command that lists all.

    >>> choose("lst", {"last": 1, "ratio": 2}, "split")
    Traceback (most recent call last):
    research.types.InputError: unknown split 'lst' (nearest: last): choose last, ratio
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1, cutoff=0.4)
    hint = f" (nearest: {near[0]})" if near else ""
    names = sorted(registry)
    if len(names) > MANY_NAMES:
        close = difflib.get_close_matches(name, names, n=FEW_NAMES, cutoff=0.4)
        names = list(dict.fromkeys([*close, *names]))[:FEW_NAMES]
        listed = (
            f" (python -m experiments list {LISTED[what]})" if what in LISTED else ""
        )
        names.append(f"or one of {len(registry) - FEW_NAMES} others{listed}")
    raise InputError(f"unknown {what} '{name}'{hint}: choose {', '.join(names)}")


def check_distinct(values: Iterable[object], what: str) -> None:
    """Refuses a list that holds something twice.

    Raises:
      InputError: the first value that stands in it before.

    >>> check_distinct(["mixed", "ease", "mixed"], "arms")
    Traceback (most recent call last):
    research.types.InputError: arms: mixed is given twice
    """
    before: set[object] = set()
    for value in values:
        if value in before:
            raise InputError(f"{what}: {value} is given twice")
        before.add(value)
