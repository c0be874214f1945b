"""Impressions in training: inverse propensity weights, and what is learned by them."""

import dataclasses

import numpy as np
import pytest

from experiments.arms import arm
from research.config import Config
from research.exposure import IMPRESSIONS, ips_weights
from research.positives import check_positives, make_positives
from research.train.loop import train
from research.types import NUMBER, Column, Events, Fold, InputError, Table, check

CANDIDATE = np.array([0, 2, 2, 1])


def items_of(shown) -> Table:
    columns = {IMPRESSIONS: Column(NUMBER, np.asarray(shown, float))}
    return Table(np.arange(len(shown)), columns)


def test_a_pair_counts_by_the_inverse_of_its_items_impressions():
    weight = ips_weights(items_of([0.0, 1.0, 3.0]), CANDIDATE, 1.0)
    expected = np.array([1, 1 / 4, 1 / 4, 1 / 2])
    np.testing.assert_allclose(weight, expected / expected.mean(), rtol=1e-6)
    half = ips_weights(items_of([0.0, 1.0, 3.0]), CANDIDATE, 0.5)
    np.testing.assert_allclose(half, np.sqrt(expected) / np.sqrt(expected).mean())
    huge = ips_weights(items_of([1e200, 1e200, 1e300]), CANDIDATE, 2.0)
    assert np.isfinite(huge).all()
    assert huge.mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        (Table(np.arange(3), {}), "ips needs a column impressions"),
        (items_of([1.0, np.nan, 2.0]), "has nan impressions: ips needs a number"),
        (items_of([1.0, 2.0, -1.0]), "has -1 impressions"),
    ],
)
def test_ips_needs_impressions_of_every_item(items, line):
    with pytest.raises(InputError, match=line):
        ips_weights(items, CANDIDATE, 1.0)


def test_candidates_that_are_no_items_have_no_impressions():
    config = Config(positives="user-user", ips=1.0, user_features=())
    with pytest.raises(InputError, match="ips is 1 with positives user-user"):
        check_positives(config)
    check_positives(dataclasses.replace(config, positives="item-item"))


def made_fold(users=300, each=6):
    """Users alike in taste; ten items, in two of which exposure alone differs."""
    draw = np.random.default_rng(0)
    exposure = np.array([1.0, 8.0] * 5)
    share = exposure * np.repeat([16.0, 8.0, 4.0, 2.0, 1.0], 2)
    item = draw.choice(10, size=(users, each + 1), p=share / share.sum())
    fitted = item[:, :each].ravel()
    n = len(fitted)
    events = Events(
        user=np.repeat(np.arange(users), each),
        item=fitted,
        rating=np.ones(n, np.float32),
        timestamp=np.arange(n),
        order=np.arange(n),
        offsets=np.arange(0, n + 1, each),
        users=Table(np.arange(users), {}),
        items=items_of(1000 * exposure),
    )
    people = np.arange(users)
    return check(Fold(events, people, item[:, each], people))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full-softmax", "in-batch+logq"])
def test_weights_take_exposure_out_of_what_a_model_learns(name):
    fold = made_fold()
    recipe = {"user_features": (), "item_features": ("id",), "dim": 8, "batch": 100}
    recipe |= {"user_hidden": (), "item_hidden": (), "epochs": 30, "history": 6}
    recipe |= {"learning_rate": 0.02, "temperature": 0.2}
    plain = dataclasses.replace(arm(name), **recipe)
    learned = []
    for config in (plain, dataclasses.replace(plain, ips=1.0)):
        model = train(config, fold)
        scores = (model.user_vectors @ model.item_vectors.T).mean(axis=0)
        logits = (scores / config.temperature).reshape(5, 2)
        learned.append(logits[:, 1] - logits[:, 0])  # alike but for exposure
    assert learned[0].mean() == pytest.approx(np.log(8), abs=0.6)
    assert abs(learned[1].mean()) < 0.6


def test_the_pairs_of_a_run_have_these_weights():
    fold = made_fold(users=20)
    config = Config(positives="user-item", ips=0.5)
    pairs = make_positives(config, fold.fitted).pairs
    expected = ips_weights(fold.fitted.items, pairs.candidate, 0.5)
    np.testing.assert_array_equal(pairs.weight, expected)
    plain = make_positives(dataclasses.replace(config, ips=0.0), fold.fitted).pairs
    assert (plain.weight == 1).all()
