"""Features: codes that fit their tables, and nothing from the future."""

import jax
import numpy as np
import pytest

from research.config import REFERENCE, Config
from research.events import TEST, TRAIN, catalogue, fold
from research.features import ITEM as ITEMS
from research.features import USER as USERS
from research.features import (
    Features,
    available,
    choose_features,
    static_features,
)
from research.prepare import prepare
from research.splits import parts
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Events,
    InputError,
    Ratings,
    Table,
)
from tests.world import made_fold, made_ratings, with_columns

USER = ("id", "gender", "age", "occupation", "zip")
ITEM = ("id", "genres", "year")


def without_demographics() -> Ratings:
    ratings = made_ratings()
    return ratings._replace(users=Table(ratings.users.id, {}))


def static(side: str, events: Events, *names: str) -> Features:
    """The static features of these names."""
    config = Config(**{f"{side}_features": names})
    features = choose_features(side, events, config)
    return static_features(side, features, events, config)


def codes_of(side: str, name: str, column: Column) -> Features:
    """The feature of that name, of as many users or items as the column has rows."""
    ratings, n = made_ratings(), len(column.values)
    events = catalogue(ratings)
    table = Table(np.arange(n), {name: column})
    return static(side, events._replace(**{f"{side}s": table}), name)


def test_codes_are_within_their_tables_and_use_each_row():
    events = catalogue(made_ratings())
    both = (static("user", events, *USER), static("item", events, *ITEM))
    for side, n in zip(both, (events.n_users, events.n_items), strict=True):
        assert set(side.codes) == set(side.sizes)
        for name, code in side.codes.items():
            assert code.shape == (n,)
            assert code.min() >= 0
            assert code.max() < side.sizes[name], name
        assert len(side.dense) == n


def test_ages_fall_into_the_buckets_of_movielens_1m():
    ages = np.array([1, 17, 18, 24, 25, 34, 35, 44, 45, 49, 50, 55, 56, 99, np.nan])
    expected = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]
    features = codes_of("user", "age", Column(NUMBER, ages))
    assert features.codes["age"].tolist() == expected
    assert features.sizes["age"] == 8
    assert static("user", catalogue(made_ratings()), "age").sizes["age"] <= 7


def test_an_age_class_that_training_lacks_is_a_value_it_never_saw():
    ages = np.array([10.0, 60.0, 10.0])
    events = catalogue(made_ratings())
    fitted = Table(np.arange(3), {"age": Column(NUMBER, ages)})
    ages = np.array([10, 30, 60, np.nan])
    others = Table(np.arange(4), {"age": Column(NUMBER, ages)})
    config = Config(user_features=("age",))
    features = choose_features(USERS, events._replace(users=fitted), config)
    events = events._replace(users=others)
    made = static_features(USERS, features, events, config, fitted)
    unseen = made.sizes["age"]
    assert made.codes["age"].tolist() == [0, unseen, 6, unseen]


def test_a_zip_counts_by_its_first_digit_and_letters_are_one_place():
    zips = np.array(["12345", "19999", "2000", "V3N4P", "E2A4H", ""])
    code = codes_of("user", "zip", Column(CATEGORY, zips)).codes["zip"].tolist()
    assert code[0] == code[1] != code[2]
    assert code[3] == code[4] == code[5]
    assert len(set(code)) == 3


def test_decades_and_the_unknown_year():
    years = Column(NUMBER, np.array([1990, 1999, 2000, 1989, np.nan, np.nan]))
    code = codes_of("item", "year", years).codes["decade"].tolist()
    assert code[0] == code[1]
    assert code[4] == code[5]
    assert len(set(code)) == 4


def names(events: Events, config: Config = REFERENCE) -> tuple[tuple[str, ...], ...]:
    """The user and the item features that can be had."""
    return tuple(tuple(available(side, events, config)) for side in (USERS, ITEMS))


def test_what_is_there_is_found():
    always = ("history-age",)
    user, item = names(catalogue(made_ratings()))
    assert user == (*USER, *always)
    assert item == (*ITEM, "title")
    whole = catalogue(made_ratings(), with_rated=True)
    user, item = names(whole, Config(item_array="a file"))
    assert user == (*USER, "genre-profile", *always)
    assert item == (*ITEM, "title", "profile", "dynamic", "array")
    assert names(catalogue(without_demographics()))[0] == ("id", *always)
    ratings = made_ratings()
    n = len(ratings.items.id)
    items = with_columns(
        ratings.items,
        year=Column(NUMBER, np.full(n, np.nan)),
        genres=Column(CATEGORIES, np.zeros((n, 0), bool)),
        title=Column(TEXT, np.array([""] * n)),
    )
    user, item = names(catalogue(ratings._replace(items=items), with_rated=True))
    assert item == ("id", "profile", "dynamic")
    assert "genre-profile" not in user


def test_where_every_rating_is_a_positive_there_is_no_rate_of_positives():
    ratings = made_ratings()
    events = catalogue(ratings, threshold=3.0, with_rated=True)
    assert events.rated is None
    user, item = names(events)
    assert not {"genre-profile", "profile", "dynamic"} & {*user, *item}
    with pytest.raises(InputError, match="item feature 'dynamic' is not in this"):
        prepare(Config(item_features=("id", "dynamic")), fold(events))


