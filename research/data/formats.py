"""Which files a data set is made of, and which reader reads which."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from research.data import tables
from research.data.cache import digest
from research.data.places import Place
from research.data.readers import RatingFile, line_of, read_ratings
from research.types import InputError, Ratings, Table


class Layout(NamedTuple):
    """Files of one layout; users is None where the source has no user table."""

    ratings: RatingFile
    files: tuple[str, ...]
    users: Callable[[Place], list[tables.UserRow]] | None
    items: Callable[[Place], list[tables.ItemRow]]


_CSV_HEADER = ("userId", "movieId", "rating", "timestamp")
_WHEEL_HEADER = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")

LAYOUTS: dict[str, Layout] = {
    "100k": Layout(
        RatingFile("u.data", "\t"),
        ("u.data", "u.user", "u.item"),
        tables.read_u_user,
        tables.read_u_item,
    ),
    "1m": Layout(
        RatingFile("ratings.dat", "::"),
        ("ratings.dat", "users.dat", "movies.dat"),
        tables.read_users_dat,
        tables.read_movies_dat,
    ),
    "csv": Layout(
        RatingFile("ratings.csv", ",", _CSV_HEADER),
        ("ratings.csv", "movies.csv"),
        None,
        tables.read_movies_csv,
    ),
    "wheel": Layout(
        RatingFile("ml-100k.inter", "\t", _WHEEL_HEADER),
        ("ml-100k.inter", "ml-100k.user", "ml-100k.item"),
        tables.read_users,
        tables.read_items,
    ),
}


def read(name: str, place: Place, layout: str) -> Ratings:
    """Reads a data set from where its files lie.

    Args:
      name: what the data set shall be called.
      place: a folder or an archive that has the layout's files.
      layout: a name in LAYOUTS.

    Raises:
      InputError: naming the file that isn't there, or file and line of the first
        malformed row.
    """
    files = LAYOUTS[layout]
    for file in files.files:
        if not place.has(file):
            raise InputError(
                f"{place.label(file)}: not there, or the archive is damaged"
            )
    columns = read_ratings(place, files.ratings)
    items = tables.item_table(files.items(place))
    if files.users:
        users = tables.user_table(files.users(place))
    else:
        users = Table(np.unique(columns.user), {})
    line = partial(line_of, place, files.ratings)
    user, item, rating, timestamp = tables.sort_ratings(columns, users, items, line)
    ratings = Ratings(name, user, item, rating, timestamp, users, items, digest="")
    return ratings._replace(digest=digest(ratings))
