"""Calibrated ways to serve: what they recover, and what is stated of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from experiments.kit import Data
from experiments.studies import calibration
from experiments.studies.calibration import (
    AXES,
    BY_WEIGHTED,
    CALIBRATED_RATE,
    CALIBRATED_RULE,
    KINDS,
    PAIR,
    RATE,
    REMOVED,
    RULE,
    STRENGTH,
    STRENGTHS,
    Drawn,
    World,
    calibrated,
    drawn_exposure,
    drawn_fold,
    judged,
    learned_world,
    run_calibration,
    trained_logits,
    ways,
    without_unclicked,
)
from experiments.studies.dial import best_items, recovered
from experiments.study import StudyOptions
from research.config import Config
from research.report.records import Stored, load_stored, study_header
from tests.studies.made import page_of, write_tastes

PLAIN, CORRECTED = Config(), Config(logq=1.0)


def made_world(users=60, items=80):
    draw = np.random.default_rng(0)
    popularity = draw.normal(size=items)
    relevance = draw.normal(size=(users, items)) + popularity
    return World(relevance, popularity, np.full(users, 10))


def drawn_from(world, log_exposure=0.0, truth=None):
    """Clicks of a world, by which its most relevant items are to be found."""
    log_exposure = np.broadcast_to(log_exposure, world.popularity.shape)
    truth = best_items(world.relevance) if truth is None else truth
    return Drawn(drawn_fold(world, log_exposure, 0), log_exposure, truth)


def test_scores_that_are_too_spread_are_found_out():
    """Three times the true scores, noise beside: the truth comes back."""
    world = made_world(users=1500)
    log_exposure = drawn_exposure(world, KINDS["independent"], 0)
    drawn = drawn_from(world, log_exposure)
    for times in (1.0, 3.0):
        logits = times * (world.relevance + log_exposure - drawn.log_q)
        found = calibrated(logits, drawn)
        assert found["scale"] * times == pytest.approx(1.0, abs=0.1)
        assert found["share"] == pytest.approx(1.0, abs=0.15)
        assert found["calibrated_rate"] > 0.95
    plain = recovered(logits + drawn.log_q - log_exposure, drawn.truth)
    assert found["calibrated_rate"] > plain + 0.1


def test_scores_that_fit_no_scale_lose_no_other_cell():
    """A model of few clicks may rank clicked items below the others."""
    world = made_world(users=400)
    found = calibrated(-world.relevance, drawn_from(world))
    assert len(found) == 4
    assert np.isnan([*found.values()]).all()


def test_training_clicks_are_left_out_of_the_calibration():
    """A model that knows the training clicks by heart is not taken at its word."""
    world = made_world(users=400)
    drawn, logits = drawn_from(world), world.relevance.copy()
    found = calibrated(logits, drawn)
    logits[drawn.fold.fitted.user, drawn.fold.fitted.item] += 30.0
    known = calibrated(logits, drawn)
    for name in ("scale", "share"):
        assert known[name] == pytest.approx(found[name], rel=1e-6)


def test_without_unclicked_items_none_is_recovered_or_fitted():
    """A model that ranks items without a click first is then taken without them."""
    world = made_world(users=400)
    drawn = drawn_from(world, np.where(np.arange(80) < 70, 0.0, -60.0))
    new = drawn.fold.fitted.item_counts == 0
    assert 10 <= new.sum() < 60
    logits = world.relevance + np.where(new, 50.0, 0.0)
    drawn = drawn._replace(truth=np.broadcast_to(new, logits.shape))
    found = without_unclicked(logits, 1.0, drawn)
    for name in ("by_rule", "by_strength", "calibrated_rule", "calibrated_rate"):
        assert not np.any(found[f"clicked_{name}"])
    scores = world.relevance.copy(), np.where(new, -40.0, world.relevance)
    fits = [without_unclicked(one, 1.0, drawn) for one in scores]
    assert fits[0]["clicked_scale"] == pytest.approx(fits[1]["clicked_scale"], rel=1e-6)
    assert found["clicked_scale"] == pytest.approx(fits[0]["clicked_scale"], rel=1e-6)
    with_them = calibrated(logits, drawn)
    assert with_them["scale"] < 0.5 * found["clicked_scale"]


def test_a_quick_run_leaves_records_of_its_kinds(monkeypatch, tmp_path):
    world = made_world()
    noise = np.random.default_rng(0).normal(size=world.relevance.shape)
    logits = world.relevance + noise
    made = SimpleNamespace(digest="")
    monkeypatch.setattr(calibration, "learned_world", lambda options: world)
    monkeypatch.setattr(calibration, "trained_logits", lambda config, fold: logits)
    monkeypatch.setattr("experiments.loaded.ratings_of", lambda name, data_dir: made)
    path = run_calibration(StudyOptions(tmp_path, quick=True, seeds=2))
    stored = load_stored(path)
    assert stored.header["kinds"] == ["even", "independent"]
    grid = len(STRENGTHS), len(REMOVED)
    assert stored.arrays["recovered"].shape == (2, 2, 2, *grid)
    exposure = drawn_exposure(world, KINDS["independent"], 1)
    fold, truth = drawn_fold(world, exposure, 1), best_items(world.relevance)
    drawn = Drawn(fold, exposure, truth)
    assert stored.arrays["rule"][1, 1, 1] == pytest.approx(drawn.rule, rel=1e-6)
    for name, value in calibrated(logits, drawn).items():
        found = stored.arrays[name]
        assert found.shape == (2, 2, 2)
        assert found[1, 1, 1] == pytest.approx(value, abs=1e-3)


def made(best=(2.0, 2.0), rule=0.45, calibrated_=0.58, scale=0.5, share=1.0, seeds=3):
    """Records whose recovered share falls with the distance from a best pair."""
    kinds = ["even", "independent", "popularity"]
    a, b = np.meshgrid(STRENGTHS, REMOVED, indexing="ij")
    hill = 0.6 - 0.05 * np.abs(a - best[0]) - 0.05 * np.abs(b - best[1])
    shape = 1, len(kinds), seeds
    shares = np.broadcast_to(hill, (*shape, *a.shape)).copy()
    shares += 0.001 * np.arange(seeds)[:, None, None]
    arrays = {
        "recovered": shares,
        "clicked": shares,
        "weighted": shares,
        "by_rule": np.full(shape, rule),
        "rule": np.full(shape, 0.6),
        "scale": np.full(shape, scale),
        "share": np.full(shape, share),
        "calibrated_rule": np.full(shape, calibrated_ - 0.1),
        "calibrated_rate": np.full(shape, calibrated_),
        "strengths": np.array(STRENGTHS),
        "removed": np.array(REMOVED),
    }
    names = {"arms": ["in-batch"], "kinds": kinds}
    return Stored(study_header("calibration", "made", False, **names), {}, arrays)


def read(records):
    return Data.of(records, AXES)


def verdicts(records):
    return calibration.verdicts(read(records))


def pair(records, way, **place):
    """The pair a, b of the first seed."""
    found = ways(read(records)).at(served=way, **place, seed=0)
    return tuple(found[name].item() for name in ("a", "b"))


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (CALIBRATED_RULE, (1.2, 0.0)),
        (CALIBRATED_RATE, (2.0, 2.0)),
        (RATE, (1.0, 1.0)),
        (PAIR, (2.0, 2.0)),
    ],
)
def test_ways_to_serve_follow_from_scale_and_share(way, expected):
    place = {"arm": "in-batch", "kind": "independent"}
    assert pair(made(), way, **place) == pytest.approx(expected)
    if "calibrated" in way:  # with what the loss has already
        records = made(share=0.5)
        header = {**records.header, "arms": ["in-batch+logq"]}
        place["arm"] = "in-batch+logq"
        assert pair(records._replace(header=header), way, **place) == pytest.approx(
            expected
        )


def made_clicked(with_logq=0.5, best=0.51, without=0.5):
    """Records of two arms: what is recovered without unclicked items.

    Args:
      with_logq: by the calibrated rule with log q in the loss.
      best: by the best strength.
      without: by the calibrated rule without log q in the loss.
    """
    records = made()
    arrays = {
        name: np.concatenate([values, values]) if values.ndim > 1 else values
        for name, values in records.arrays.items()
    }
    shape = arrays["scale"].shape
    for name in ("scale", "share", "by_rule", "calibrated_rate"):
        arrays[f"clicked_{name}"] = np.full(shape, 0.4)
    rule = np.full(shape, without)
    rule[1] = with_logq
    arrays["clicked_calibrated_rule"] = rule
    curve = best - 0.01 * np.abs(np.array(STRENGTHS) - 1.0)
    arrays["clicked_by_strength"] = np.broadcast_to(curve, (*shape, len(curve)))
    header = {**records.header, "arms": ["in-batch", "in-batch+logq"]}
    return records._replace(header=header, arrays=arrays)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"holds"}),
        ({"best": 0.53}, {"holds", "fails"}),
        ({"without": 0.52}, {"holds", "fails"}),
        ({"best": 0.53, "without": 0.52}, {"fails"}),
    ],
)
def test_verdicts_without_unclicked_items_follow_the_records(
    changes, expected, tmp_path
):
    records = made_clicked(**changes)
    rows = [row for row in verdicts(records) if "clicked items" in row[0]]
    assert len(rows) == 2 * 3
    assert {row[2] for row in rows} == expected
    assert "| in-batch+logq | popularity | 0.40 | 0.40 | 0.400 " in page_of(
        records, tmp_path
    )


MORE_BY_RULE = f"'{CALIBRATED_RULE}' recovers more than '{RULE}'"
NEAR_STRENGTH = f"'{CALIBRATED_RULE}' recovers at most 0.02 less than '{STRENGTH}'"
MORE_BY_RATE = f"'{CALIBRATED_RATE}' recovers more than '{RATE}'"
NEAR_PAIR = f"'{CALIBRATED_RATE}' recovers at most 0.02 less than '{PAIR}'"
NEAR_CHOSEN = f"'{CALIBRATED_RATE}' recovers at most 0.01 less than '{BY_WEIGHTED}'"
NEAR_RULE = "the best strength is within 0.3 of the calibrated rule's"
NEARER = "the best strength is nearer to the calibrated rule's than to the rule's"
FACTOR = "b of the best pair is 1 / scale times 0.8 to 1.25"


@pytest.mark.parametrize(
    ("text", "changes", "verdict"),
    [
        ("scale below 1", {}, "holds"),
        ("scale below 1", {"scale": 1.1}, "fails"),
        (MORE_BY_RULE, {}, "holds"),
        (MORE_BY_RULE, {"rule": 0.5}, "fails"),
        (NEAR_STRENGTH, {}, "undecided"),
        (NEAR_STRENGTH, {"calibrated_": 0.63}, "holds"),
        (NEAR_STRENGTH, {"calibrated_": 0.5}, "fails"),
        (MORE_BY_RATE, {}, "holds"),
        (MORE_BY_RATE, {"calibrated_": 0.4}, "fails"),
        (NEAR_PAIR, {"calibrated_": 0.59}, "holds"),
        (NEAR_PAIR, {"calibrated_": 0.5}, "fails"),
        (NEAR_CHOSEN, {"calibrated_": 0.6}, "holds"),
        (NEAR_CHOSEN, {"calibrated_": 0.5}, "fails"),
        (NEAR_RULE, {}, "fails"),
        (NEAR_RULE, {"best": (1.25, 2.0)}, "holds"),
        (NEARER, {}, "holds"),
        (NEARER, {"best": (0.5, 2.0)}, "fails"),
        (FACTOR, {}, "holds"),
        (FACTOR, {"best": (2.0, 1.0)}, "fails"),
    ],
)
def test_verdicts_follow_the_records(text, changes, verdict):
    rows = verdicts(made(**changes))
    (found,) = [row[2] for row in rows if row[0] == f"in-batch, independent: {text}"]
    assert found == verdict


def test_what_is_not_expected_is_not_stated():
    texts = [row[0] for row in verdicts(made())]
    assert f"in-batch, popularity: {MORE_BY_RULE}" not in texts
    assert not any(FACTOR in text for text in texts if "independent" not in text)
    assert not any("0.6" in text for text in texts)
    records = made()
    there = records._replace(header={**records.header, "dataset": "electronic"})
    (row,) = [r for r in verdicts(there) if r[0] == "in-batch, even: scale below 0.6"]
    assert row[2] == "holds"


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = made()
    page = page_of(records, tmp_path)
    row = f"| in-batch | independent | 0.50 | 1.00 | {CALIBRATED_RATE} | 2.00 | 2.00 |"
    assert row in page


def test_exposure_is_a_power_of_popularity_times_a_factor_of_each_item():
    world = made_world()
    assert np.ptp(drawn_exposure(world, KINDS["even"], 0)) == 0
    own = drawn_exposure(world, KINDS["independent"], 0)
    following = drawn_exposure(world, KINDS["with popularity"], 0)
    np.testing.assert_allclose(following - own, 0.5 * world.popularity)
    assert not np.allclose(own, drawn_exposure(world, KINDS["independent"], 1))


@pytest.fixture
def random():
    """Logits that know nothing, and clicks of an exposure that knows nothing, too."""
    draw = np.random.default_rng(1)
    shown = draw.normal(size=80)
    return draw.normal(size=(60, 80)), drawn_from(made_world(), shown)


def test_each_pair_is_a_log_q_less_b_log_impressions(random):
    logits, drawn = random
    log_q, shown = drawn.log_q, drawn.log_exposure
    drawn = drawn._replace(truth=best_items(logits + 1.5 * log_q - 0.75 * shown))
    found = judged(logits, PLAIN, drawn)
    best = STRENGTHS.index(1.5), REMOVED.index(0.75)
    assert found["recovered"][best] == 1.0
    assert (found["recovered"] == 1.0).sum() == 1
    assert found["by_rule"] == recovered(logits + found["rule"] * log_q, drawn.truth)
    # what the loss has already isn't added again
    for config, learned in (
        (CORRECTED, log_q),
        (Config(ips=1.0), -shown),
        (Config(logq=0.5, ips=0.5), 0.5 * (log_q - shown)),
    ):
        inside = judged(logits + learned, config, drawn)
        np.testing.assert_allclose(inside["recovered"], found["recovered"], atol=1e-3)
        assert inside["by_rule"] == pytest.approx(found["by_rule"], abs=1e-3)


def test_held_out_clicks_are_looked_for_among_the_others_and_weighted(random):
    logits, drawn = random
    fold, found = drawn.fold, judged(logits, PLAIN, drawn)
    hits = np.zeros(60)
    for user, held in zip(fold.held_user, fold.held_item, strict=True):
        mine = set(fold.fitted.item[fold.fitted.user == user])
        rest = [item for item in range(80) if item not in mine]
        top = sorted(rest, key=lambda item: -logits[user, item])[:20]
        hits[user] = held in top
    weights = 1 / np.exp(drawn.log_exposure[fold.held_item])
    assert found["clicked"][0, 0] == pytest.approx(hits.mean())
    expected = (hits * weights).sum() / weights.sum()
    assert found["weighted"][0, 0] == pytest.approx(expected)
    assert expected != pytest.approx(hits.mean(), abs=1e-3)


def test_the_first_users_alone_are_judged(random):
    logits, drawn = random
    parts = [
        judged(logits[:n], PLAIN, drawn._replace(truth=drawn.truth[:n]))["clicked"]
        for n in (59, 60)
    ]
    hits = 60 * parts[1] - 59 * parts[0]  # of the last user
    np.testing.assert_allclose(hits, hits.round(), atol=1e-9)
    assert set(hits.round().ravel()) <= {0.0, 1.0}


def test_the_relevance_is_the_trained_models_logits_of_the_users_that_are_judged(
    tmp_path, monkeypatch
):
    draw, seen = np.random.default_rng(0), []

    def trained(config, fold):
        seen.append((config, fold))
        users, items = (draw.normal(size=(n, 3)) for n in (len(fold.evaluated), 160))
        return SimpleNamespace(user_vectors=users, item_vectors=items, temperature=0.5)

    monkeypatch.setattr(calibration, "train", trained)
    made_set = str(write_tastes(tmp_path / "made"))
    world = learned_world(StudyOptions(tmp_path, dataset=made_set))
    ((config, fold),) = seen
    assert config.split == "given"  # what the data says is test isn't learned from
    assert len(fold.evaluated) < fold.fitted.n_users
    clicks = np.bincount(fold.fitted.user, minlength=fold.fitted.n_users)
    assert (world.clicks == clicks[fold.evaluated]).all()
    there = fold.fitted.item_counts > 0
    share = fold.fitted.item_counts[there] / clicks.sum()
    np.testing.assert_allclose(np.exp(world.popularity[there]), share, rtol=1e-5)
    draw = np.random.default_rng(0)
    users, items = (draw.normal(size=(n, 3)) for n in (len(world.clicks), 160))
    np.testing.assert_allclose(world.relevance, 2 * users @ items.T)
    draw = np.random.default_rng(0)
    np.testing.assert_allclose(trained_logits(config, fold), world.relevance)


def test_clicks_are_drawn_without_replacement_by_relevance_times_exposure():
    weights = np.array([4.0, 3.0, 2.0, 1.0])
    users = 4000
    relevance = np.log(np.broadcast_to(weights, (users, 4)))
    world = World(relevance, np.zeros(4), np.full(users, 2))
    fold = drawn_fold(world, np.log(np.array([1.0, 1.0, 1.0, 4.0])), seed=0)
    clicks = fold.fitted.item.reshape(users, 2)
    assert (clicks[:, 0] != clicks[:, 1]).all()
    assert (fold.held_item[:, None] != clicks).all()
    first = np.bincount(clicks[:, 0], minlength=4)
    share = weights * [1, 1, 1, 4]
    assert stats.chisquare(first, share / share.sum() * users).pvalue > 0.01
    assert stats.chisquare(first, weights / weights.sum() * users).pvalue < 1e-6


def test_a_user_of_all_items_keeps_one_for_the_held_out_click():
    world = World(np.zeros((2, 3)), np.zeros(3), np.array([3, 1]))
    fold = drawn_fold(world, np.zeros(3), seed=1)
    assert np.diff(fold.fitted.offsets).tolist() == [2, 1]