@pytest.mark.parametrize(
    ("side", "name"), [("user", "genres"), ("user", "dynamic"), ("item", "age")]
)
def test_a_feature_of_the_other_side_cannot_be_named(side, name):
    phase = fold(catalogue(made_ratings(), with_rated=True))
    with pytest.raises(InputError, match=f"{side} feature '{name}' is not in this"):
        prepare(Config(**{f"{side}_features": ("id", name)}), phase)


@pytest.mark.parametrize("name", USER[1:])
def test_a_missing_feature_is_refused_when_it_is_named(name):
    phase = fold(catalogue(without_demographics()))
    with pytest.raises(InputError, match=f"user feature '{name}' is not in this"):
        prepare(Config(user_features=("id", name)), phase)


@pytest.mark.parametrize(
    ("layers", "own"), [("added", ("id",)), ("residual", ("id",)), ("mlp", ())]
)
def test_the_default_is_what_the_data_set_has_and_an_id_that_has_a_row(layers, own):
    """The user's id is a feature where layers give it a row beside them."""
    config = prepare(Config(layers=layers), made_fold()).config
    assert config.user_features == (*own, *USER[1:])
    assert config.item_features == ITEM
    without = fold(catalogue(without_demographics()))
    config = prepare(Config(layers=layers), without).config
    assert config.user_features == own
    assert config.item_features == ITEM
    config = prepare(Config(user_features=("id",)), made_fold()).config
    assert config.user_features == ("id",)
    assert prepare(Config(user_features=()), made_fold()).config.user_features == ()


def test_a_tower_needs_something_to_go_by():
    phase = made_fold()
    with pytest.raises(InputError, match="neither a history nor a feature"):
        prepare(Config(user_features=(), encoder="none"), phase)
    with pytest.raises(InputError, match="neither a history nor a feature"):
        prepare(Config(user_features=(), history=0), phase)
    with pytest.raises(InputError, match="item tower has no feature"):
        prepare(Config(item_features=()), phase)


def distinct_times(seed: int = 0) -> Ratings:
    ratings = made_ratings()
    when = np.random.default_rng(seed).permutation(len(ratings.user))
    return ratings._replace(timestamp=when.astype(np.int64))


def shuffled_future(ratings: Ratings, split: str, from_part: int, seed: int) -> Ratings:
    """Held-out events with each other's items, and a user's with each other's times.

    Items change hands only where neither user has rated the other's.
    """
    draw = np.random.default_rng(seed)
    events = catalogue(ratings, items="all")
    future = parts(split, events) >= from_part
    held = {
        (int(events.users.id[u]), int(events.items.id[i]))
        for u, i in zip(events.user[future], events.item[future], strict=True)
    }
    item, when = ratings.item.copy(), ratings.timestamp.copy()
    raw_user, raw_item = ratings.users.id[ratings.user], ratings.items.id[ratings.item]
    at = np.array(
        [
            n
            for n, pair in enumerate(
                zip(raw_user.tolist(), raw_item.tolist(), strict=True)
            )
            if pair in held
        ]
    )
    for u in np.unique(ratings.user[at]):
        own = at[ratings.user[at] == u]
        when[own] = draw.permutation(when[own])
    rated = {
        u: set(item[ratings.user == u].tolist()) for u in np.unique(ratings.user[at])
    }
    for a, b in draw.choice(at, (5 * len(at), 2)):
        u, v, i, j = ratings.user[a], ratings.user[b], int(item[a]), int(item[b])
        if u != v and j not in rated[u] and i not in rated[v]:
            item[a], item[b] = j, i
            rated[u] = rated[u] - {i} | {j}
            rated[v] = rated[v] - {j} | {i}
    rows = np.lexsort((item, ratings.user))
    return ratings._replace(
        item=item[rows], timestamp=when[rows], rating=ratings.rating[rows]
    )


@pytest.mark.parametrize("fit_on", ["train", "train+validation"])
@pytest.mark.parametrize("split", ["ratio", "last"])
def test_shuffling_the_future_changes_nothing_that_is_fitted(split, fit_on):
    ratings = distinct_times()
    first = TRAIN + 1 if fit_on == "train" else TEST
    other = shuffled_future(ratings, split, first, seed=1)
    config = Config(
        mask_user_positives=True,
        user_features=(*USER, "genre-profile", "history-age"),
        item_features=(*ITEM, "profile", "dynamic"),
        batch_order="time,days=1e-3",
    )

    def made(data: Ratings):  # type: ignore[no-untyped-def]
        events = catalogue(data, items="all", with_rated=True)
        phase = fold(events, split, fit_on)
        return phase, prepare(config, phase).world

    (one, (before, sizes)), (two, (after, same_sizes)) = made(ratings), made(other)
    moved = one.held_item != two.held_item
    assert moved.mean() > 0.5  # the future did change
    assert sizes == same_sizes
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.fitted[:6], two.fitted[:6], strict=True):
        np.testing.assert_array_equal(a, b)
