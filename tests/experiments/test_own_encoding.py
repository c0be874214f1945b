"""A model of own data reads histories and tables of users as training read them."""

import numpy as np
import pandas as pd
import pytest

from experiments.__main__ import main
from experiments.arms import ARMS
from research.saved.files import load_model
from tests.data.own import write
from tests.experiments.made import TINY

CLICKS = [f"u{u},i{i},{100 * u + i}" for u in range(40) for i in range(u % 4, 60, 3)]
HEADER = "user,item,timestamp"


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
    words = ["train", "--arm", "tiny", "--dataset", str(folder)]
    words += ["--user-features", "country", "age", "likes"]
    words += ["--out", str(folder.parent / "out"), "--save", str(folder.parent / "m")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARMS, "tiny", TINY["tiny"])
        assert main(words) == 0
    return folder, load_model(folder.parent / "m")


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
