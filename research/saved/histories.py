"""Histories and features of users in raw ids, as files or mappings, made into events.

    user,item,timestamp          user,age,gender
    17,242,881250949             17,31,F

Without timestamps, clicks stand in the order of time. A row without an item names a
user without clicks. Ids are those of the data set that the model was trained on, whole
numbers or texts.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from research.data.delimited import (
    TIMES,
    Named,
    are_dates,
    id_problem,
    in_seconds,
    malformed,
    new_id,
    number_of,
    open_table,
    says_missing,
    whole_table,
)
from research.data.places import Place
from research.events import by_time, offsets_of
from research.features.content import places
from research.marks import FLOAT_LIMIT
from research.notices import say
from research.rng import text_id
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    Column,
    Events,
    InputError,
    Ratings,
    Table,
)

if TYPE_CHECKING:
    from research.saved.model import SavedModel


class Histories(NamedTuple):
    """Clicks as columns [e]: raw ids and times; users holds each named user once.

    timed is False where times only number the clicks.
    """

    users: ndarray
    user: Int[ndarray, " e"]
    item: ndarray
    time: Int[ndarray, " e"]
    timed: bool


class Queries(NamedTuple):
    """Users to encode, as events over the model's items; notes say what was skipped."""

    events: Events
    notes: tuple[str, ...]


Row = tuple[str, str, Mapping[str, Any]]  # where it stands, the user, its values


def read_histories(
    source: Path | str | Mapping[Any, Any],
    users: Table,
    items: Table,
    called: Mapping[str, str] = MappingProxyType({}),
) -> Histories:
    """Histories from a csv file or from a mapping of user id to items, earliest first.

    Raises:
      InputError: a file of another form, or an id of another kind.
    """
    user: list[Any] = []
    item: list[Any] = []
    time: list[int] = []
    times: list[tuple[str, str]] = []
    names: list[Any] = []
    if isinstance(source, Mapping):
        names = [raw_id(f"user {one}", "user", one, users) for one in source]
        for name, clicks in zip(names, source.values(), strict=True):
            found = _as_ids(f"history of user {name}", clicks, items)
            user += [name] * len(found)
            item += found
        timed, what = False, "the histories"
    else:
        found, lines = _lines(source, ["user", "item"], called)
        columns = [column.name for column in found]
        timed, what = "timestamp" in columns, str(source)
        at = columns.index("timestamp") if timed else 0
        for where, fields in lines:
            names.append(raw_id(where, "user", fields[0], users))
            if not fields[1].strip():  # a user without clicks
                continue
            user.append(names[-1])
            item.append(raw_id(where, "item", fields[1], items))
            times.append((where, fields[at]))
        if others := [name for name in columns[2:] if name != "timestamp"]:
            shown = ", ".join(name or "one without a name" for name in others)
            say(f"{what}: columns not used: {shown}; every row counts as a click")
        # An empty column is a column that is not given, as in training.
        timed = timed and (not times or any(text.strip() for _, text in times))
        time = [_seconds(*one) for one in times] if timed else []
    every = list(dict.fromkeys(names))
    if isinstance(source, Mapping) and len(every) < len(names):
        raise malformed(what, "each user once", str([*source]))
    place = {name: n for n, name in enumerate(every)}
    return Histories(
        np.array(every) if every else users.names[:0],
        np.array([place[name] for name in user], np.int64),
        np.array(item) if item else items.names[:0],
        _whole_seconds(what, time) if timed else np.arange(len(user)),
        timed,
    )


def _as_ids(where: str, clicks: Any, items: Table) -> list[Any]:
    """The items of one history: no text, whose letters these would be, and no set."""
    if isinstance(clicks, str | bytes | Set) or not isinstance(clicks, Iterable):
        raise malformed(where, "items in a list, earliest first", str(clicks))
    return [raw_id(where, "item", click, items) for click in clicks]


def read_users(
    source: Path | str | Mapping[Any, Mapping[str, Any]] | None,
    users: Table,
    called: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Row], list[str]]:
    """The features of users: a row for each, and the columns that they have.

    Raises:
      InputError: a file of another form.
    """
    if source is None:
        return [], []
    rows: list[Row] = []
    if isinstance(source, Mapping):
        rows = [(f"user {name}", str(name), dict(row)) for name, row in source.items()]
        return rows, list(dict.fromkeys(name for *_, row in rows for name in row))
    (_, *columns), lines = _lines(source, ["user"], called)
    for where, fields in lines:
        # Blanks around a category are part of it, as in training.
        values = {
            column.name: field.replace(column.between, "|")
            for column, field in zip(columns, fields[1:], strict=True)
        }
        rows.append((where, fields[0], values))
    return rows, [column.name for column in columns]


