"""Layouts of MovieLens: the files of a data set, and the tables read from them."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from research.data.cache import digest, multi_hot, rows_of, zero_as_missing
from research.data.interactions import in_seconds
from research.data.places import Place
from research.data.readers import (
    Line,
    RatingColumns,
    RatingFile,
    csv_fields,
    fields_of,
    line_of,
    malformed,
    new_id,
    read_ratings,
)
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    InputError,
    Ratings,
    Table,
)

# The order of the flags in u.item, which GroupLens's u.genre gives.
GENRE_FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRE = ("unknown", "(no genres listed)", "")
AGE_LIMIT = 150  # years: a larger number is another field's


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
    years = list(re.finditer(r"\(([0-9]{4})\)", title))
    if years:
        return title[: years[-1].start()].strip(), int(years[-1][1])
    year = int(source_year) if re.fullmatch(r"[0-9]{4}", source_year) else 0
    return title.strip(), year


def _item_table(
    lines: Iterable[Line], read_row: Callable[[str, list[str]], tuple[str, str, str]]
) -> Table:
    """The item table, sorted by raw id; see ``title_and_year`` and ``multi_hot``."""
    rows: dict[int, tuple[str, int, str]] = {}
    for where, fields in lines:
        title, year, genres = read_row(where, fields)
        item = new_id(where, "an item id", fields[0].strip(), rows)
        rows[item] = (*title_and_year(title, year), genres)
    titles, years, joined = zip(*(rows[item] for item in sorted(rows)))
    columns = {
        "genres": Column(CATEGORIES, *multi_hot(joined, NO_GENRE)),
        "year": Column(NUMBER, zero_as_missing(np.array(years))),
        "title": Column(TEXT, np.array(titles, np.str_)),
    }
    return Table(np.array(sorted(rows), np.int64), columns)


def _u_item(place: Place) -> Table:
    """100K's u.item: id|title|release|video release|address|19 flags of genre."""

    def read_row(where: str, fields: list[str]) -> tuple[str, str, str]:
        flags = fields[5:]
        if not set(flags) <= {"0", "1"}:
            raise malformed(where, "19 flags of genre, 0 or 1", "|".join(flags))
        genres = [genre for genre, flag in zip(GENRE_FLAGS, flags) if flag == "1"]
        return fields[1], fields[2][-4:], "|".join(genres)  # release: 01-Jan-1995

    return _item_table(fields_of(place, "u.item", "|", 5 + len(GENRE_FLAGS)), read_row)


def _movies_dat(place: Place) -> Table:
    """1M's movies.dat: id::title (year)::Genre|Genre."""
    lines = fields_of(place, "movies.dat", "::", 3)
    return _item_table(lines, lambda where, fields: (fields[1], "", fields[2]))


def _movies_csv(place: Place) -> Table:
    """movies.csv of the newer sets: movieId,title,genres with a header, quoted."""
    names = ["movieId", "title", "genres"]
    lines = csv_fields(place, "movies.csv", names, some=True)
    return _item_table(lines, lambda where, fields: (fields[1], "", fields[2]))


def _wheel_items(place: Place) -> Table:
    """The wheel's ml-100k.item: id, title, year, genres (by spaces) between tabs."""

    def read_row(where: str, fields: list[str]) -> tuple[str, str, str]:
        title = "unknown" if fields[1] == "unkonwn" else fields[1]  # its item 267
        return title, fields[2], fields[3].replace(" ", "|")

    lines = fields_of(place, "ml-100k.item", "\t", 4, header=True)
    return _item_table(lines, read_row)


