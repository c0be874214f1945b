"""Vectors that items bring along: titles, and arrays of anyone's."""

import numpy as np
import pytest

from research.config import Config
from research.events import catalogue, fold
from research.features import Request
from research.features.content import load_array, stamped, text_vectors
from research.prepare import prepare
from research.types import TEXT, Column, InputError
from tests.world import made_ratings, with_columns

ITEMS = catalogue(made_ratings()).items
N = len(ITEMS.id)
VECTORS = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
BY_ID = np.argsort(ITEMS.id)


def write(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_a_row_goes_to_the_item_of_its_id(tmp_path):
    plain = tmp_path / "vectors.npy"
    np.save(plain, VECTORS[BY_ID])
    ids = np.concatenate([ITEMS.id, [10**6]])
    extra = np.concatenate([VECTORS, np.full((1, 3), np.nan)])
    named = write(tmp_path / "vectors.npz", ids=ids, vectors=extra)
    scale = np.sqrt((VECTORS**2).sum(axis=1).mean())
    for name in (str(plain), named, stamped(named)):
        found = load_array(name, ITEMS)
        np.testing.assert_allclose(found, VECTORS / scale, rtol=1e-5)


def test_rows_by_ascending_id_are_refused_where_digits_are_text(tmp_path):
    """As text 10 comes before 2: the rows would go to other items than are meant."""
    text = ITEMS._replace(text=ITEMS.id.astype(str))
    plain = tmp_path / "vectors.npy"
    np.save(plain, VECTORS[BY_ID])
    with pytest.raises(InputError, match="ambiguous where ids are digits read as text"):
        load_array(str(plain), text)
    for ids in (ITEMS.id, ITEMS.id.astype(str)):
        named = write(tmp_path / "vectors.npz", ids=ids, vectors=VECTORS)
        np.testing.assert_array_equal(load_array(named, text), load_array(named, ITEMS))
    letters = ITEMS._replace(text=np.array([f"i{n:04}" for n in ITEMS.id]))
    np.testing.assert_array_equal(
        load_array(str(plain), letters), load_array(str(plain), ITEMS)
    )


def with_nan():
    return np.where(np.arange(N)[:, None] == 4, np.nan, VECTORS)


REFUSED = {
    "short": (
        lambda p: np.save(p, VECTORS[1:]),
        f"{N - 1} rows, the catalogue has {N}",
    ),
    "long": (lambda p: np.save(p, np.ones((N + 1, 2))), f"{N + 1} rows"),
    "flat": (lambda p: np.save(p, np.ones(N)), "expected a row of numbers"),
    "no column": (lambda p: np.save(p, np.ones((N, 0))), "expected a row of numbers"),
    "text": (lambda p: np.save(p, np.full((N, 2), "a")), "expected numbers"),
    "not a number": (lambda p: np.save(p, with_nan()), "isn't finite"),
    "not an array": (lambda p: p.write_text("a,b\n"), "not an array"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_meant_is_refused(case, tmp_path):
    path = tmp_path / "vectors.npy"
    make, reason = REFUSED[case]
    make(path)
    with pytest.raises(InputError, match=reason) as raised:
        load_array(str(path), ITEMS)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_ids_that_are_missing_or_twice_are_refused(tmp_path):
    path = tmp_path / "vectors.npz"
    name = write(path, ids=ITEMS.id[1:], vectors=VECTORS[1:])
    with pytest.raises(InputError, match=f"no row for 1 items, item {ITEMS.id[0]}"):
        load_array(name, ITEMS)
    name = write(
        path, ids=np.append(ITEMS.id, ITEMS.id[0]), vectors=np.ones((N + 1, 2))
    )
    with pytest.raises(InputError, match="an id has two rows"):
        load_array(name, ITEMS)
    name = write(path, rows=VECTORS)
    with pytest.raises(InputError, match="named ids and vectors"):
        load_array(name, ITEMS)
    with pytest.raises(InputError, match="No such file"):
        stamped(str(tmp_path / "nowhere.npy"))


def test_the_array_is_a_feature_like_another(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, VECTORS[BY_ID])
    phase = fold(catalogue(made_ratings()))
    config = prepare(Config(item_array=str(path)), phase).config
    assert config.item_features == ("id", "genres", "year", "array")
    assert config.item_array == stamped(str(path))
    world, _ = prepare(config, phase).world
    np.testing.assert_array_equal(
        world.items.dense[:, 4:], load_array(str(path), ITEMS)
    )
    with pytest.raises(InputError, match="name 'array' in item_features too"):
        prepare(Config(item_array=str(path), item_features=("id",)), phase)
    with pytest.raises(InputError, match="item feature 'array' is not in this"):
        prepare(Config(item_features=("id", "array")), phase)


def vectors_of(titles: list[str]) -> np.ndarray:
    """The vectors of the titles of the made items."""
    items = with_columns(ITEMS, title=Column(TEXT, np.array(titles)))
    events = catalogue(made_ratings())._replace(items=items)
    return text_vectors(Request("title", "item", events, Config()))


def test_titles_with_the_same_words_are_alike():
    titles = [f"Film {n % 40}" for n in range(N)]
    titles[:3] = ["Star Wars", "Star Wars", "Return of the Jedi, Star Wars"]
    found = vectors_of(titles)
    np.testing.assert_array_equal(found, vectors_of(titles))
    assert found.shape == (N, 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-4)
    alike = found @ found[0]
    assert alike[1] == pytest.approx(1, abs=1e-5)
    assert alike[2] > max(alike[3:]) + 0.1


def test_texts_need_scikit_learn_and_more_rows_than_dimensions(monkeypatch):
    phase = fold(catalogue(made_ratings(items=32)))
    config = Config(item_features=("id", "title"))
    with pytest.raises(InputError, match="item feature 'title' needs more than 32 ite"):
        prepare(config, phase)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="item feature 'title' needs scikit-learn"):
        prepare(config, fold(catalogue(made_ratings())))
