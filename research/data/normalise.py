"""From rows of any source to one form: titles, years, genres, order, table rows."""

import re
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int, Int32
from numpy import ndarray

from research.data.item_tables import ItemRow
from research.data.rating_file import RatingColumns
from research.data.rows import malformed
from research.data.user_tables import UserRow
from research.types import Items, Users

__all__ = [
    "item_table",
    "multi_hot",
    "rows_of",
    "sort_ratings",
    "title_and_year",
    "user_table",
    "users_of",
]

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


def user_table(rows: Sequence[UserRow]) -> Users:
    """The user table, sorted by raw id."""
    rows = sorted(rows)
    return Users(
        id=np.array([row.id for row in rows], np.int64),
        gender=np.array([row.gender for row in rows], np.str_),
        age=np.array([row.age for row in rows], np.int32),
        occupation=np.array([row.occupation for row in rows], np.str_),
        zip=np.array([row.zip for row in rows], np.str_),
    )


def users_of(user: Int[ndarray, " n"]) -> Users:
    """The user table of a source without one: who rated, nothing else known."""
    return Users(np.unique(user), gender=None, age=None, occupation=None, zip=None)


def item_table(rows: Sequence[ItemRow]) -> Items:
    """The item table, sorted by raw id; see ``title_and_year`` and ``multi_hot``."""
    rows = sorted(rows)
    named = [title_and_year(row.title, row.year) for row in rows]
    genres, names = multi_hot(["|".join(row.genres) for row in rows])
    return Items(
        id=np.array([row.id for row in rows], np.int64),
        title=np.array([title for title, _ in named], np.str_),
        year=np.array([year for _, year in named], np.int32),
        genres=genres,
        genre_names=names,
    )


def multi_hot(
    joined: Sequence[str],
) -> tuple[Bool[ndarray, "i g"], tuple[str, ...]]:
    """Genres "A|B" of each film as flags [i, g] over the sorted names that occur.

    >>> multi_hot(["War|Drama", "(no genres listed)", "Drama"])[1]
    ('Drama', 'War')
    """
    split = [
        {genre.strip() for genre in genres.split("|")} - set(NO_GENRE)
        for genres in joined
    ]
    names = tuple(sorted(set().union(*split)))
    column = {name: at for at, name in enumerate(names)}
    flags = np.zeros((len(split), len(names)), np.bool_)
    for row, genres in enumerate(split):
        flags[row, [column[genre] for genre in genres]] = True
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
    columns: RatingColumns, users: Users, items: Items, line: Callable[[int], str]
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
