"""Records that pass between the stages, and the check that guards a stage's entry.

Conventions, once for all files: the last axis of a score is candidates (``c``),
the leading one the batch (``b``); ``u`` users, ``i`` items, ``e`` events, ``h``
held-out positives, ``d`` dimension, ``k`` cut-off, ``s`` steps. ``keep`` is True
for what is allowed; ``log_q`` is the log of a sampling probability; a *score* is
before temperature and correction, a *logit* after.

Records are NamedTuples, so that jax takes them apart by itself under jit, vmap
and scan. NamedTuples aren't checked by a decorator: ``check(record)`` compares
each field with its annotation, and a stage calls it on what it is given.
"""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

__all__ = [
    "BANDS",
    "Events",
    "Fold",
    "InputError",
    "Items",
    "Pairs",
    "Rated",
    "Ratings",
    "Record",
    "Users",
    "check",
    "choose",
]

BANDS = ("head", "torso", "tail")


class InputError(Exception):
    """Bad input from the person at the keyboard: one line, exit status 2."""


class Users(NamedTuple):
    """User table, rows sorted by raw id; a column the source lacks is None.

    gender is "M", "F"; age is the age in years as the source gives it (MovieLens 1M
    gives the lower end of a bucket); strings are empty where unknown.
    """

    id: Int[ndarray, " u"]
    gender: ndarray | None
    age: Int[ndarray, " u"] | None
    occupation: ndarray | None
    zip: ndarray | None


class Items(NamedTuple):
    """Item table, rows sorted by raw id: title without year, year (0 unknown), genres.

    genres is multi-hot over genre_names (sorted); an item without genre has none set.
    """

    id: Int[ndarray, " i"]
    title: ndarray
    year: Int[ndarray, " i"]
    genres: Bool[ndarray, "i g"]
    genre_names: tuple[str, ...]


class Ratings(NamedTuple):
    """A data set: ratings as columns sorted by (user, item), two tables, a digest.

    user and item are rows of the tables (contiguous); timestamp is in seconds.
    """

    name: str
    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]
    users: Users
    items: Items
    digest: str


class Rated(NamedTuple):
    """All ratings among a catalogue, sorted by (user, order in time) as its events are.

    The positive ones are the events, in their order.
    """

    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]
    positive: Bool[ndarray, " n"]


class Events(NamedTuple):
    """Positives sorted by (user, order in time).

    User u has rows offsets[u]:offsets[u + 1]. user and item are catalogue indices: an
    item's is the rank of its hash, a user's the rank of its raw id. The tables are cut
    to the catalogue, in index order. rated is there where a feature needs what was
    rated below the threshold too.
    """

    user: Int[ndarray, " e"]
    item: Int[ndarray, " e"]
    rating: Float[ndarray, " e"]
    timestamp: Int[ndarray, " e"]
    order: Int[ndarray, " e"]
    offsets: Int[ndarray, " u1"]
    users: Users
    items: Items
    rated: Rated | None = None

    @property
    def n_users(self) -> int:
        """Number of users of the catalogue."""
        return len(self.users.id)

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.items.id)


class Fold(NamedTuple):
    """One phase: the events it fits on, and the positives it is judged by.

    fitted alone feeds counts, log q, features, histories, what is seen and the
    popularity bands. held_user, held_item are sorted by user, and held_time (seconds)
    goes with them; evaluated lists the users with at least one fitted and one held-out
    positive, ascending. removed, offsets [v + 1] and items, is what their lists leave
    out where that isn't the fitted positives (research/positives/tasks.py).
    """

    fitted: Events
    held_user: Int[ndarray, " h"]
    held_item: Int[ndarray, " h"]
    evaluated: Int[ndarray, " v"]
    held_time: Int[ndarray, " h"] | None = None
    removed: tuple[Int[ndarray, " v1"], Int[ndarray, " s"]] | None = None


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


class Record(NamedTuple):
    """What a run leaves behind for every table and figure, a few kilobytes.

    Held-out positives of the evaluated users are listed by user (ascending), then by
    rank; rank counts from 0 and is capped: 100 means not among the first 100.
    band is 0, 1, 2 for BANDS. exposure[k, i] counts the top-k lists that hold item i,
    for the cut-offs ``ks``. The per-user columns are at cut-off 20.

    The last four may be None: expansion (1 where a held-out positive has only genres
    foreign to its user) and outside_genres where the data have no genres, repulsion
    where only lists were evaluated, and all four, with distinct (how many of the top-k
    lists differ), in a record of before they were measured.
    """

    ks: Int[ndarray, " k"]
    held: Int[ndarray, " v"]
    rank: UInt8[ndarray, " h"]
    band: UInt8[ndarray, " h"]
    exposure: Int[ndarray, "k i"]
    item_counts: Int[ndarray, " i"]
    ild: Float[ndarray, " v"]
    novelty: Float[ndarray, " v"]
    train_count: Float[ndarray, " v"]
    recall_item: Float[ndarray, " v"]
    expansion: UInt8[ndarray, " h"] | None = None
    outside_genres: Float[ndarray, " v"] | None = None
    repulsion: Float[ndarray, " v"] | None = None
    distinct: Int[ndarray, " k"] | None = None


T = TypeVar("T")


def check(record: T) -> T:
    """Returns the record after comparing each field with its annotation.

    Array axes share names across the fields of one record, as in a jaxtyped
    function. Raises TypeError naming the record, the field and what it holds.
    """
    from jaxtyping import jaxtyped

    hints: dict[str, Any] = get_type_hints(type(record))
    with jaxtyped("context"):
        for name, hint in hints.items():
            value = getattr(record, name)
            if not _fits(value, hint):
                found = (
                    f"{value.dtype}{list(value.shape)}"
                    if hasattr(value, "shape")
                    else type(value).__name__
                )
                raise TypeError(
                    f"{type(record).__name__}.{name}: {found} is not {hint}"
                )
    return record


def _fits(value: object, hint: Any) -> bool:
    try:
        return isinstance(value, hint)
    except TypeError:  # a parameterised generic such as tuple[str, ...]
        return isinstance(value, getattr(hint, "__origin__", object))


CHOOSE_T = TypeVar("CHOOSE_T")


def choose(name: str, registry: Mapping[str, CHOOSE_T], what: str) -> CHOOSE_T:
    """The entry of that name.

    Raises:
      InputError: there is none; the line names the choices and the nearest.

    >>> choose("lst", {"last": 1, "ratio": 2}, "split")
    Traceback (most recent call last):
    research.types.InputError: unknown split 'lst' (nearest: last): choose last, ratio
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1, cutoff=0.4)
    hint = f" (nearest: {near[0]})" if near else ""
    raise InputError(
        f"unknown {what} '{name}'{hint}: choose {', '.join(sorted(registry))}"
    )