def as_events(
    clicks: Histories, features: tuple[list[Row], list[str]], model: "SavedModel"
) -> Queries:
    """The users' events over the model's items, each user's in the order of time.

    Ties in time are settled as in training.

    Raises:
      InputError: a user has two rows, or no known item and no features either.
    """
    rows, columns = features
    by_user: dict[Any, Row] = {}
    for where, text, values in rows:
        if (one := raw_id(where, "user", text, model.users)) in by_user:
            raise malformed(where, "a user not seen before", text)
        by_user[one] = where, text, values
    names = np.array(list(dict.fromkeys([*clicks.users.tolist(), *by_user])))
    table, notes = _table(names, by_user, columns, model)
    item = places(clicks.item, model.items.names)
    known = item < len(model.items.names)
    if not known.all():
        notes.append(_passed_over(clicks.item, known))
    known, repeats = _first_of_each(clicks.user, item, known)
    if repeats:
        notes.append(
            f"clicks that repeat a user and an item: {repeats}; the first one counts"
        )
    # Where training had no times, a hash stands for the order of time.
    hashed = not (model.timed or clicks.timed)
    time = np.zeros_like(clicks.time) if hashed else clicks.time
    ratings = Ratings(
        "histories", clicks.user, item, np.ones(len(item), np.float32), time,
        table, model.items, "",
    )  # fmt: skip
    at, order = by_time(ratings, clicks.user, known, model.config.tie_seed)
    user = clicks.user[at].astype(np.int32)
    offsets = offsets_of(user, len(names))
    empty = names[np.diff(offsets) == 0]
    if len(empty):
        with_row = {*by_user, *model.users.names.tolist()}
        bare = [name for name in empty.tolist() if name not in with_row]
        if bare or not model.config.user_features:
            raise InputError(
                f"user {bare[0] if bare else empty[0]} has no click on an item of "
                f"the model, and no features that it reads: nothing to encode"
            )
        notes.append(
            f"users with features alone, no click on an item of the model: {len(empty)}"
        )
    events = Events(
        user, item[at].astype(np.int32), ratings.rating[at], time[at], order,
        offsets, table, model.items,
    )  # fmt: skip
    return Queries(events, tuple(notes))


def _passed_over(items: ndarray, known: Bool[ndarray, " e"]) -> str:
    unknown = items[~known]
    return (
        f"items that the model does not know, such as {unknown[0]}, are passed over: "
        f"{len(np.unique(unknown))}, with {len(unknown)} of the {len(known)} clicks"
    )


def _first_of_each(
    user: Int[ndarray, " e"], item: Int[ndarray, " e"], known: Bool[ndarray, " e"]
) -> tuple[Bool[ndarray, " e"], int]:
    """Which clicks on known items count, as in training, and how many repeat those."""
    at = np.flatnonzero(known)
    pair = user[at] * (item.max(initial=0) + 1) + item[at]
    counted = at[np.unique(pair, return_index=True)[1]]
    return np.isin(np.arange(len(known)), counted), len(at) - len(counted)


def raw_id(where: str, side: str, value: Any, table: Table) -> Any:
    """An id of the model's kind: a whole number, or a text that training would take.

    Raises:
      InputError: the value isn't such an id.
    """
    text = str(value)
    if table.text is None:
        kind = f"{'an' if side == 'item' else 'a'} {side} id"
        return new_id(where, kind, text.strip(), ())
    if expected := id_problem(side, text):
        raise malformed(where, expected, text)
    return text


def _lines(
    source: Path | str, header: list[str], called: Mapping[str, str]
) -> tuple[list[Named], Iterable[tuple[str, list[str]]]]:
    """The columns of a file, by the names used here, and its rows; ``header`` first."""
    path = Path(source).expanduser()
    table = open_table(Place(path.parent), path.name, ",")
    here = {name: role for role, name in called.items() if role not in table.names}
    columns = [c._replace(name=here.get(c.name, c.name)) for c in table.columns]
    table = table._replace(columns=tuple(columns)).require(header)
    columns.sort(key=lambda column: column.name not in header)
    columns[: len(header)] = map(table.find, header)
    names = [column.name for column in columns]
    return columns, whole_table(table, names, empty=True)


