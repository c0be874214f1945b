"""The tables of films, line by line: they are small, and errors name a line."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from research.data.places import Place
from research.data.rows import Line, csv_fields, fields_of, malformed, new_id

__all__ = [
    "GENRE_FLAGS",
    "ItemRow",
    "read_items",
    "read_movies_csv",
    "read_movies_dat",
    "read_u_item",
]

# The order of the flags in u.item, which GroupLens's u.genre gives.
GENRE_FLAGS = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
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
