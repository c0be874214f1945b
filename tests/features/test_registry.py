"""Features from outside: an entry of a test's own, and columns that no entry names."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.config import Config
from research.events import catalogue, fold
from research.features import (
    CLICK_TIMES,
    COLUMN_FEATURES,
    FEATURES,
    ITEM,
    PER_EVENT,
    PER_WINDOW,
    USER,
    Codes,
    Feature,
    Request,
    choose_features,
    static_features,
)
from research.prepare import prepare
from research.train.loop import train
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Events,
    Fold,
    InputError,
    Table,
)
from tests.world import made_fold, made_ratings

SMALL = {
    **{"epochs": 1, "batch": 128, "dim": 8, "history": 5},
    **{"user_hidden": (8,), "item_hidden": (8,)},
}


def square(request: Request) -> np.ndarray:
    """A toy: two numbers of each item."""
    n = np.arange(request.events.n_items, dtype=np.float32) / 100
    return np.stack([n, n**2], axis=1)


def parity(request: Request) -> Codes:
    """A toy: odd or even."""
    return Codes(np.arange(len(request.table.id)) % 2, 2)


TOY = Feature("place and its square", (ITEM,), square)


def test_a_feature_of_ones_own_is_one_function_and_one_line():
    with FEATURES.added("toy", TOY):
        config = Config(item_features=("id", "genres", "toy"), **SMALL)
        world, _ = prepare(config, made_fold()).world
        expected = square(Request("toy", ITEM, made_fold().fitted, config))
        np.testing.assert_array_equal(world.items.dense[:, 4:], expected)
        with_toy = train(config, made_fold())
        assert with_toy.config.item_features == ("id", "genres", "toy")
    without = train(Config(item_features=("id", "genres"), **SMALL), made_fold())
    assert np.isfinite(with_toy.item_vectors).all()
    assert not np.array_equal(with_toy.item_vectors, without.item_vectors)
    with pytest.raises(InputError, match="item feature 'toy' is not in this data set"):
        train(config, made_fold())


def test_codes_of_ones_own_have_a_table_of_each_side():
    with FEATURES.added("parity", Feature("odd or even", (USER, ITEM), parity)):
        config = Config(
            user_features=("parity",), item_features=("id", "parity"), **SMALL
        )
        world, sizes = prepare(config, made_fold()).world
        assert sizes["user parity"] == sizes["item parity"] == 2
        assert world.items.codes["item parity"][:3].tolist() == [0, 1, 0]
        assert np.isfinite(train(config, made_fold()).user_vectors).all()


def timed_fold() -> Fold:
    return fold(catalogue(made_ratings(), with_rated=True))


def test_what_is_known_before_an_event_may_come_from_outside():
    def clicks_so_far(request: Request) -> np.ndarray:
        n = np.diff(request.events.offsets) + 1
        return np.concatenate([np.arange(m, dtype=np.float32) for m in n])[:, None]

    toy = Feature("clicks before the event", (USER,), clicks_so_far, PER_EVENT)
    config = Config(user_features=("toy", "genre-profile"), **SMALL)
    with FEATURES.added("toy", toy):
        world, _ = prepare(config, timed_fold()).world
        assert world.timed.profile.shape[1] == 4 + 1
        assert world.timed.profile[:3, 4].tolist() == [0, 1, 2]
        assert np.isfinite(train(config, timed_fold()).user_vectors).all()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda r: np.zeros((3, 1)), "expected 130 rows of numbers, not"),
        (lambda r: np.zeros(130), "expected 130 rows of numbers, not"),
        (lambda r: [[0.0]] * 3, "expected 130 rows of numbers, not"),
        (lambda r: None, "expected 130 rows of numbers, not"),
        (lambda r: np.full((130, 1), "a"), "expected 130 rows of numbers, not"),
        (lambda r: Codes(np.full(130, 0.5), 2), "expected 130 codes below 2"),
        (lambda r: Codes(np.full(130, 2), 2), "expected 130 codes below 2"),
        (lambda r: Codes(np.zeros(3, int), 2), "expected 130 codes below 2"),
    ],
)
def test_what_fits_no_table_is_refused(make, reason):
    phase = fold(catalogue(made_ratings(), items="all"))
    toy, reason = Feature("", (ITEM,), make), f"item feature 'toy': {reason}"
    with FEATURES.added("toy", toy), pytest.raises(InputError, match=reason):
        _ = prepare(Config(item_features=("toy",)), phase).world


@pytest.mark.parametrize("gives", [PER_EVENT, CLICK_TIMES, PER_WINDOW])
def test_a_side_takes_only_its_own_sort(gives):
    with pytest.raises(ValueError, match="of user and item"):
        Feature("", (USER, ITEM), square, gives)


def test_one_feature_tells_the_age_of_a_click():
    again = Feature("", (USER,), FEATURES["history-age"].make, CLICK_TIMES)
    config, reason = Config(user_features=("history-age", "again")), "name one of them"
    with FEATURES.added("again", again), pytest.raises(InputError, match=reason):
        prepare(config, made_fold())


COLUMNS = {
    "colour": Column(CATEGORY, np.array(["red", "", "blue", "red"])),
    "shop": Column(CATEGORY, np.array([7, -1, 3, 7])),
    "price": Column(NUMBER, np.array([1.0, np.nan, 3.0, 2.0])),
    "weight": Column(NUMBER, np.array([2, 4, 4, 2])),
    "tags": Column(CATEGORIES, np.eye(4, 2, dtype=bool), ("a", "b")),
}


def events_with(side: str, columns: dict[str, Column]) -> Events:
    n = len(next(iter(columns.values())).values)
    table = Table(np.arange(n), columns)
    return catalogue(made_ratings())._replace(**{f"{side}s": table})


@pytest.mark.parametrize("side", [USER, ITEM])
def test_columns_without_an_entry_go_by_their_kind(side):
    events, config = events_with(side, COLUMNS), Config()
    features = choose_features(side, events, config)
    assert [name for name in features if name != "id"] == list(COLUMNS)  # the default
    made = static_features(side, features, events, config)
    colour, shop = made.codes[f"{side} colour"], made.codes[f"{side} shop"]
    for code in (colour, shop):
        assert code[0] == code[3]
        assert len(set(code.tolist())) == 3
    assert made.sizes[f"{side} colour"] == made.sizes[f"{side} shop"] == 3
    price = np.sqrt(1.5) * np.array([-1, 0, 1, 0])
    np.testing.assert_allclose(made.dense[:, 0], price, rtol=1e-6)
    assert made.dense[:, 1].tolist() == [0, 1, 0, 0]  # whether it is missing
    assert made.dense[:, 2].tolist() == [-1, 1, 1, -1]
    assert made.dense[:, 3:].tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]
    assert made.dense.shape == (4, 5)


def test_an_entry_needs_a_column_of_its_kind_and_side():
    words = Column(CATEGORY, np.array(["young", "old", "old"]))
    for side, column in ((USER, words), (ITEM, Column(NUMBER, np.arange(3)))):
        events = events_with(side, {"age": column})
        features = choose_features(side, events, Config())
        assert features["age"] is COLUMN_FEATURES[column.kind]


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        ("colour", np.array(["red"]), ()),
        (NUMBER, np.array(["1"]), ()),
        (CATEGORY, np.array([1.5]), ()),
        (TEXT, np.array([["a"]]), ()),
        (CATEGORIES, np.zeros((2, 3), bool), ("a", "b")),
        (CATEGORIES, np.zeros((2, 2), bool), ("b", "a")),
        (CATEGORIES, np.zeros((2, 2), bool), ("a", "a")),
        (CATEGORIES, np.zeros((2, 1), bool), ("a|b",)),
    ],
)
def test_a_column_is_of_its_kind(kind, values, names):
    with pytest.raises(ValueError, match=r"column of kind|names of categories"):
        Column(kind, values, names)


def test_the_feature_of_the_docs_is_a_feature():
    page = Path(__file__).parents[2] / "docs" / "towers.md"
    code = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    (code,) = [text for text in code if "FEATURES" in text]
    names: dict[str, Any] = {}
    try:
        exec(code, names)
        assert names["FEATURES"] is FEATURES
        done = train(Config(item_features=("id", "toy"), **SMALL), made_fold())
        assert np.isfinite(done.item_vectors).all()
    finally:
        FEATURES.pop("toy", None)
