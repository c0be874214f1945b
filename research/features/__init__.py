"""The features of users and items: the registry, a run's choice, and their arrays.

A feature belongs to a side, users or items. The two sides stay separate types all the
way to the towers: nothing of the other side fits into a tower's argument. A name is
looked up in ``FEATURES``; any other column of the side's table is a feature by its kind
(``COLUMN_FEATURES``), so that a data set's own columns need no entry.

Reading names and help needs neither JAX nor scikit-learn: the functions that make the
arrays are imported on the first call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
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
    InputError,
    Table,
)

USER, ITEM = "user", "item"

# What a feature's function returns, of n users or items, u users and e fitted events:
STATIC = "static"  # Codes, or numbers [n, f]
PER_EVENT = "per event"  # [e + u, f]: before each event of a user, then at its end
CLICK_TIMES = "click times"  # [e]: seconds; needs a history, to whose rows it is added
PER_WINDOW = "per window"  # [w + 1, n, f]: row w is known when window w begins
_SIDE_OF = {PER_EVENT: USER, CLICK_TIMES: USER, PER_WINDOW: ITEM}


class Codes(NamedTuple):
    """Each user's or item's row of an embedding table, and the number of its rows.

    A code equal to ``rows`` stands for a value that the reference table lacks.
    """

    code: Int[ndarray, " n"]
    rows: int


class Request(NamedTuple):
    """A feature to make: its name and side, the events, the config.

    fitted is the side's table in training, which categories, means and the like are
    taken from where the events are those of other users or items. None stands for the
    events' own table.
    """

    name: str
    side: str
    events: Events
    config: Config
    fitted: Table | None = None

    @property
    def table(self) -> Table:
        """The table of the side: a row for each user or item to make the feature of."""
        return self.events.table(self.side)

    @property
    def column(self) -> Column:
        """The column of the feature's name."""
        return self.table.columns[self.name]

    @property
    def reference(self) -> Table:
        """The table that decides categories, means and numbers of rows."""
        return self.table if self.fitted is None else self.fitted

    @property
    def reference_column(self) -> Column:
        """The reference table's column of the feature's name."""
        return self.reference.columns[self.name]


_TABLE = "{side} {name}"


