"""Profiles and rates, against a slow reading, and with the future shuffled."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.events import catalogue, fold
from research.features import Request
from research.features.timed import PRIOR, genre_profile, item_profile, recent, windows
from research.prepare import prepare
from research.towers.inputs import AGES, CLICK_AGE, HISTORY, HistoryLookup, user_input
from research.train.model import make_model
from research.types import Events, Ratings
from tests.world import made_ratings

DAYS = 50 / 86400  # the made times are 0 to 499 seconds: ten windows
CONFIG = Config(
    user_features=("genre-profile", "history-age"),
    item_features=("id", "dynamic"),
    batch_order=f"time,days={DAYS!r}",
    **{"batch": 64, "epochs": 3, "history": 5, "dim": 8},
    **{"user_hidden": (8,), "item_hidden": (8,)},
)


def fitted(split: str = "ratio", ratings: Ratings | None = None) -> Events:
    events = catalogue(ratings or made_ratings(), with_rated=True)
    return fold(events, split).fitted


@pytest.mark.parametrize("split", ["ratio", "last", "time"])
def test_the_positives_among_the_ratings_are_the_events(split):
    events = fitted(split)
    rated = events.rated
    for name in ("user", "item", "rating", "timestamp"):
        column = getattr(rated, name)[rated.positive]
        np.testing.assert_array_equal(column, getattr(events, name))
    assert (rated.rating[~rated.positive] < 4).all()
    # Nothing comes after a user's last fitted positive.
    last = events.timestamp[events.offsets[1:] - 1]
    has = np.diff(events.offsets) > 0
    assert has[rated.user].all()
    assert (rated.timestamp <= last[rated.user]).all()


def asked(events: Events) -> Request:
    return Request("any", "user", events, CONFIG)


def test_the_genre_profile_is_the_rate_before_the_event():
    events = fitted()
    found, rated = genre_profile(asked(events)), events.rated
    genres = events.items.topics()
    rate = rated.positive.mean()
    assert found.shape == (len(events.item) + events.n_users, 4)
    for user in (0, 11, 59):
        own = np.flatnonzero(rated.user == user)
        positives = np.flatnonzero(rated.positive[own])
        for n in range(len(positives) + 1):
            end = positives[n] if n < len(positives) else len(own)
            before = own[:end]
            row = found[events.offsets[user] + n + user]
            for genre in range(4):
                of = [r for r in before if genres[rated.item[r], genre]]
                liked = sum(bool(rated.positive[r]) for r in of)
                expected = (liked + PRIOR * rate) / (len(of) + PRIOR)
                assert row[genre] == pytest.approx(expected, rel=1e-5)


def test_the_item_profile_is_the_mean_rating_and_how_many():
    events = fitted()
    found, rated = item_profile(asked(events)), events.rated
    for item in (0, 5, 77):
        own = rated.rating[rated.item == item]
        mean = (own - rated.rating.mean()).sum() / (len(own) + PRIOR)
        assert found[item, 0] == pytest.approx(mean, abs=1e-5)
        assert found[item, 1] == pytest.approx(np.log1p(len(own)), rel=1e-5)


def test_windows_are_counted_back_from_the_last_event():
    events = fitted()
    found = windows(events, DAYS)
    end = events.timestamp.max()
    back = (end - events.timestamp) // 50
    np.testing.assert_array_equal(found, back.max() - back)
    assert found.min() == 0
    assert (windows(events, 1.0) == 0).all()


def test_what_was_recent_is_of_the_window_before():
    events = fitted()
    found, rated = recent(asked(events)), events.rated
    rate, end = rated.positive.mean(), events.timestamp.max()
    n_windows = int(windows(events, DAYS).max()) + 1
    assert found.shape == (n_windows + 1, events.n_items, 2)
    np.testing.assert_allclose(found[0, :, 1], rate, rtol=1e-6)
    assert (found[0, :, 0] == 0).all()
    for item in range(6):
        for row in range(1, n_windows + 1):
            back = n_windows - row
            age = end - rated.timestamp
            own = (rated.item == item) & (age >= 50 * back) & (age < 50 * (back + 1))
            liked = rated.positive[own].sum()
            assert found[row, item, 0] == pytest.approx(np.log1p(liked), rel=1e-5)
            share = (liked + PRIOR * rate) / (own.sum() + PRIOR)
            assert found[row, item, 1] == pytest.approx(share, rel=1e-5)


def later_items_changed(events: Events, when: int) -> Events:
    """Events and ratings from a time on, with each other's items."""
    draw, rated = np.random.default_rng(0), events.rated
    item = rated.item.copy()
    later = np.flatnonzero(rated.timestamp >= when)
    item[later] = item[draw.permutation(later)]
    return events._replace(item=item[rated.positive], rated=rated._replace(item=item))