def _user_table(
    place: Place, file: str, separator: str, names: list[str], header: bool = False
) -> Table:
    """The user table, sorted by raw id; strings are empty where unknown."""
    rows: dict[int, dict[str, str]] = {}
    for where, fields in fields_of(place, file, separator, len(names), header):
        row = dict(zip(names, (field.strip() for field in fields)))
        if row["gender"] not in ("M", "F", ""):
            raise malformed(where, "gender M or F", row["gender"])
        if not re.fullmatch(r"[0-9]{1,3}", row["age"]) or int(row["age"]) > AGE_LIMIT:
            raise malformed(where, "an age in years", row["age"])
        rows[new_id(where, "a user id", row["id"], rows)] = row
    columns = {
        name: Column(CATEGORY, np.array([rows[user][name] for user in sorted(rows)]))
        for name in ("gender", "age", "occupation", "zip")
    }
    columns["age"] = Column(NUMBER, columns["age"].values.astype(float))
    return Table(np.array(sorted(rows), np.int64), columns)


class Layout(NamedTuple):
    """Files of one layout; users is None where the source has no user table."""

    ratings: RatingFile
    files: tuple[str, ...]
    users: Callable[[Place], Table] | None
    items: Callable[[Place], Table]


_CSV_HEADER = ("userId", "movieId", "rating", "timestamp")
_WHEEL_HEADER = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
_AGE_FIRST = ["id", "age", "gender", "occupation", "zip"]
_GENDER_FIRST = ["id", "gender", "age", "occupation", "zip"]

LAYOUTS: dict[str, Layout] = {
    "100k": Layout(
        RatingFile("u.data", "\t"),
        ("u.data", "u.user", "u.item"),
        partial(_user_table, file="u.user", separator="|", names=_AGE_FIRST),
        _u_item,
    ),
    "1m": Layout(
        RatingFile("ratings.dat", "::"),
        ("ratings.dat", "users.dat", "movies.dat"),
        partial(_user_table, file="users.dat", separator="::", names=_GENDER_FIRST),
        _movies_dat,
    ),
    "csv": Layout(
        RatingFile("ratings.csv", ",", _CSV_HEADER),
        ("ratings.csv", "movies.csv"),
        None,
        _movies_csv,
    ),
    "wheel": Layout(
        RatingFile("ml-100k.inter", "\t", _WHEEL_HEADER),
        ("ml-100k.inter", "ml-100k.user", "ml-100k.item"),
        partial(
            _user_table,
            file="ml-100k.user",
            separator="\t",
            names=_AGE_FIRST,
            header=True,
        ),
        _wheel_items,
    ),
}


def read(name: str, place: Place, layout: str) -> Ratings:
    """Reads the files of a data set.

    Raises:
      InputError: a file isn't there, or a row is malformed; the message names the file,
        and the line of the first such row.
    """
    files = LAYOUTS[layout]
    for file in files.files:
        if not place.has(file):
            raise InputError(
                f"{place.label(file)}: not there, or the archive is damaged"
            )
    columns = read_ratings(place, files.ratings)
    line = partial(line_of, place, files.ratings)
    columns, notes = _whole_seconds(columns, line)
    items = files.items(place)
    users = files.users(place) if files.users else Table(np.unique(columns.user), {})
    columns = _sort_ratings(columns, users, items, line)
    ratings = Ratings(name, *columns, users, items, digest="", notes=notes)
    return ratings._replace(digest=digest(ratings))


def _whole_seconds(
    columns: RatingColumns, line: Callable[[int], str]
) -> tuple[RatingColumns, tuple[str, ...]]:
    """The ratings with times in seconds, and a line where they were in a finer unit.

    Raises:
      InputError: a time is in another unit than most.
    """
    time, unit = in_seconds(columns.timestamp.astype(np.float64))
    assert time is not None
    if time.min() < 0:
        row = int(np.argmin(time))
        found = str(columns.timestamp[row])
        raise malformed(line(row), "a timestamp in the unit of the others", found)
    if not unit:
        return columns, ()
    note = f"{line(0)}: timestamps are in {unit}: taken as seconds, rounded down"
    return columns._replace(timestamp=time.astype(np.int64)), (note,)


def _sort_ratings(
    columns: RatingColumns, users: Table, items: Table, line: Callable[[int], str]
) -> RatingColumns:
    """Ratings sorted by (user, item), ids replaced by rows of the tables (int32).

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
