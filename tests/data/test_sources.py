import os
from pathlib import Path

import pytest

from research.data import DATASETS, load, movielens
from research.data import cache as data_cache
from research.types import InputError
from tests.data.miniature import write_1m, write_100k, write_csv, zipped
from tests.refusal import refusal

# Taken before the fixture hides them: one test loads what the person's machine has.
OWN_CACHE, OWN_HINT = data_cache.default_root(), os.environ.get("MOVIELENS_DIR")

ONE = ((1, 1, 1, 5), (2, 1, 4, 6))
TWO = ((1, 1, 2, 5), (2, 1, 4, 6))
THREE = ((1, 1, 3, 5), (2, 1, 4, 6))


def first_rating(ratings):
    return float(ratings.rating[0])


@pytest.fixture
def all_three(tmp_path, monkeypatch, cache):
    """A folder, a hint and a cached copy that differ; no source beyond them."""

    def beyond(dataset, root):
        raise AssertionError("the cache was passed over")

    monkeypatch.setattr(movielens, "_archive", beyond)
    folder = write_100k(tmp_path / "one", ONE)
    hint = write_100k(tmp_path / "two", TWO)
    cached = load("ml-100k", str(write_100k(tmp_path / "three", THREE)))
    data_cache.write_cached(cache, cached)
    monkeypatch.setenv("MOVIELENS_DIR", str(hint))
    return folder, hint


def test_the_folder_wins_then_the_hint_then_the_cache(all_three, monkeypatch, capsys):
    assert first_rating(load("ml-100k", str(all_three[0]))) == 1
    assert first_rating(load("ml-100k")) == 2
    monkeypatch.setenv("MOVIELENS_DIR", "")
    assert first_rating(load("ml-100k")) == 3
    monkeypatch.delenv("MOVIELENS_DIR")
    assert first_rating(load("ml-100k")) == 3
    assert capsys.readouterr().err == ""


def test_a_hint_that_lacks_the_set_costs_a_line(all_three, capsys):
    hint = all_three[1]
    (hint / "ml-100k" / "u.user").unlink()
    assert first_rating(load("ml-100k")) == 3
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"$MOVIELENS_DIR: it lacks {hint / 'ml-100k' / 'u.user'}, " in line
    assert line.endswith("going on to the next source\n")


def test_a_hint_whose_rows_are_malformed_is_refused(all_three):
    path = all_three[1] / "ml-100k" / "u.data"
    path.write_text("x\n")
    with pytest.raises(InputError, match=r"u\.data:1: expected 4 fields"):
        load("ml-100k")


def test_a_folder_that_lacks_the_set_is_refused(all_three, capsys):
    folder = all_three[0]
    (folder / "ml-100k" / "u.user").unlink()
    assert refusal(load, "ml-100k", str(folder)) == (
        f"ml-100k isn't in the data folder {folder}: looked for "
        f"{folder}/ml-100k/u.user, {folder}/ml-100k.zip, "
        f"{folder}/u.data, {folder}/u.user, {folder}/u.item"
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", ["absent", ""])
def test_a_folder_that_does_not_exist_is_refused(
    given, all_three, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"looked for .*ml-100k/u\.data, "):
        load("ml-100k", given)


def test_folder_zip_and_the_sets_own_folder(tmp_path):
    root = write_1m(tmp_path / "root")
    zipped(root, "ml-1m", tmp_path / "zips")
    digest = load("ml-1m", str(root)).digest
    assert load("ml-1m", str(tmp_path / "zips")).digest == digest
    assert load("ml-1m", str(root / "ml-1m")).digest == digest
    (root / "ml-1m").rename(root / "mine")
    assert load("ml-1m", str(root / "mine")).digest == digest


def test_another_sets_folder_does_not_pass(tmp_path):
    folder = write_csv(tmp_path, "ml-20m") / "ml-20m"
    assert load("ml-20m", str(folder)).name == "ml-20m"
    with pytest.raises(InputError, match="ml-25m isn't in the data folder"):
        load("ml-25m", str(folder))


def test_ml_100k_as_a_person_gets_it(monkeypatch):
    """Whatever source this machine has: always the same data set."""
    if OWN_HINT:
        monkeypatch.setenv("MOVIELENS_DIR", OWN_HINT)
    ratings = load("ml-100k", cache=Path(OWN_CACHE))
    assert ratings.digest == DATASETS["ml-100k"].digest
