"""MovieLens' tables of users and films: read line by line, so that errors name one."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from numpy import ndarray

from research.data.places import Place
from research.data.readers import (
    Line,
    RatingColumns,
    csv_fields,
    fields_of,
    malformed,
    new_id,
)
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, Column, Table

# The order of the flags in u.item, which GroupLens's u.genre gives.
GENRE_FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


class ItemRow(NamedTuple):
    """One film as the source gives it: year may be no year, title may hold it."""

    id: int
    title: str
    year: str
    genres: tuple[str, ...]


def read_u_item(place: Place) -> list[ItemRow]:
    """100K's u.item: id|title|release|video release|address|19 flags of genre."""

    def row(where: str, fields: list[str]) -> tuple[str, str, list[str]]:
        flags = fields[5:]
        if not set(flags) <= {"0", "1"}:
            raise malformed(where, "19 flags of genre, 0 or 1", "|".join(flags))
        genres = [genre for genre, flag in zip(GENRE_FLAGS, flags) if flag == "1"]
        return fields[1], fields[2][-4:], genres  # a release is 01-Jan-1995

    return _items(fields_of(place, "u.item", "|", 5 + len(GENRE_FLAGS)), row)


def read_movies_dat(place: Place) -> list[ItemRow]:
    """1M's movies.dat: id::title (year)::Genre|Genre."""
    lines = fields_of(place, "movies.dat", "::", 3)
    return _items(lines, lambda where, f: (f[1], "", f[2].split("|")))


def read_movies_csv(place: Place) -> list[ItemRow]:
    """movies.csv of the newer sets: movieId,title,genres with a header, quoted."""
    lines = csv_fields(place, "movies.csv", ["movieId", "title", "genres"])
    return _items(lines, lambda where, f: (f[1], "", f[2].split("|")))


def read_items(place: Place) -> list[ItemRow]:
    """The wheel's ml-100k.item: id, title, year, genres (by spaces) between tabs."""

    def row(where: str, fields: list[str]) -> tuple[str, str, list[str]]:
        title = "unknown" if fields[1] == "unkonwn" else fields[1]  # its item 267
        return title, fields[2], fields[3].split(" ")

    return _items(fields_of(place, "ml-100k.item", "\t", 4, header=True), row)


def _items(
    lines: Iterable[Line],
    row: Callable[[str, list[str]], tuple[str, str, list[str]]],
) -> list[ItemRow]:
    rows: dict[int, ItemRow] = {}
    for where, fields in lines:
        title, year, genres = row(where, fields)
        item = new_id(where, "an item id", fields[0].strip(), rows)
        rows[item] = ItemRow(item, title, year, tuple(genres))
    return list(rows.values())


AGE_LIMIT = 150  # years: above it a field has slipped


class UserRow(NamedTuple):
    """One user as the source gives them; strings are empty where unknown."""

    id: int
    gender: str
    age: int
    occupation: str
    zip: str


def read_u_user(place: Place) -> list[UserRow]:
    """100K's u.user: id|age|gender|occupation|zip."""
    lines = fields_of(place, "u.user", "|", 5)
    return _users((w, [f[0], f[2], f[1], f[3], f[4]]) for w, f in lines)


def read_users_dat(place: Place) -> list[UserRow]:
    """1M's users.dat: id::gender::age::occupation::zip; occupation is a code, kept."""
    return _users(fields_of(place, "users.dat", "::", 5))


def read_users(place: Place) -> list[UserRow]:
    """The wheel's ml-100k.user: id, age, gender, occupation, zip between tabs."""
    lines = fields_of(place, "ml-100k.user", "\t", 5, header=True)
    return _users((w, [f[0], f[2], f[1], f[3], f[4]]) for w, f in lines)


def _users(lines: Iterable[Line]) -> list[UserRow]:
    rows: dict[int, UserRow] = {}
    for where, fields in lines:
        key, gender, age, occupation, code = (field.strip() for field in fields)
        if gender not in ("M", "F", ""):
            raise malformed(where, "gender M or F", gender)
        if not re.fullmatch(r"[0-9]{1,3}", age) or int(age) > AGE_LIMIT:
            raise malformed(where, "an age in years", age)
        user = new_id(where, "a user id", key, rows)
        rows[user] = UserRow(user, gender, int(age), occupation, code)
    return list(rows.values())


NO_GENRE = ("unknown", "(no genres listed)", "")
LOOKUP_LIMIT = 2**24  # raw ids up to here get a lookup table (64 MiB), else a search
YEAR = re.compile(r"\(([0-9]{4})\)")