def test_nothing_that_a_query_is_told_depends_on_what_comes_after_it():
    """Items of all later ratings change hands: earlier queries are told the same."""
    ratings = made_ratings()
    when = np.random.default_rng(1).permutation(len(ratings.user))  # no ties in time
    ratings = ratings._replace(timestamp=when.astype(np.int64))
    phase = fold(catalogue(ratings, with_rated=True))
    config = dataclasses.replace(CONFIG, batch_order=f"time,days={100 / 86400!r}")
    cut = 900
    other = phase._replace(fitted=later_items_changed(phase.fitted, cut))
    moved = phase.fitted.item != other.fitted.item
    assert moved.sum() > 100
    config = prepare(config, phase).config
    model = make_model(config)
    early = np.flatnonzero(phase.fitted.timestamp < cut)[::7]
    late = np.flatnonzero(phase.fitted.timestamp >= cut + 200)[::7]
    told = []
    for one in (phase, other):
        world, _ = prepare(config, one).world
        rows = []
        for at in (early, late):
            position = jnp.asarray(at, jnp.int32)
            entity = jnp.asarray(phase.fitted.user[at], jnp.int32)
            user = model.look_at(world, entity, position)
            items = world.timed.recent[world.timed.window[position]]
            rows.append((np.asarray(user.dense), np.asarray(items)))
        told.append(rows)
    for a, b in zip(told[0][0], told[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    # Late queries, which come after what changed, do see the change.
    for a, b in zip(told[0][1], told[1][1], strict=True):
        assert not np.array_equal(a, b)


def test_the_age_of_a_click_is_since_the_latest_one_in_powers_of_two():
    phase = fold(catalogue(made_ratings(), with_rated=True))
    run = prepare(CONFIG, phase)
    config, (world, sizes) = run.config, run.world
    assert sizes["history-age"] == AGES
    events = phase.fitted
    position = jnp.asarray(events.offsets[1:6], jnp.int32)
    found = make_model(config).look_at(world, jnp.arange(5, dtype=jnp.int32), position)
    for row in range(5):
        at = events.offsets[row + 1] - 1 - np.arange(5)
        age = events.timestamp[at[0]] - events.timestamp[at]
        expected = [int(seconds).bit_length() for seconds in age]
        assert found.ids["history-age"][row].tolist() == expected


def test_the_age_of_a_click_is_added_to_its_row_and_is_no_feature_of_the_user():
    rows = {HISTORY: jnp.ones((2, 3, 4)), CLICK_AGE: jnp.full((2, 3, 4), 2.0)}
    lookup = HistoryLookup({}, jnp.ones((2, 3), bool), jnp.zeros((2, 0)))
    given = user_input(rows, lookup, 4)
    assert (given.history == 3).all()
    assert given.rows == {}


def test_a_batch_sees_items_as_before_its_earliest_window_and_serving_as_last():
    phase = fold(catalogue(made_ratings(), with_rated=True))
    run = prepare(CONFIG, phase)
    world, _ = run.world
    from research.towers.inputs import item_lookup

    ids = jnp.arange(9, dtype=jnp.int32)
    window = np.asarray(world.timed.window)
    position = np.array([np.flatnonzero(window == w)[0] for w in (6, 4, 9)])
    batch = item_lookup(world.items, ids, world.timed, jnp.asarray(position))
    np.testing.assert_array_equal(batch.dense, world.timed.recent[4, :9])
    served = item_lookup(world.items, ids, world.timed)
    np.testing.assert_array_equal(served.dense, world.timed.recent[-1, :9])
