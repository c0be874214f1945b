import numpy as np
import pytest

from research.data import DATASETS, load
from research.data.cache import multi_hot, rows_of
from research.data.movielens import NO_GENRE, title_and_year
from research.types import InputError
from tests.data.miniature import FILMS, RATINGS, USERS, write_1m, write_100k, write_csv

CSV_SETS = ["ml-latest-small", "ml-20m", "ml-25m"]
WRITE = {
    "ml-100k": write_100k,
    "ml-1m": write_1m,
    **{name: lambda root, name=name: write_csv(root, name) for name in CSV_SETS},
}


def rows(ratings):
    """(user, item, rating, timestamp) by raw id, in the order of the data set."""
    return list(
        zip(
            ratings.users.id[ratings.user].tolist(),
            ratings.items.id[ratings.item].tolist(),
            ratings.rating.tolist(),
            ratings.timestamp.tolist(),
        )
    )


def film_rows(items):
    columns = items.columns
    assert list(columns) == ["genres", "year", "title"]
    for item, title, year, flags in zip(
        items.id,
        *(columns["title"].values, columns["year"].values, columns["genres"].values),
    ):
        genres = tuple(n for n, flag in zip(columns["genres"].names, flags) if flag)
        yield int(item), str(title), 0 if np.isnan(year) else int(year), genres


def test_every_named_set_has_a_reader():
    assert list(WRITE) == list(DATASETS)


@pytest.mark.parametrize("name", WRITE)
def test_ratings_are_sorted_and_films_are_normalised(name, tmp_path):
    ratings = load(name, str(WRITE[name](tmp_path)))
    less = 0.5 if name in CSV_SETS else 0
    assert rows(ratings) == sorted((u, i, r - less, t) for u, i, r, t in RATINGS)
    assert ratings.name == name
    assert ratings.user.dtype == ratings.item.dtype == np.int32
    if name == "ml-1m":  # its titles all have a year
        assert list(film_rows(ratings.items))[1] == FILMS[1]
    else:
        assert list(film_rows(ratings.items)) == list(FILMS)
    assert ratings.items.columns["genres"].names == (
        *("Animation", "Children's", "Comedy", "Drama", "Musical", "War"),
    )


def test_100k_has_demographics(tmp_path):
    users = load("ml-100k", str(write_100k(tmp_path))).users
    assert list(users.columns) == ["gender", "age", "occupation", "zip"]
    values = [
        users.columns[n].values.tolist() for n in ("age", "gender", "occupation", "zip")
    ]
    assert list(zip(users.id.tolist(), *values)) == list(USERS)


def test_1m_keeps_the_code_of_an_occupation(tmp_path):
    users = load("ml-1m", str(write_1m(tmp_path))).users
    values = {name: column.values.tolist() for name, column in users.columns.items()}
    assert values["occupation"] == ["0", "1", "2"]
    assert values["age"] == [24, 53, 33]
    assert values["gender"] == ["M", "F", "F"]
    assert values["zip"] == ["85711", "94043", "T8H1N"]


def test_windows_line_ends_blank_lines_and_a_byte_order_mark(tmp_path):
    folder = write_csv(tmp_path, "ml-20m") / "ml-20m"
    before = load("ml-20m", str(tmp_path)).digest
    for file in ("ratings.csv", "movies.csv"):
        text = (folder / file).read_text("utf-8").replace("\n", "\r\n") + "\r\n"
        (folder / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load("ml-20m", str(tmp_path)).digest == before


def test_columns_of_a_csv_go_by_name(tmp_path):
    folder = write_csv(tmp_path, "ml-20m") / "ml-20m"
    before = load("ml-20m", str(tmp_path)).digest
    lines = (folder / "ratings.csv").read_text().splitlines()
    turned = [",".join(reversed([*line.split(","), "extra"])) for line in lines]
    (folder / "ratings.csv").write_text("\n".join(turned))
    assert load("ml-20m", str(tmp_path)).digest == before


def test_columns_of_a_csv_may_be_without_names(tmp_path):
    folder = write_csv(tmp_path, "ml-20m") / "ml-20m"
    before = load("ml-20m", str(tmp_path)).digest
    for file in ("ratings.csv", "movies.csv"):
        lines = (folder / file).read_text("utf-8").splitlines()
        (folder / file).write_text("".join(f"{line},,\n" for line in lines), "utf-8")
    assert load("ml-20m", str(tmp_path)).digest == before


def test_an_old_set_encoded_anew_as_utf8_is_the_same(tmp_path):
    before = load("ml-100k", str(write_100k(tmp_path))).digest
    path = tmp_path / "ml-100k" / "u.item"
    path.write_text(path.read_text("latin-1"), "utf-8")
    assert load("ml-100k", str(tmp_path)).digest == before


def test_a_table_above_the_limit_is_refused_and_not_cut(tmp_path, monkeypatch):
    path = write_100k(tmp_path) / "ml-100k" / "u.item"
    size = path.stat().st_size
    monkeypatch.setattr("research.data.delimited.TABLE_LIMIT", size)
    assert len(load("ml-100k", str(tmp_path)).items.id) == len(FILMS)
    monkeypatch.setattr("research.data.delimited.TABLE_LIMIT", size - 1)
    with pytest.raises(InputError, match=f"u.item: expected at most {size - 1} bytes"):
        load("ml-100k", str(tmp_path))


@pytest.mark.parametrize(
    ("title", "source_year", "expected"),
    [
        ("Toy Story (1995)", "", ("Toy Story", 1995)),
        ("Toy Story (1995)", "1996", ("Toy Story", 1995)),
        ("Toy Story", "1995", ("Toy Story", 1995)),
        ("Shadow and Light (1996) ", "", ("Shadow and Light", 1996)),
        ("X (1995) (V)", "", ("X", 1995)),
        ("X (1995)", "V", ("X", 1995)),
        ("X (1939) (1994)", "", ("X (1939)", 1994)),
        ("(500) Days of Summer (2009)", "", ("(500) Days of Summer", 2009)),
        ("1984", "", ("1984", 0)),
        ("Death Note (2006-2007)", "", ("Death Note (2006-2007)", 0)),
        ("X (12345)", "95", ("X (12345)", 0)),
        ("unknown", "unkonwn", ("unknown", 0)),
        (" Babylon 5 ", "", ("Babylon 5", 0)),
    ],
)
def test_title_and_year(title, source_year, expected):
    assert title_and_year(title, source_year) == expected


def test_genres_are_flags_over_the_sorted_names_that_occur():
    flags, names = multi_hot(
        ["War|Drama", "unknown", "(no genres listed)", "", "Drama"], NO_GENRE
    )
    assert names == ("Drama", "War")
    assert flags.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize("offset", [0, 2**30])  # by lookup, by search
def test_rows_of(offset):
    ids = np.array([2, 5, 9]) + offset
    values = np.array([9, 2, 5, 3, 1, 10, 2**31 - 1 - offset]) + offset
    assert rows_of(values, ids).tolist() == [2, 0, 1, -1, -1, -1, -1]
