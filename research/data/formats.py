"""Layouts of MovieLens: the files of a data set, and the tables read from them."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from research.data.cache import digest, multi_hot, rows_of, zero_as_missing
from research.data.delimited import (
    RatingColumns,
    TableFile,
    malformed,
    new_id,
    open_table,
    read_ratings,
    where_is,
    whole_table,
)
from research.data.interactions import in_seconds
from research.data.places import Place
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


class Source(NamedTuple):
    """A file of a layout; columns are those to read, all of them without a header."""

    file: str
    separator: str
    columns: tuple[str, ...]
    header: bool = False

    def open(self, place: Place) -> TableFile:
        """The file in a folder or a zip.

        Raises:
          InputError: it can't be read, or lacks a column.
        """
        if self.header:
            return open_table(place, self.file, self.separator).require(self.columns)
        return open_table(place, self.file, self.separator, self.columns)


# What an item's fields after its id say: title, year, genres between "|".
ReadItem = Callable[[str, list[str]], tuple[str, str, str]]


class Layout(NamedTuple):
    """Files of one layout; users is None where the source has no user table."""

    ratings: Source
    users: Source | None
    items: Source
    read_item: ReadItem

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files."""
        sources = (self.ratings, self.users, self.items)
        return tuple(source.file for source in sources if source)


def _u_item(where: str, fields: list[str]) -> tuple[str, str, str]:
    """100K's u.item: title|release|video release|address|19 flags of genre."""
    title, release, _, _, *flags = fields
    if not set(flags) <= {"0", "1"}:
        raise malformed(where, "19 flags of genre, 0 or 1", "|".join(flags))
    genres = [genre for genre, flag in zip(GENRE_FLAGS, flags) if flag == "1"]
    return title, release[-4:], "|".join(genres)  # release: 01-Jan-1995


def _movie(where: str, fields: list[str]) -> tuple[str, str, str]:
    """movies.dat and movies.csv: title (year), genres between "|"."""
    return fields[0], "", fields[1]


def _wheel_item(where: str, fields: list[str]) -> tuple[str, str, str]:
    """The wheel's ml-100k.item: title, year, genres between spaces."""
    title = "unknown" if fields[0] == "unkonwn" else fields[0]  # its item 267
    return title, fields[1], fields[2].replace(" ", "|")


_RATING = ("user_id", "item_id", "rating", "timestamp")
_USER = ("user_id", "age", "gender", "occupation", "zip_code")
_MOVIE = ("movieId", "title", "genres")

LAYOUTS: dict[str, Layout] = {
    "100k": Layout(
        Source("u.data", "\t", _RATING),
        Source("u.user", "|", _USER),
        Source(
            "u.item", "|", ("id", "title", "release", "video", "page", *GENRE_FLAGS)
        ),
        _u_item,
    ),
    "1m": Layout(
        Source("ratings.dat", "::", _RATING),
        Source(
            "users.dat", "::", ("user_id", "gender", "age", "occupation", "zip_code")
        ),
        Source("movies.dat", "::", _MOVIE),
        _movie,
    ),
    "csv": Layout(
        Source("ratings.csv", ",", ("userId", "movieId", "rating", "timestamp"), True),
        None,
        Source("movies.csv", ",", _MOVIE, True),
        _movie,
    ),
    "wheel": Layout(
        Source("ml-100k.inter", "\t", _RATING, True),
        Source("ml-100k.user", "\t", _USER, True),
        Source(
            "ml-100k.item",
            "\t",
            ("item_id", "movie_title", "release_year", "class"),
            True,
        ),
        _wheel_item,
    ),
}


def _item_table(source: Source, place: Place, read_item: ReadItem) -> Table:
    """The item table, sorted by raw id; see ``title_and_year`` and ``multi_hot``."""
    rows: dict[int, tuple[str, int, str]] = {}
    for where, (text, *fields) in whole_table(source.open(place), source.columns):
        title, year, genres = read_item(where, fields)
        item = new_id(where, "an item id", text.strip(), rows)
        rows[item] = (*title_and_year(title, year), genres)
    titles, years, joined = zip(*(rows[item] for item in sorted(rows)))
    columns = {
        "genres": Column(CATEGORIES, *multi_hot(joined, NO_GENRE)),
        "year": Column(NUMBER, zero_as_missing(np.array(years))),
        "title": Column(TEXT, np.array(titles, np.str_)),
    }
    return Table(np.array(sorted(rows), np.int64), columns)


def _user_table(source: Source, place: Place) -> Table:
    """The user table, sorted by raw id; strings are empty where unknown."""
    rows: dict[int, tuple[str, ...]] = {}
    for where, fields in whole_table(source.open(place), _USER):
        text, age, gender, *others = (field.strip() for field in fields)
        if gender not in ("M", "F", ""):
            raise malformed(where, "gender M or F", gender)
        if not re.fullmatch(r"[0-9]{1,3}", age) or int(age) > AGE_LIMIT:
            raise malformed(where, "an age in years", age)
        rows[new_id(where, "a user id", text, rows)] = (gender, age, *others)
    values = map(np.array, zip(*(rows[user] for user in sorted(rows))))
    names = ("gender", "age", "occupation", "zip")
    columns = {name: Column(CATEGORY, column) for name, column in zip(names, values)}
    columns["age"] = Column(NUMBER, columns["age"].values.astype(float))
    return Table(np.array(sorted(rows), np.int64), columns)


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
    table = files.ratings.open(place)
    columns = read_ratings(table, files.ratings.columns)
    columns, notes = _whole_seconds(columns, table)
    items = _item_table(files.items, place, files.read_item)
    users = Table(np.unique(columns.user), {})
    users = _user_table(files.users, place) if files.users else users
    columns = _sort_ratings(columns, users, items, table)
    ratings = Ratings(name, *columns, users, items, digest="", notes=notes)
    return ratings._replace(digest=digest(ratings))


def _whole_seconds(
    columns: RatingColumns, table: TableFile
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
        raise malformed(
            where_is(table, row), "a timestamp in the unit of the others", found
        )
    if not unit:
        return columns, ()
    note = f"timestamps are in {unit}: taken as seconds, rounded down"
    note = f"{where_is(table, 0)}: {note}"
    return columns._replace(timestamp=time.astype(np.int64)), (note,)


def _sort_ratings(
    columns: RatingColumns, users: Table, items: Table, table: TableFile
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
                where_is(table, row), f"{kind} of the {kind[-4:]} table", str(raw[row])
            )
    pair = user.astype(np.int64) << 32 | item
    order: ndarray | slice = slice(None)
    if not np.all(pair[1:] > pair[:-1]):
        order = np.argsort(pair, kind="stable")
        repeats = np.flatnonzero(pair[order][1:] == pair[order][:-1])
        if len(repeats):
            row = int(order[repeats + 1].min())
            again = f"user {columns.user[row]} and item {columns.item[row]} again"
            raise malformed(
                where_is(table, row), "one rating of an item by a user", again
            )
    return RatingColumns(
        user=user[order],
        item=item[order],
        rating=columns.rating[order].astype(np.float32),
        timestamp=columns.timestamp[order].astype(np.int64),
    )
