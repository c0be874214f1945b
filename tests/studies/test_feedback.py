"""Loops in which lists make the exposure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import feedback
from experiments.studies.exposure import CLICKS, TOP, best_items, recovered
from experiments.studies.feedback import (
    KINDS,
    POLICIES,
    STRENGTHS,
    Kind,
    Policy,
    Round,
    Trained,
    draw_shown,
    play,
    serve_round,
    train_round,
)
from experiments.studies.feedback.report import title_of
from experiments.studies.feedback.shown import shown_entry
from research.calibration import calibrate
from research.config import Config
from research.data.synthetic import make_synthetic, relevance
from research.negatives import SOURCES, entries_of
from research.types import Pairs

USERS, ITEMS = 30, 60


def small_world(exposure=0.5):
    return make_synthetic(USERS, ITEMS, 6, exposure=exposure, seed=3)


def test_clicks_are_drawn_by_relevance_among_what_is_shown():
    liking = np.log([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    shown = np.array([[1.0, 1.0, 0.0, 1.0], [0.2, 0.8, 0.8, 0.8]])
    clicks = draw_shown(liking, shown, each=20_000, seed=0)
    assert clicks.shape == (2, 20_000)
    for row, weight in zip(clicks, np.exp(liking) * shown, strict=True):
        share = np.bincount(row, minlength=4) / 20_000
        np.testing.assert_allclose(share, weight / weight.sum(), atol=0.015)
    assert not (clicks[0] == 2).any()
    again = draw_shown(liking, shown, each=20_000, seed=1)
    assert (again != clicks).any()


def test_a_model_knows_its_clicks_alone():
    world = small_world()
    shown = np.full((USERS, ITEMS), 1e-9)
    shown[:, :10] = 1.0
    clicks = draw_shown(relevance(world), shown, each=20, seed=0)
    model = train_round(world, clicks, shown, seed=0, epochs=1)
    logits, log_q, log_shown, rule, (users, items) = model
    assert logits.shape == (USERS, ITEMS)
    np.testing.assert_allclose(log_shown, np.log(shown[0]))
    assert (log_q[:10] > log_q[10:].max()).all()
    # Nearly all that popularity tells here is exposure.
    assert rule < 0.2
    # The last click of each user is held out.
    np.testing.assert_array_equal(users, np.arange(USERS))
    np.testing.assert_array_equal(items, clicks[:, -1])


def made_model(rule=0.3):
    """A model with made logits, log q and held-out clicks."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(USERS, ITEMS))
    log_q, log_shown = draw.normal(size=(2, ITEMS))
    held = np.stack([np.arange(USERS), logits.argsort(axis=1)[:, -3]])
    return Trained(logits, 2 * log_q, log_shown, rule, held)


CALIBRATED = [name for name in POLICIES if name.startswith("calibrated")]


def test_a_calibrated_policy_serves_with_the_prior_that_suits_its_scores():
    truth = best_items(relevance(small_world()))
    model = made_model()
    fit = calibrate(model.logits, model.log_q, *model.held)
    share, scale = fit.share / fit.scale, fit.scale
    by_rule = (fit.share - 1 + model.rule) / fit.scale
    expected = {
        "calibrated": share * model.log_q,
        "calibrated-rule": by_rule * model.log_q,
        "calibrated-rate": share * model.log_q - model.log_shown / scale,
    }
    assert [*expected] == CALIBRATED
    for policy, prior in expected.items():
        found, listed = serve_round(model, POLICIES[policy], truth)
        np.testing.assert_array_equal(listed, best_items(model.logits + prior))
        assert found.scale == pytest.approx(fit.scale)
        # Scores that say three times as much are served alike, others are not.
        louder = model._replace(logits=3 * model.logits)
        found, again = serve_round(louder, POLICIES[policy], truth)
        assert found.scale == pytest.approx(fit.scale / 3)
        np.testing.assert_array_equal(again, listed)
        plain = POLICIES[policy]._replace(calibrated=False)
        assert (serve_round(louder, plain, truth)[1] != listed).any()


def test_where_no_scale_fits_a_calibrated_policy_serves_as_the_plain_one():
    model, truth = made_model(), best_items(relevance(small_world()))
    lowest = np.stack([np.arange(USERS), model.logits.argmin(axis=1)])
    for policy in CALIBRATED:
        plain = POLICIES[policy]._replace(calibrated=False)
        served = [
            serve_round(model._replace(held=lowest), chosen, truth)
            for chosen in (POLICIES[policy], plain)
        ]
        assert np.isnan([found.scale for found, _ in served]).all()
        np.testing.assert_array_equal(served[0][1], served[1][1])


