"""The scale and the share of log q that held-out clicks give a model's scores."""

import numpy as np
import pytest

from research.calibration import (
    Calibration,
    calibrate,
    calibrate_first,
    in_first_places,
    most_hits,
)
from research.serving import Serving
from research.types import InputError

SCALE, SHARE = 0.4, 0.9
USERS, ITEMS = 4000, 60


def clicks_of(scale=SCALE, share=SHARE, seed=0, out=()):
    """Logits, log q, and a click of each user drawn from the model of the fit."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=2.0, size=(USERS, ITEMS))
    log_q = draw.normal(size=ITEMS)
    log_q[list(out)] += 5.0  # the most popular, which nobody can click
    keys = scale * logits + share * log_q + draw.gumbel(size=logits.shape)
    logits[:, list(out)] = keys[:, list(out)] = -np.inf
    return logits, log_q, np.arange(USERS), keys.argmax(axis=1)


@pytest.mark.parametrize("out", [(), (3, 5)])
def test_it_finds_what_the_clicks_were_drawn_by(out):
    found = calibrate(*clicks_of(out=out))
    assert found == pytest.approx((SCALE, SHARE), abs=0.05)


def test_an_item_that_is_left_out_counts_as_little_as_one_that_is_not_there():
    logits, log_q, user, item = clicks_of(out=(ITEMS - 1,))
    expected = calibrate(logits[:, :-1], log_q[:-1], user, item)
    assert calibrate(logits, log_q, user, item) == pytest.approx(expected)


def test_log_q_matters_only_where_an_item_is_listed():
    logits, log_q, user, item = clicks_of(out=(3,))
    never = np.where(np.arange(ITEMS) == 3, -np.inf, log_q)
    expected = calibrate(logits, log_q, user, item)
    assert calibrate(logits, never, user, item) == pytest.approx(expected)
    logits[:, 3] = 0.0
    with pytest.raises(InputError, match="log q must be finite for every item"):
        calibrate(logits, never, user, item)


def test_it_is_where_the_likelihood_is_highest():
    logits, log_q, user, item = clicks_of()
    found = calibrate(logits, log_q, user, item)

    def likelihood(scale, share):
        total = scale * logits + share * log_q
        norm = np.log(np.exp(total).sum(axis=1))
        return (total[user, item] - norm).mean()

    top = likelihood(*found)
    for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert likelihood(*(np.array(found) + step)) < top


def test_how_to_serve_follows_from_the_fit():
    assert Calibration(1.0, 1.0).by_impressions() == Serving(1.0, 1.0)
    assert Calibration(0.5, 1.0).by_impressions() == Serving(2.0, 2.0)
    for strength in (0.0, 0.4, 1.0):
        assert Calibration(1.0, 1.0).by_rule(strength).prior == pytest.approx(strength)
    # half as spread scores need twice the prior; with log q in the loss it is less
    assert Calibration(0.5, 1.0).by_rule(0.4) == Serving(pytest.approx(0.8))
    assert Calibration(0.5, 0.5).by_rule(0.4) == Serving(pytest.approx(-0.2))


@pytest.mark.parametrize("places", [10, ITEMS])
def test_among_the_first_places_it_finds_what_the_clicks_were_drawn_by(places):
    found = calibrate_first(*clicks_of(out=(3, 5)), places)
    assert found == pytest.approx((SCALE, SHARE), abs=0.08)


@pytest.mark.parametrize(("share", "mean"), [(0.5, 0.0), (1.5, 2.0)])
def test_items_far_from_the_first_places_do_not_count(share, mean):
    """Rare items that nobody clicks, though their scores and log q allow for it.

    With a mean of 2 they are far from them by their log q alone.
    """
    logits, log_q, user, item = clicks_of(scale=1.0, share=share)
    rare = np.random.default_rng(1).normal(mean, size=logits.shape)
    logits = np.hstack([logits, rare])
    log_q = np.concatenate([log_q, np.full(ITEMS, -3.0)])
    near = calibrate_first(logits, log_q, user, item, 12)
    assert near == pytest.approx((1.0, share), abs=0.08)
    assert calibrate(logits, log_q, user, item).share > share + 0.09


def test_a_fit_among_no_place_is_refused():
    with pytest.raises(InputError, match="places is 0: it must be 1 or more"):
        calibrate_first(*clicks_of(), 0)


NOBODY = np.array([], int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": NOBODY, "user": NOBODY}, "needs clicks"),
        ({"item": np.zeros(USERS, int)}, "not left out"),
        ({"scale": -0.4}, "rank clicked items lower"),
        ({"logit": np.nan}, "a logit is no number"),
        ({"logit": np.inf}, "a logit is no number"),
        ({"best": True}, "no finite scale"),
    ],
)
def test_refusals(change, message):
    logits, log_q, user, item = clicks_of(scale=change.get("scale", SCALE), out=(0,))
    if "logit" in change:
        logits[0, item[0] - 1] = change["logit"]
    if "best" in change:
        item = logits.argmax(axis=1)
    with pytest.raises(InputError, match=message):
        calibrate(logits, log_q, change.get("user", user), change.get("item", item))


def test_clicks_in_the_first_places_are_those_that_a_list_has():
    logits, log_q, user, item = clicks_of(out=(3,))
    priors, k = (-1.0, 0.0, 2.5), 7
    hits = in_first_places(logits, log_q, user[::-1], item[::-1], priors, k)
    assert hits.shape == (3, USERS)
    for found, prior in zip(hits[:, ::-1], priors, strict=True):
        lists = np.argsort(-(logits + prior * log_q), axis=1)[:, :k]
        np.testing.assert_array_equal(found, (lists == item[:, None]).any(axis=1))
        assert 0 < found.sum() < USERS
    assert len(set(hits.sum(axis=1).tolist())) == 3


def test_a_click_on_an_item_left_out_is_in_no_list():
    logits, log_q = np.array([[1.0, -np.inf, -np.inf]]), np.zeros(3)
    hits = in_first_places(logits, log_q, np.zeros(3, int), np.arange(3), [0.0], 2)
    assert hits.tolist() == [[True, False, False]]


def test_a_sweep_finds_what_clicks_were_drawn_by():
    """Where the scale is 1 the best prior is the share of log q."""
    logits, log_q, user, item = clicks_of(scale=1.0, share=1.5)
    priors = np.arange(0.0, 3.01, 0.25).tolist()
    hits = in_first_places(logits, log_q, user, item, priors, 5)
    assert most_hits(hits, priors) == pytest.approx(1.5, abs=0.25)
