"""What serving adds to the scores, and the rule's prior: formulas, refusals."""

import numpy as np
import pytest

from research.config import Config
from research.exposure import IMPRESSIONS
from research.positives import log_share
from research.serving import AS_TRAINED, Serving, check_rule, rule_prior
from research.types import NUMBER, Column, InputError, Table

COUNTS = np.array([5, 3, 2])
LOG_Q = np.log([0.5, 0.3, 0.2])


def items_of(shown) -> Table:
    columns = {IMPRESSIONS: Column(NUMBER, np.asarray(shown, float))}
    return Table(np.arange(len(shown)), columns, np.array(["a", "b", "c"]))


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