def _whole_seconds(what: str, time: Sequence[int]) -> Int[ndarray, " e"]:
    """Times in seconds, with a line where they were in a finer unit, as in training."""
    whole = np.array(time, np.int64)
    if not len(whole):
        return whole
    if are_dates(whole.astype(np.float64)):
        raise malformed(what, TIMES, f"dates such as {whole[0]}")
    seconds, finer = in_seconds(whole.astype(np.float64))
    if (seconds < 0).any():
        raise malformed(what, "timestamps in one unit", str(whole[seconds < 0][0]))
    if not finer:
        return whole
    say(f"{what}: {finer}")
    return seconds.astype(np.int64)


def _seconds(where: str, text: str) -> int:
    text = text.strip()
    if text.isdecimal() and len(text) < len(str(2**62)):
        return int(text)
    value = number_of(text)
    if not 0 <= value < 2**62:  # False for NaN, too
        raise malformed(where, TIMES, text)
    return int(value)


def _table(
    names: ndarray, rows: Mapping[Any, Row], columns: Sequence[str], model: "SavedModel"
) -> tuple[Table, list[str]]:
    """The users' columns: from their rows, else from training, else missing."""
    notes: list[str] = []
    at = places(names, model.users.names)
    made = {}
    for name, column in model.users.columns.items():
        missing, value_of = _reader(column)
        values = np.repeat(missing[None], len(names), axis=0)
        known = at < len(model.users.id)
        values[known] = column.values[at[known]]
        if name in columns:
            values = values.astype(object) if values.dtype.kind == "U" else values
            for n, user in enumerate(names.tolist()):
                if user in rows and name in rows[user][2]:
                    where, _, row = rows[user]
                    values[n] = value_of(where, row[name])
            values = values.astype(np.str_) if values.dtype.kind == "O" else values
        made[name] = Column(column.kind, values, column.names)
        if column.kind == CATEGORIES:
            given = (row[name] for _, _, row in rows.values() if name in row)
            new = {one for value in given for one in _listed(value)} - {*column.names}
            if new:
                notes.append(
                    f"{len(new)} names of {name} that training never saw, such as "
                    f"'{min(new)}': passed over"
                )
    read = [n for n in model.config.user_features or () if n in model.users.columns]
    lacking = [name for name in read if name not in columns]
    if rows and lacking:
        notes.append(
            f"the users' table lacks {' '.join(lacking)}, which the model reads: "
            f"missing where training does not know the user"
        )
    if others := [name for name in columns if name not in model.users.columns]:
        notes.append(f"columns of users not used: {', '.join(map(str, others))}")
    if model.users.text is None:
        return Table(names, made), notes
    ids = np.array([text_id(name) for name in names.tolist()], np.int64)
    return Table(ids, made, names), notes


def _reader(column: Column) -> tuple[ndarray, Callable[[str, Any], Any]]:
    """A column's missing value, and what makes a value of (where, text or value)."""
    if column.kind == NUMBER:
        return np.array(np.nan), _number
    if column.kind == CATEGORIES:
        names = np.array(column.names, np.str_)

        def flags(where: str, value: Any) -> ndarray:
            return np.isin(names, _listed(value))

        return np.zeros(len(names), np.bool_), flags
    if column.kind == CATEGORY and column.values.dtype.kind in "iu":
        return np.array(-1), lambda where, value: int(_number(where, value, -1))
    return np.array("", column.values.dtype), _category


def _listed(value: Any) -> list[str]:
    """The names in a list, which is missing, a text with "|" or a sequence."""
    if _is_missing(value):
        return []
    given = value.split("|") if isinstance(value, str) else list(value)
    return [name.strip() for name in given if name.strip()]


def _is_missing(value: Any) -> bool:
    """Whether a value of a mapping stands for a missing one: None, NaN, pandas.NA."""
    import pandas as pd  # late, as start-up needs none

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _category(where: str, value: Any) -> str:
    return "" if _is_missing(value) else str(value)


def _number(where: str, value: Any, missing: float = math.nan) -> float:
    text = str(value)
    if _is_missing(value) or says_missing(text):
        return missing
    try:
        number = number_of(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= FLOAT_LIMIT:  # False for NaN, too
        raise malformed(where, "a finite number", text)
    return number