def title_and_year(title: str, source_year: str = "") -> tuple[str, int]:
    """The title without its year, and the year: 0 where there is none.

    The year is the title's last "(dddd)", and the title is what stands before it;
    else the source's year if it has four digits.

    >>> title_and_year("Land Before Time III (1995) (V)")
    ('Land Before Time III', 1995)
    >>> title_and_year("Land Before Time III (1995)", "V")
    ('Land Before Time III', 1995)
    >>> title_and_year("Toy Story", "1995")
    ('Toy Story', 1995)
    >>> title_and_year("unknown", "")
    ('unknown', 0)
    """
    found = list(YEAR.finditer(title))
    if found:
        return title[: found[-1].start()].strip(), int(found[-1][1])
    year = int(source_year) if re.fullmatch(r"[0-9]{4}", source_year) else 0
    return title.strip(), year


def user_table(rows: Sequence[UserRow]) -> Table:
    """The user table, sorted by raw id."""
    rows = sorted(rows)
    ids = np.array([row.id for row in rows], np.int64)
    columns = {
        "gender": Column(CATEGORY, np.array([row.gender for row in rows], np.str_)),
        "age": Column(NUMBER, np.array([row.age for row in rows], np.float64)),
        "occupation": Column(CATEGORY, np.array([r.occupation for r in rows], np.str_)),
        "zip": Column(CATEGORY, np.array([row.zip for row in rows], np.str_)),
    }
    return Table(ids, columns)


def item_table(rows: Sequence[ItemRow]) -> Table:
    """The item table, sorted by raw id; see ``title_and_year`` and ``multi_hot``."""
    rows = sorted(rows)
    titles, years = zip(*(title_and_year(row.title, row.year) for row in rows))
    genres = multi_hot(["|".join(row.genres) for row in rows], NO_GENRE)
    columns = {
        "genres": Column(CATEGORIES, *genres),
        "year": Column(NUMBER, zero_as_missing(np.array(years))),
        "title": Column(TEXT, np.array(titles, np.str_)),
    }
    return Table(np.array([row.id for row in rows], np.int64), columns)


def zero_as_missing(values: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Numbers of which 0 says that there is none, with NaN in its place."""
    return np.where(values == 0, np.nan, values)


def multi_hot(
    joined: Sequence[str], none: Collection[str] = ("",)
) -> tuple[Bool[ndarray, "i g"], tuple[str, ...]]:
    """Categories "A|B" of each row as flags [i, g] over the sorted names that occur.

    Args:
      joined: the names of each row, with "|" between them.
      none: what stands for no category; "" has to be among them.

    >>> multi_hot(["War|Drama", "(no genres listed)", "Drama"], NO_GENRE)[1]
    ('Drama', 'War')
    """
    split = [{name.strip() for name in row.split("|")} - set(none) for row in joined]
    names = tuple(sorted(set().union(*split)))
    column = {name: at for at, name in enumerate(names)}
    flags = np.zeros((len(split), len(names)), np.bool_)
    for row, present in enumerate(split):
        flags[row, [column[name] for name in present]] = True
    return flags, names


def rows_of(
    values: Int[ndarray, " n"], ids: Int[ndarray, " t"]
) -> Int32[ndarray, " n"]:
    """The row of each value in a table's sorted ids, -1 where the table lacks it."""
    if len(ids) == 0:
        return np.full(len(values), -1, np.int32)
    if ids[-1] < LOOKUP_LIMIT:
        lookup = np.full(int(ids[-1]) + 2, -1, np.int32)
        lookup[ids] = np.arange(len(ids), dtype=np.int32)
        return lookup[np.minimum(values, ids[-1] + 1)]
    at = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return np.where(ids[at] == values, at, -1).astype(np.int32)


def sort_ratings(
    columns: RatingColumns, users: Table, items: Table, line: Callable[[int], str]
) -> RatingColumns:
    """Ratings sorted by (user, item), ids replaced by rows of the tables (int32).

    Args:
      columns: in the order of the file.
      users: the user table.
      items: the item table.
      line: "file:line" of a row of the file, for the message.

    Raises:
      InputError: a user or an item isn't in its table, or a pair is rated twice.
    """
    user, item = rows_of(columns.user, users.id), rows_of(columns.item, items.id)
    for kind, rows, raw in (
        ("a user", user, columns.user),
        ("an item", item, columns.item),
    ):
        if rows.min() < 0:
            row = int(np.argmin(rows >= 0))
            raise malformed(
                line(row), f"{kind} of the {kind[-4:]} table", str(raw[row])
            )
    pair = user.astype(np.int64) << 32 | item
    order: ndarray | slice = slice(None)
    if not np.all(pair[1:] > pair[:-1]):
        order = np.argsort(pair, kind="stable")
        repeats = np.flatnonzero(pair[order][1:] == pair[order][:-1])
        if len(repeats):
            row = int(order[repeats + 1].min())
            again = f"user {columns.user[row]} and item {columns.item[row]} again"
            raise malformed(line(row), "one rating of an item by a user", again)
    return RatingColumns(
        user=user[order],
        item=item[order],
        rating=columns.rating[order].astype(np.float32),
        timestamp=columns.timestamp[order].astype(np.int64),
    )
