"""A model of own data reads histories and tables of users as training read them."""

import csv

import numpy as np
import pandas as pd
import pytest

from experiments.__main__ import main
from experiments.arms import ARMS
from research.data import load
from research.saved.files import load_model
from research.types import InputError
from tests.data.own import csv_text, write
from tests.experiments.made import TINY

CLICKS = [f"u{u},i{i},{100 * u + i}" for u in range(40) for i in range(u % 4, 60, 3)]
ROWS = [row.split(",") for row in CLICKS]
HEADER = "user,item,timestamp"


def train(folder, *words):
    """A saved model of the tiny arm."""
    words = ["train", "--arm", "tiny", *words, "--out", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARMS, "tiny", TINY["tiny"])
        assert main([*words, "--save", str(folder / "model")]) == 0
    return load_model(folder / "model")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data set with a table of users as people write them, and its saved model."""
    folder = tmp_path_factory.mktemp("own") / "people"
    write(folder / "interactions.csv", "\n".join([HEADER, *CLICKS]) + "\n")
    rows = [
        f"u{u}, {('DE', 'AT', 'CH')[u % 3]}, {u if u % 5 else 'NA'}, a|b{u % 2}"
        for u in range(40)
    ]
    write(folder / "users.csv", "\n".join(["user, country, age, likes", *rows]) + "\n")
    features = ("--user-features", "country", "age", "likes")
    return folder, train(folder.parent, "--dataset", str(folder), *features)


def test_blanks_and_missing_numbers_are_those_of_training(people):
    folder, model = people
    clicks = folder / "interactions.csv"
    given = model.encode(clicks, folder / "users.csv")
    known = model.encode(clicks)
    assert given.notes == known.notes == ()
    np.testing.assert_allclose(given.vectors, known.vectors, atol=1e-6)
    other = model.encode({"u1": ["i1"]}, {"u1": {"country": "AT"}})  # " AT" is known
    same = model.encode({"u1": ["i1"]}, {"u1": {"country": " AT"}})
    assert np.abs(other.vectors - same.vectors).max() > 1e-3


def test_header_cells_may_name_a_type(people, tmp_path):
    _, model = people
    plain = write(tmp_path / "p.csv", "user,country,age,likes\nnew, AT,7,a|b1\n")
    cells = "user,country:category,age:number,likes:token_seq"
    typed = write(tmp_path / "t.csv", f"{cells}\nnew, AT,7,a b1\n")
    found = [model.encode({"new": ["i1"]}, path) for path in (plain, typed)]
    assert found[0].notes == found[1].notes == ()
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)


@pytest.mark.parametrize("nothing", [None, np.nan, np.float32("nan"), pd.NA, ""])
def test_what_is_missing_in_python_is_missing_in_every_column(people, nothing):
    _, model = people
    row = dict.fromkeys(("country", "age", "likes"), nothing)
    found = model.encode({"new": ["i1"]}, {"new": row})
    bare = model.encode({"new": ["i1"]}, {"new": {}})
    np.testing.assert_array_equal(found.vectors, bare.vectors)


def test_times_are_read_as_in_training(people, tmp_path):
    folder, model = people
    decimal = "\n".join([HEADER, *(f"{row}.0" for row in CLICKS)]) + "\n"
    found = model.encode(write(tmp_path / "decimal.csv", decimal))
    whole = model.encode(folder / "interactions.csv")
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    empty = write(tmp_path / "empty.csv", f"{HEADER}\nu1,i7,\nu1,i4,\n")
    ordered = model.encode({"u1": ["i7", "i4"]})
    np.testing.assert_array_equal(model.encode(empty).vectors, ordered.vectors)
    dates = write(tmp_path / "dates.csv", f"{HEADER}\nu1,i7,20200131\nu1,i4,20200201\n")
    with pytest.raises(InputError, match="found 'dates such as 20200131'"):
        model.encode(dates)


def test_lists_have_titles_as_text(tmp_path):
    """Neither of the ids nor of the titles does a spreadsheet compute anything."""
    folder = tmp_path / "shop"
    titles = ["=1+1", "@SUM(A1)", 'a "b", c', "<script>alert(1)</script>"]
    items = [[f"i{i}", titles[i % 4]] for i in range(60)]
    write(folder / "interactions.csv", csv_text(ROWS, HEADER))
    with (folder / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["item", "title:text"], *items])
    train(tmp_path, "--dataset", str(folder))
    path = write(tmp_path / "h.csv", csv_text([["-new", "i1"]], "user,item"))
    words = ["--model", str(tmp_path / "model"), "--histories", str(path)]
    assert main(["encode", *words, "--lists", "9", "--out", str(tmp_path / "v")]) == 0
    with (tmp_path / "v" / "lists.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["user", "rank", "item", "title", "score"]
    assert {row["user"] for row in rows} == {"'-new"}
    shown = ["'=1+1", "'@SUM(A1)", *titles[2:]]
    assert [r["title"] for r in rows] == [shown[int(r["item"][1:]) % 4] for r in rows]


def test_columns_may_be_called_as_in_training(tmp_path):
    path = write(tmp_path / "shop.csv", csv_text(ROWS, "uid,sku,when"))
    names = ("--columns", "user=uid", "item=sku", "timestamp=when")
    model = train(tmp_path, "--dataset", str(path), *names)
    usual = write(tmp_path / "usual.csv", csv_text(ROWS, HEADER))
    found = [model.encode(one) for one in (path, usual)]
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)
    reverse = write(tmp_path / "reverse.csv", csv_text(ROWS[::-1], "uid,sku,when"))
    place = {user: n for n, user in enumerate(found[0].ids.tolist())}
    back = model.encode(reverse)
    rows = [place[user] for user in back.ids.tolist()]
    np.testing.assert_array_equal(back.vectors, found[0].vectors[rows])
    mixed = write(tmp_path / "mixed.csv", csv_text(ROWS[::-1], "user,item,when"))
    np.testing.assert_array_equal(model.encode(mixed).vectors, back.vectors)
    with pytest.raises(InputError, match="expected columns user,item"):
        model.encode(write(tmp_path / "other.csv", csv_text(CLICKS, "u,sku,when")))


@pytest.mark.parametrize("row", [f"{'a' * 256},i1", f"u1,{'b' * 256}", "NaN,i1"])
def test_an_id_that_training_refuses_is_refused_by_the_same_line(
    people, tmp_path, capsys, row
):
    path = write(tmp_path / "h.csv", f"user,item\nu1,i4\n{row}\n")
    with pytest.raises(InputError) as raised:
        load(str(path))
    model, out = people[0].parent / "model", tmp_path / "vectors"
    words = ["--model", str(model), "--histories", str(path), "--out", str(out)]
    assert main(["encode", *words]) == 2
    assert capsys.readouterr().err == f"error: {raised.value}\n"
    assert not out.exists()