@dataclass(frozen=True)
class Feature:
    """A property of users or items for their tower: one line of help, one function.

    Args:
      help: what it is, for lists of features.
      sides: USER, ITEM or both.
      make: the function of a Request; ``gives`` says what it returns.
      gives: STATIC, PER_EVENT, CLICK_TIMES or PER_WINDOW. With the last, batches go
        through time, window after window.
      kind: the kind of the column of the feature's name that it reads, "" for none.
      default: the sides on which it is used where the config names no features.
      table: name of the embedding table of its codes; decides the initial values.
      rated: whether it needs the ratings below the threshold.
      file: whether it needs the config's item_array.
      available: whether the events and the config have whatever else it needs.
      check: raises InputError where ``make`` would fail.
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
        """Checks that its sides can take what it gives.

        Raises:
          ValueError: one can't.
        """
        if self.gives != STATIC and self.sides != (_SIDE_OF.get(self.gives),):
            raise ValueError(
                f"a feature of {' and '.join(self.sides)} can't give {self.gives!r}"
            )


def _feature(help: str, sides: tuple[str, ...], make: str, **fields: Any) -> Feature:
    return Feature(help, sides, deferred("research.features." + make), **fields)


def _column(
    kind: str, sides: tuple[str, ...], help: str, make: str, table: str = _TABLE
) -> Feature:
    """The feature of a column; texts are no default feature, and have a check."""
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
# Dense features are put side by side in this order, which decides the initial weights
# that each meets.
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
            "mean rating and log(1 + ratings) in the training part",
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


def available(side: str, events: Events, config: Config) -> dict[str, Feature]:
    """The available features of a side, by name: id, columns, all others.

    A column without any value counts as absent.
    """
    table = events.table(side)
    features = {}
    for name in dict.fromkeys(["id", *table.columns, *FEATURES]):
        feature = feature_of(table, name, side)
        if (
            feature
            and not (feature.kind and table.columns[name].missing.all())
            and (events.rated is not None or not feature.rated)
            and (config.item_array or not feature.file)
            and feature.available(events, config)
        ):
            features[name] = feature
    return features


def choose_features(side: str, events: Events, config: Config) -> dict[str, Feature]:
    """The features of a side that the config names, else the default ones at hand.

    Raises:
      InputError: a name that the data set lacks.
    """
    features = available(side, events, config)
    names = config.user_features if side == USER else config.item_features
    if names is None:
        own = ("id",) if config.layers in ("added", "residual") else ()
        return {n: f for n, f in features.items() if side in f.default or n in own}
    for name in names:
        if name not in features:
            raise InputError(
                f"{side} feature '{name}' is not in this data set: "
                f"it has {' '.join(features)}"
            )
    return {name: features[name] for name in names}


def resolve_sides(
    config: Config, events: Events, with_history: bool
) -> tuple[dict[str, Feature], dict[str, Feature]]:
    """The user and the item features of a run, after all checks of them.

    Raises:
      InputError: a feature that the data set lacks or that can't be made, or a tower
        without input.
    """
    users, items = (choose_features(side, events, config) for side in (USER, ITEM))
    of_clicks = [name for name, f in users.items() if f.gives == CLICK_TIMES]
    if len(of_clicks) > 1:
        raise InputError(f"user features {' and '.join(of_clicks)}: name one of them")
    if not with_history:
        if len(users) == len(of_clicks):
            raise InputError(
                "the user tower has neither a history nor a feature: encoder "
                f"{config.encoder}, and no --user-features (id is one)"
            )
        for name in of_clicks:
            raise InputError(
                f"user feature '{name}' needs a history: history is 0 or "
                f"encoder {config.encoder} reads none"
            )
    if not items:
        raise InputError("the item tower has no feature")
    if config.item_array and not any(feature.file for feature in items.values()):
        raise InputError("item_array names a file: name 'array' in item_features too")
    for side, features in ((USER, users), (ITEM, items)):
        for name, feature in features.items():
            feature.check(Request(name, side, events, config))
    return users, items


def registered_features(config: Config) -> list[tuple[str, Feature]]:
    """The features of the registry that the config names, each with its name."""
    named = ((USER, config.user_features or ()), (ITEM, config.item_features or ()))
    return [
        (name, FEATURES[name])
        for side, names in named
        for name in names
        if name in FEATURES and side in FEATURES[name].sides
    ]


class Features(NamedTuple):
    """A side's static features: codes [n] into tables of so many rows; dense [n, f]."""

    codes: dict[str, Int[ndarray, " n"]]
    sizes: dict[str, int]
    dense: Float[ndarray, "n f"]


def static_features(
    side: str,
    features: Mapping[str, Feature],
    events: Events,
    config: Config,
    fitted: Table | None = None,
) -> Features:
    """The codes and the numbers of the static ones among the features.

    Raises:
      InputError: a feature's function has returned something other than codes or
        numbers for each user or item.
    """
    n, codes, sizes = len(events.table(side).id), {}, {}
    dense, above = [np.zeros((n, 0), np.float32)], int(fitted is not None)
    made = make_features(STATIC, side, features, events, config, fitted)
    for name, values in made.items():
        if isinstance(values, Codes):
            code, rows = values
            whole = code.dtype.kind in "iu" and code.shape == (n,)
            if not whole or code.min() < 0 or code.max() >= rows + above:
                raise InputError(
                    f"{side} feature '{name}': expected {n} codes below {rows}"
                )
            table = features[name].table.format(side=side, name=name)
            codes[table], sizes[table] = code.astype(np.int32), rows
            continue
        numbers = np.asarray(values)
        is_table = numbers.ndim == 2 and len(numbers) == n
        if not is_table or numbers.dtype.kind not in "fiub":
            raise InputError(
                f"{side} feature '{name}': expected {n} rows of numbers, not "
                f"{list(numbers.shape)} of {numbers.dtype}"
            )
        dense.append(numbers.astype(np.float32, copy=False))
    return Features(codes, sizes, np.concatenate(dense, axis=1))


def make_features(
    gives: str,
    side: str,
    features: Mapping[str, Feature],
    events: Events,
    config: Config,
    fitted: Table | None = None,
) -> dict[str, Any]:
    """The values of the features that give one thing, in the order of the registry."""
    names = [name for name in dict.fromkeys([*FEATURES, *features]) if name in features]
    return {
        name: features[name].make(Request(name, side, events, config, fitted))
        for name in names
        if features[name].gives == gives
    }
