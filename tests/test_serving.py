"""Impressions: in serving, in the rule's prior, and as weights in training."""

import dataclasses

import numpy as np
import pytest

from experiments.arms import arm
from research.config import Config
from research.exposure import IMPRESSIONS, ips_weights
from research.positives import check_positives, log_share, make_positives
from research.serving import AS_TRAINED, Serving, check_rule, rule_prior
from research.train.loop import train
from research.types import NUMBER, Column, Events, Fold, InputError, Table, check

COUNTS = np.array([5, 3, 2])
LOG_Q = np.log([0.5, 0.3, 0.2])


def items_of(shown) -> Table:
    columns = {IMPRESSIONS: Column(NUMBER, np.asarray(shown, float))}
    return Table(
        np.arange(len(shown)), columns, np.array([*"abcdefghij"[: len(shown)]])
    )


def test_the_rules_prior_is_what_the_loss_left_out():
    log_q = np.log([0.5, 0.3, 0.2])
    even, half = items_of([7, 7, 7]), items_of(np.exp(0.5 * log_q) * 1000)
    assert rule_prior(log_q, even, 0.0) == pytest.approx(1.0)
    assert rule_prior(log_q, even, 1.0) == pytest.approx(0.0)
    assert rule_prior(log_q, half, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        (Table(np.arange(3), {}), "needs a column impressions"),
        (items_of([3, 0, 0]), r"item b has 0 impressions.*\(2 have none\)"),
        (items_of([3, 1, np.nan]), "item c has nan impressions"),
    ],
)
def test_the_rule_needs_an_exposure_of_every_item(items, line):
    with pytest.raises(InputError, match=line):
        rule_prior(np.log([0.5, 0.3, 0.2]), items, 0.0)


def test_a_model_may_be_served_by_clicks_per_impression():
    shown = np.array([99.0, 19.0, 0.0])
    bias = Serving(1.0, 1.0).bias(COUNTS, items_of(shown))
    np.testing.assert_allclose(np.exp(bias), [0.005, 0.015, 0.2], rtol=1e-6)
    half = Serving(-0.5, 0.25).bias(COUNTS, items_of(shown))
    expected = -0.5 * LOG_Q - 0.25 * np.log(shown + 1)
    np.testing.assert_allclose(half, expected, rtol=1e-6)


def test_without_exposure_no_impressions_are_needed():
    none = Table(np.arange(3), {})
    bias = Serving(0.5).bias(COUNTS, none)
    np.testing.assert_allclose(bias, 0.5 * LOG_Q, rtol=1e-6)
    Serving(0.5).check(COUNTS, none)
    assert not AS_TRAINED.bias(COUNTS, none).any()


def test_items_with_too_few_clicks_are_left_out():
    none, counts = Table(np.arange(4), {}), np.array([6, 0, 1, 3])
    for fewest, listed in ((0, [1, 1, 1, 1]), (1, [1, 0, 1, 1]), (2, [1, 0, 0, 1])):
        for prior in (0.0, -1.0):
            bias = Serving(prior, min_clicks=fewest).bias(counts, none)
            assert (bias > -np.inf).tolist() == [bool(n) for n in listed]
            kept = bias[bias > -np.inf]
            same = Serving(prior).bias(counts, none)[bias > -np.inf]
            np.testing.assert_array_equal(kept, same)


def test_a_prior_beyond_all_scores_is_refused():
    with pytest.raises(InputError, match=r"prior is 3e\+38: too large"):
        Serving(3e38).bias(COUNTS, Table(np.arange(3), {}))
    shown = items_of([100, 100, 100])
    for exposure in (3e38, -3e38):
        with pytest.raises(InputError, match=r"exposure is -?3e\+38: too large"):
            Serving(exposure=exposure).bias(COUNTS, shown)
    never = np.append(COUNTS, 0)  # log q of an item without clicks is the lowest
    least = float(np.finfo(np.float32).max / abs(log_share(never)).max())
    with pytest.raises(InputError, match=r"prior is .*: too large"):
        Serving(1.01 * least).bias(never, Table(np.arange(4), {}))
    assert np.isfinite(Serving(0.99 * least).bias(never, Table(np.arange(4), {}))).all()


def test_lists_must_have_items_left():
    none = Table(np.arange(3), {})
    Serving(min_clicks=3).check(COUNTS, none, fewest=2)
    with pytest.raises(InputError, match=r"min_clicks is 4: 1 items .* lists need 2"):
        Serving(min_clicks=4).check(COUNTS, none, fewest=2)
    with pytest.raises(InputError, match="min_clicks is 6: 0 items"):
        Serving(min_clicks=6).check(COUNTS, none)


@pytest.mark.parametrize(
    ("items", "line"),
    [
        (Table(np.arange(3), {}), "exposure needs a column impressions"),
        (items_of([3, 0, np.nan]), r"item c has nan impressions.*\(1 have none\)"),
        (items_of([3, -1, 1]), "item b has -1 impressions"),
        (items_of([3, np.inf, 1]), "item b has inf impressions"),
    ],
)
def test_exposure_needs_a_number_of_every_item(items, line):
    for act in (Serving(0.0, 1.0).check, Serving(0.0, 1.0).bias):
        with pytest.raises(InputError, match=line):
            act(COUNTS, items)


def test_a_serving_is_read_from_a_config_and_put_into_one():
    config = Config(prior=0.5, exposure=2.0, min_clicks=3)
    assert Serving.of(config) == (0.5, 2.0, 3)
    assert AS_TRAINED.put_into(config) == Config()
    assert Serving(0.5, 2.0, 3).put_into(Config()) == config


def test_the_rule_and_exposure_are_not_asked_for_together():
    check_rule(exposure=0.0, ips=0.0)
    with pytest.raises(InputError, match=r"exposure is 0.5 with prior rule"):
        check_rule(exposure=0.5, ips=0.0)
    with pytest.raises(InputError, match=r"ips is 1 with prior rule"):
        check_rule(exposure=0.0, ips=1.0)


CANDIDATE = np.array([0, 2, 2, 1])


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
