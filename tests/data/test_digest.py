import dataclasses
import random

import numpy as np
import pytest

from research.data import load
from research.data.cache import digest, digest_of
from research.data.download import INSIDE
from research.data.movielens import read
from research.data.places import Place
from research.types import CATEGORY, TEXT, Column
from tests.data.miniature import (
    FILMS,
    RATINGS,
    USERS,
    write_100k,
    write_wheel,
    zipped,
)
from tests.world import with_columns


@pytest.fixture
def ratings(tmp_path):
    return load("ml-100k", str(write_100k(tmp_path / "digest")))


def test_grouplens_and_the_wheel_give_one_digest(ratings, tmp_path):
    other = read("ml-100k", Place(write_wheel(tmp_path), INSIDE), "wheel")
    assert other.digest == ratings.digest
    assert other.items.columns["title"].values.tolist() == [
        title for _, title, *_ in FILMS
    ]


def test_a_folder_and_its_zip_give_one_digest(ratings, tmp_path):
    zipped(tmp_path / "digest", "ml-100k", tmp_path / "zips")
    assert load("ml-100k", str(tmp_path / "zips")).digest == ratings.digest


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_files_is_nothing(seed, ratings, tmp_path):
    shuffled = [random.Random(seed).sample(t, len(t)) for t in (RATINGS, FILMS, USERS)]
    other = load("ml-100k", str(write_100k(tmp_path, *shuffled)))
    assert other.digest == ratings.digest


def with_values(table, name, values):
    column = dataclasses.replace(table.columns[name], values=values)
    return with_columns(table, **{name: column})


def test_types_and_the_name_are_nothing(ratings):
    users, items = ratings.users, ratings.items
    users = with_values(users, "zip", users.columns["zip"].values.astype("<U99"))
    ages = users.columns["age"].values.astype(np.int16)
    years = items.columns["year"].values.astype(np.float32)
    wide = ratings._replace(
        name="another",
        user=ratings.user.astype(np.int64),
        rating=ratings.rating.astype(np.float64),
        timestamp=ratings.timestamp.astype(np.int32),
        users=with_values(users, "age", ages)._replace(id=users.id.astype(np.uint16)),
        items=with_values(items, "year", years),
    )
    assert digest(wide) == ratings.digest


def change(column, row=0, value=9):
    changed = column.copy()
    changed[row] = value
    return changed


def changed(ratings, side, name, *values):
    table = getattr(ratings, side)
    values = change(table.columns[name].values, *values)
    return ratings._replace(**{side: with_values(table, name, values)})


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: r._replace(rating=change(r.rating)),
        lambda r: r._replace(timestamp=change(r.timestamp)),
        lambda r: r._replace(item=change(r.item, 0, 2)),
        lambda r: changed(r, "users", "age"),
        lambda r: changed(r, "users", "age", 0, np.nan),
        lambda r: changed(r, "users", "zip", 0, "1"),
        lambda r: r._replace(users=with_columns(r.users, gender=None)),
        lambda r: r._replace(users=r.users._replace(id=change(r.users.id, 2))),
        lambda r: changed(r, "items", "year"),
        lambda r: changed(r, "items", "title", 3, "?"),
        lambda r: changed(r, "items", "genres", 0, True),
    ],
)
def test_whatever_else_changes_is_seen(edit, ratings):
    assert digest(edit(ratings)) != ratings.digest


def test_text_that_moves_between_rows_is_seen(ratings):
    titles = ratings.items.columns["title"].values
    moved = titles.copy()
    moved[0], moved[1] = "Toy StoryM", "isérables, Les"
    assert "".join(moved) == "".join(titles)
    other = ratings._replace(items=with_values(ratings.items, "title", moved))
    assert digest(other) != ratings.digest


def test_the_kind_of_a_column_is_part_of_the_digest(ratings):
    words = np.array(["a", "b", "c"])
    digests = {
        digest(
            ratings._replace(users=with_columns(ratings.users, gender=Column(k, words)))
        )
        for k in (CATEGORY, TEXT)
    }
    assert len(digests) == 2


def test_the_digest_of_the_miniature_is_what_it_was(ratings):
    # Another value here means that every cached and recorded digest is void: say so.
    assert ratings.digest == (
        "22d065244933ef7aa138e9105fd774b99a4b3e92125ac2544fa59104b740fd52"
    )


def test_digest_of_one_column_by_hand():
    import hashlib

    by_hand = b"two-tower ratings 1\nitems.id <u4 2\n\x01\0\0\0\x00\x01\0\0"
    columns = {"items.id": np.array([1, 256], "<u4")}
    assert digest_of(columns) == hashlib.sha256(by_hand).hexdigest()
