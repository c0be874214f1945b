"""Log q and log impressions as two knobs: what each pair of strengths recovers."""

import numpy as np
import pytest

from experiments.studies.calibration import REMOVED, STRENGTHS
from experiments.studies.calibration.pairs import KINDS, drawn_exposure, judged
from experiments.studies.dial import best_items, recovered
from experiments.studies.learned_world import World, drawn_fold
from research.config import Config
from research.positives import log_share

GRID = STRENGTHS, REMOVED
PLAIN, CORRECTED = Config(), Config(logq=1.0)


def made_world(users=60, items=80):
    draw = np.random.default_rng(0)
    popularity = draw.normal(size=items)
    relevance = draw.normal(size=(users, items)) + popularity
    return World(relevance, popularity, np.full(users, 10))


def test_exposure_is_a_power_of_popularity_times_a_factor_of_each_item():
    world = made_world()
    assert np.ptp(drawn_exposure(world, KINDS["even"], 0)) == 0
    own = drawn_exposure(world, KINDS["independent"], 0)
    following = drawn_exposure(world, KINDS["with popularity"], 0)
    np.testing.assert_allclose(following - own, 0.5 * world.popularity)
    assert not np.allclose(own, drawn_exposure(world, KINDS["independent"], 1))


def test_each_pair_is_a_log_q_less_b_log_impressions():
    world, draw = made_world(), np.random.default_rng(1)
    shown = draw.normal(size=80)
    fold = drawn_fold(world, shown, 0)
    logits = draw.normal(size=(60, 80))
    log_q = log_share(fold.fitted.item_counts).astype(float)
    truth = best_items(logits + 1.5 * log_q - 0.75 * shown)
    found = judged(logits, PLAIN, shown, fold, truth, *GRID)
    best = STRENGTHS.index(1.5), REMOVED.index(0.75)
    assert found.recovered[best] == 1.0
    assert (found.recovered == 1.0).sum() == 1
    assert found.by_rule == recovered(logits + found.rule * log_q, truth)
    # what the loss has already isn't added again
    for config, learned in (
        (CORRECTED, log_q),
        (Config(ips=1.0), -shown),
        (Config(logq=0.5, ips=0.5), 0.5 * (log_q - shown)),
    ):
        inside = judged(logits + learned, config, shown, fold, truth, *GRID)
        np.testing.assert_allclose(inside.recovered, found.recovered, atol=1e-3)
        assert inside.by_rule == pytest.approx(found.by_rule, abs=1e-3)


def test_held_out_clicks_are_looked_for_among_the_others_and_weighted():
    world, draw = made_world(), np.random.default_rng(1)
    shown = draw.normal(size=80)
    fold = drawn_fold(world, shown, 0)
    logits = draw.normal(size=(60, 80))
    truth = best_items(logits)
    found = judged(logits, PLAIN, shown, fold, truth, *GRID)
    hits = np.zeros(60)
    for user, held in zip(fold.held_user, fold.held_item, strict=True):
        mine = set(fold.fitted.item[fold.fitted.user == user])
        rest = [item for item in range(80) if item not in mine]
        top = sorted(rest, key=lambda item: -logits[user, item])[:20]
        hits[user] = held in top
    weights = 1 / np.exp(shown[fold.held_item])
    assert found.clicked[0, 0] == pytest.approx(hits.mean())
    expected = (hits * weights).sum() / weights.sum()
    assert found.weighted[0, 0] == pytest.approx(expected)
    assert expected != pytest.approx(hits.mean(), abs=1e-3)


def test_the_first_users_alone_are_judged():
    world, draw = made_world(), np.random.default_rng(1)
    shown = draw.normal(size=80)
    fold = drawn_fold(world, shown, 0)
    logits, truth = draw.normal(size=(60, 80)), best_items(world.relevance)
    parts = [
        judged(logits[:users], PLAIN, shown, fold, truth[:users], *GRID).clicked
        for users in (59, 60)
    ]
    hits = 60 * parts[1] - 59 * parts[0]  # of the last user
    np.testing.assert_allclose(hits, hits.round(), atol=1e-9)
    assert set(hits.round().ravel()) <= {0.0, 1.0}