@pytest.mark.parametrize(
    "policy", [name for name in POLICIES if name not in CALIBRATED]
)
def test_a_policy_serves_with_its_strength(policy):
    model, truth = made_model(), best_items(relevance(small_world()))
    found, listed = serve_round(model, POLICIES[policy], truth)
    strength = model.rule if policy == "rule" else POLICIES[policy].strength
    scores = model.logits + strength * model.log_q
    if policy == "rate":
        scores = model.logits + np.log(np.exp(model.log_q) / np.exp(model.log_shown))
    np.testing.assert_array_equal(listed, best_items(scores))
    assert found.recovered == recovered(scores, truth)
    assert found.rule == model.rule
    places = np.sort(listed.sum(axis=0))[::-1]
    assert found.tenth == pytest.approx(places[: ITEMS // 10].sum() / (USERS * TOP))


def test_policies_have_the_first_clicks_and_their_own_negatives(monkeypatch):
    seen = []

    def made(world, clicks, shown, seed, epochs, *way):
        seen.append((way, clicks))
        return made_model()

    monkeypatch.setattr(feedback, "train_round", made)
    policies = [Policy(1.0), Policy(0.0, shown=True), Policy(0.5), Policy(1.0, ips=0.5)]
    play(small_world(), Kind(1.0), policies, seed=0, rounds=2, epochs=1)
    plain, drawn, weighted = (False, 0.0), (True, 0.0), (False, 0.5)
    first, later = [plain, weighted, drawn], [plain, drawn, plain, weighted]
    assert [way for way, _ in seen] == [*first, *later]
    for _, clicks in seen[1:3]:
        np.testing.assert_array_equal(seen[0][1], clicks)


def test_negatives_are_drawn_as_often_as_their_user_was_shown_them():
    shown = np.array([[0.0, 0.5, 0.5, 0.0], [0.1, 0.2, 0.3, 0.4]])
    entry = shown_entry(shown * [[1.0], [3.0]])  # of any total
    source = entry.make(50_000, Config())
    state = source.init(None, {})
    batch = Pairs(jnp.array([1, 0, 1]), *[jnp.zeros(3, jnp.int32)] * 2, jnp.ones(3))
    ids = np.asarray(source.draw(jax.random.key(0), batch, state, None).ids)
    for row, user in zip(ids, (1, 0, 1), strict=True):
        share = np.bincount(row, minlength=4) / len(row)
        np.testing.assert_allclose(share, shown[user], atol=0.01)
    assert (ids[0] != ids[2]).any()


def test_a_row_has_as_many_negatives_of_either_source(monkeypatch):
    number = {}

    def counted(config, fold):
        (source,) = entries_of(config.negatives, config)
        number[source.name] = source.draws or config.batch - 1
        raise StopIteration

    monkeypatch.setattr(feedback, "train", counted)
    shown = np.full((USERS, ITEMS), 1 / ITEMS)
    clicks = draw_shown(relevance(small_world()), shown, each=20, seed=0)
    for source in (False, True):
        with pytest.raises(StopIteration):
            train_round(small_world(), clicks, shown, 0, 1, from_shown=source)
    assert number["in-batch"] == number["shown"]
    assert "shown" not in SOURCES


@pytest.mark.slow
def test_negatives_that_were_shown_take_the_exposure_out_of_scores():
    """Half of the items are shown nine times as often, whatever they are worth."""
    world = small_world(exposure=0.0)
    often = np.arange(ITEMS) % 2 == 0
    shown = np.tile(np.where(often, 0.9, 0.1), (USERS, 1))
    shown /= shown.sum(axis=1, keepdims=True)
    clicks = draw_shown(relevance(world), shown, each=200, seed=0)
    clicked = np.bincount(clicks.ravel(), minlength=ITEMS)
    assert clicked[often].sum() > 5 * clicked[~often].sum()
    truth = relevance(world) - relevance(world).mean(axis=1, keepdims=True)
    advantage = {}
    for source in (False, True):
        model = train_round(world, clicks, shown, 0, 12, from_shown=source)
        scores = model.logits + (0.0 if source else 1.0) * model.log_q
        error = scores - scores.mean(axis=1, keepdims=True) - truth
        advantage[source] = error[:, often].mean() - error[:, ~often].mean()
    assert advantage[False] > 1.5  # log 9 = 2.2 in all
    assert abs(advantage[True]) < 0.5


def test_the_best_strength_is_that_which_recovers_most():
    model, truth = made_model(), best_items(relevance(small_world()))
    found, _ = serve_round(model, Policy(1.0), truth)
    shares = {s: recovered(model.logits + s * model.log_q, truth) for s in STRENGTHS}
    assert found.most == max(shares.values())
    assert shares[found.best] == found.most


def played(monkeypatch, kind, strengths, rounds):
    """The clicks and what was shown of each training, in the order of their making."""
    model, seen = made_model(), []

    def made(world, clicks, shown, seed, epochs, *way):
        assert way == (False, 0.0)
        seen.append((clicks, shown))
        return model

    monkeypatch.setattr(feedback, "train_round", made)
    policies = [Policy(strength) for strength in strengths]
    play(small_world(), kind, policies, seed=2, rounds=rounds, epochs=1)
    return model, seen


@pytest.mark.parametrize("random", [0.05, 0.5])
def test_lists_and_random_places_are_what_the_next_round_sees(random, monkeypatch):
    kind = Kind(1.0, random)
    model, seen = played(monkeypatch, kind, [0.0, 1.0], rounds=2)
    (first, start), *later = seen
    exposure = np.exp(small_world().exposure)
    expected = np.tile(exposure / exposure.sum(), (USERS, 1))
    np.testing.assert_allclose(start, expected)
    assert len(later) == 2  # the first round is common to the policies
    for policy, (clicks, shown) in zip((0.0, 1.0), later, strict=True):
        listed = best_items(model.logits + policy * model.log_q)
        np.testing.assert_allclose(shown.sum(axis=1), 1)
        np.testing.assert_allclose(shown[~listed], random / ITEMS)
        np.testing.assert_allclose(shown[listed], (1 - random) / TOP + random / ITEMS)
        assert clicks.shape == first.shape == (USERS, CLICKS + 1)
        assert (clicks != first).any()
        weight = np.exp(relevance(small_world())) * shown
        expected = ((weight * listed).sum(axis=1) / weight.sum(axis=1)).mean()
        clicked = listed[np.arange(USERS)[:, None], clicks].mean()
        assert clicked == pytest.approx(expected, abs=0.05)


def test_each_rounds_lists_are_what_the_one_after_sees(monkeypatch):
    draw, models, seen, seeds = np.random.default_rng(1), [], [], []

    def made(world, clicks, shown, seed, epochs, *way):
        seen.append(shown)
        seeds.append(seed)
        logits = draw.normal(size=(USERS, ITEMS))
        held = np.zeros((2, 1), int)
        models.append(Trained(logits, np.zeros(ITEMS), np.zeros(ITEMS), 0.0, held))
        return models[-1]

    monkeypatch.setattr(feedback, "train_round", made)
    play(small_world(), Kind(1.0), [Policy(0.0)], seed=0, rounds=4, epochs=1)
    for model, shown in zip(models[:-1], seen[1:], strict=True):
        np.testing.assert_array_equal(shown > 1 / ITEMS, best_items(model.logits))
    assert len(set(seeds)) == 4


def test_a_kind_is_what_its_name_says():
    for name, kind in KINDS.items():
        words = title_of(kind)
        random = name if "random" in name else "20 % random"
        assert f" {random}" in words
        assert ("all rounds" in words) == (name == "all rounds")
        assert words.startswith("even start") == (name == "even start")


def test_a_loop_of_all_rounds_trains_on_the_clicks_and_impressions_so_far(monkeypatch):
    _, own = played(monkeypatch, Kind(1.0), [1.0], rounds=3)
    _, every = played(monkeypatch, Kind(1.0, all_rounds=True), [1.0], rounds=3)
    for number, (clicks, shown) in enumerate(every, start=1):
        so_far = own[:number]
        expected = np.concatenate([clicks for clicks, _ in so_far], axis=1)
        np.testing.assert_array_equal(clicks, expected)
        mean = np.mean([shown for _, shown in so_far], axis=0)
        np.testing.assert_allclose(shown, mean)


@pytest.mark.parametrize("every", [False, True])
def test_each_field_of_a_round_is_a_share_or_a_strength(every):
    kind = Kind(0.5, all_rounds=every)
    names = ("rule", "never", "shown", "calibrated-rule")
    policies = [POLICIES[name] for name in names]
    loops = play(small_world(), kind, policies, seed=0, rounds=2, epochs=1)
    assert [len(loop) for loop in loops] == [2] * 4
    for found in (found for loop in loops for found in loop):
        assert isinstance(found, Round)
        assert 0 <= found.recovered <= found.most <= 1
        assert 0.1 <= found.tenth <= 1
