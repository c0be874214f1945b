"""MovieLens: the layouts of its files, where they are looked for, what they hold."""

import os
import re
import zipfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.data.cache import (
    digest,
    multi_hot,
    read_cached,
    rows_of,
    set_aside,
    workspace,
    write_cached,
    zero_as_missing,
)
from research.data.delimited import (
    ID_LIMIT,
    Numbers,
    TableFile,
    first_problem,
    in_seconds,
    malformed,
    new_id,
    open_table,
    read_columns,
    refusal,
    say_endless,
    where_is,
    whole_table,
)
from research.data.download import (
    INSIDE,
    Unavailable,
    download,
    fetch_wheel,
    registered,
)
from research.data.names import DATASETS, DataSet
from research.data.places import Place
from research.notices import say
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

SAY_ABOVE = 50 * 2**20  # bytes from which reading takes long enough to announce it
EXPECTED = (  # of user, item, rating, timestamp
    Numbers("a user id, a whole number below 2^31", 0, ID_LIMIT - 1, whole=True),
    Numbers("an item id, a whole number below 2^31", 0, ID_LIMIT - 1, whole=True),
    Numbers("a rating from 0.5 to 5", 0.5, 5),
    Numbers("a timestamp, whole seconds from 0 on", 0, 2**63 - 1, whole=True),
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
        columns = () if self.header else self.columns
        table = open_table(place, self.file, self.separator, columns)
        return table.require(self.columns)


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


class RatingColumns(NamedTuple):
    """Ratings in the order of the file: raw ids, stars, seconds."""

    user: Int[ndarray, " n"]
    item: Int[ndarray, " n"]
    rating: Float[ndarray, " n"]
    timestamp: Int[ndarray, " n"]


def _read_ratings(table: TableFile, names: Sequence[str]) -> RatingColumns:
    """The columns of user, item, rating and timestamp, which have these names.

    Raises:
      InputError: naming file and line, where the file is empty, a row hasn't all its
        fields, an id isn't a whole number below 2**31, a rating isn't a number from
        0.5 to 5, or a timestamp isn't a whole number of seconds from 0 on.
    """
    import pyarrow as pa

    lines = islice(table.place.lines(table.file), int(table.header), None)
    if not any(map(bytes.strip, lines)):
        raise InputError(f"{table.label}:1: expected ratings, found none")
    if table.place.size(table.file) > SAY_ABOVE:
        say(f"reading {table.label} ...")
    expected = dict(zip(names, EXPECTED))
    checks = {name: one.check for name, one in expected.items()}
    types = {n: pa.int64() if e.whole else pa.float32() for n, e in expected.items()}
    try:
        read = read_columns(table, types)
    except pa.ArrowInvalid as error:
        raise refusal(table, checks, error) from None
    columns = RatingColumns(*(read[name].to_numpy() for name in names))
    complete = not any(read[name].null_count for name in names)
    if not (complete and all(map(Numbers.hold, EXPECTED, columns))):
        raise refusal(table, checks, "a value out of range")
    if table.hexadecimal and (problem := first_problem(table, checks)):
        raise problem
    if not table.ended:
        _check_end(table, columns.timestamp)
    return columns


def _check_end(table: TableFile, time: Int[ndarray, " n"]) -> None:
    """Checks a last row whose line has no end, as where a file is cut off.

    Raises:
      InputError: its time is far before all others, as when digits are missing.
    """
    where = where_is(table, len(time) - 1)
    if len(time) > 1 and time[-1] < time[:-1].min() / 2:
        raise malformed(
            where, "a whole last row: is the file cut off?", f"timestamp {time[-1]}"
        )
    say_endless(where)


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
    columns = _read_ratings(table, files.ratings.columns)
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
    time, finer = in_seconds(columns.timestamp.astype(np.float64))
    if time.min() < 0:
        row = int(np.argmin(time))
        found = str(columns.timestamp[row])
        raise malformed(
            where_is(table, row), "a timestamp in the unit of the others", found
        )
    if not finer:
        return columns, ()
    note = f"{where_is(table, 0)}: {finer}"
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


def _find(name: str, folder: Path, files: tuple[str, ...]) -> Place | list[str]:
    """Searches the places where a folder may hold a data set's files.

    Returns:
      The first place that has all the files; else the paths that were looked at and
      aren't there.
    """
    places = [Place(folder / name)]
    places += [Place(folder / f"{name}.zip", inside) for inside in (f"{name}/", "")]
    # The csv sets share their file names: ml-20m's own folder must not pass for ml-25m.
    if folder.name == name or folder.name not in DATASETS:
        places.append(Place(folder))
    for place in places:
        if all(place.has(file) for file in files):
            return place
    return _looked_at(places, files)


def _looked_at(places: list[Place], files: tuple[str, ...]) -> list[str]:
    """Each missing path once: the archive rather than its members if it isn't there."""
    paths: list[str] = []
    for place in places:
        if place.inside is not None and not (
            place.path.is_file() and zipfile.is_zipfile(place.path)
        ):
            damaged = " (not a zip archive)" if place.path.exists() else ""
            paths.append(f"{place.path}{damaged}")
        else:
            paths += [place.label(file) for file in files if not place.has(file)]
    return list(dict.fromkeys(paths))


def load_movielens(dataset: DataSet, data_dir: str | None, root: Path) -> Ratings:
    """The data set from data_dir if that is set, else from the first source with it.

    Raises:
      InputError: data_dir lacks it, a row is malformed, a download isn't what it must
        be, or no source has it.
    """
    name, files, tried = dataset.name, LAYOUTS[dataset.layout].files, []
    folder = os.environ.get("MOVIELENS_DIR") or None if data_dir is None else data_dir
    if folder is not None:
        place = _find(name, Path(folder).expanduser(), files)
        if isinstance(place, Place):
            return read(name, place, dataset.layout)
        if data_dir is not None:
            raise InputError(
                f"{name} isn't in the data folder {data_dir}: "
                f"looked for {', '.join(place)}"
            )
        tried.append(f"$MOVIELENS_DIR: it lacks {', '.join(place)}")
        say(f"{name}: {tried[-1]}; going on to the next source")
    if cached := read_cached(root, name):
        return cached
    for source in (_archive, _wheel):
        try:
            ratings = source(dataset, root)
        except Unavailable as error:
            tried.append(str(error))
            say(f"{name}: {error}; going on to the next source")
            continue
        write_cached(root, ratings)
        return ratings
    raise InputError(
        f"{name}: no source has it; tried {'; '.join(tried)}. "
        "Give a folder that holds it with --data-dir"
    )


def _archive(dataset: DataSet, root: Path) -> Ratings:
    archive = registered(dataset.name)
    with workspace(root) as folder:
        path = download(dataset.name, archive, folder, root)
        return read(dataset.name, Place(path, f"{dataset.name}/"), dataset.layout)


def _wheel(dataset: DataSet, root: Path) -> Ratings:
    if dataset.digest is None:
        raise Unavailable("no wheel has a copy")
    with workspace(root) as folder:
        wheel = fetch_wheel(folder)
        try:
            ratings = read(dataset.name, Place(wheel, INSIDE), "wheel")
            if ratings.digest == dataset.digest:
                return ratings
            problem = (
                f"{wheel.name}: its {dataset.name} has the digest "
                f"{ratings.digest[:12]}... instead of {dataset.digest[:12]}..."
            )
        except InputError as error:
            problem = str(error)
        raise InputError(f"{problem}; not used, kept as {set_aside(wheel, root)}")
