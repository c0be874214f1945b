"""Lists without what a user has clicked: what is judged, and what is stated of it."""

from types import SimpleNamespace

import numpy as np
import pytest

import experiments.studies.without_clicked as study
from experiments.studies.calibration import without_clicked
from experiments.studies.semisynthetic import Clicks, drawn_fold
from experiments.studies.without_clicked import (
    LISTS,
    STRENGTHS,
    by_lists,
    heading,
    run_without_clicked,
    verdicts,
    without_clicked_frame,
)
from experiments.study import StudyOptions
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.records import Stored, load_stored, study_header
from tests.studies.reported import page_of
from tests.studies.test_impressions import made_world


def drawn(world, log_exposure):
    """Clicks on the world's items, and the logits of whoever knows how they came."""
    fold = drawn_fold(world, log_exposure, 0)
    log_q = log_share(fold.fitted.item_counts).astype(float)
    clicks = Clicks(fold, log_q, correction_strength(log_q, log_exposure))
    return clicks, world.relevance + log_exposure - log_q


def clicked(clicks, users):
    """Which items each of the first users has clicked in training."""
    return np.isneginf(without_clicked(np.zeros((users, 80)), clicks.fold))


def test_clicked_items_are_those_of_the_training_part_alone():
    clicks, _ = drawn(made_world(users=60), np.zeros(80))
    mine, fitted = clicked(clicks, 50), clicks.fold.fitted
    for user in range(50):
        own = fitted.item[fitted.offsets[user] : fitted.offsets[user + 1]]
        assert np.array_equal(np.flatnonzero(mine[user]), np.sort(own))
        assert not mine[user, clicks.fold.held_item[user]]


def test_scores_learned_by_heart_count_in_lists_of_all_items_alone():
    world = made_world(users=400)
    clicks, logits = drawn(world, np.zeros(80))
    plain = by_lists(logits, 0.0, clicks, world.relevance)
    known = np.where(clicked(clicks, 400), logits + 30.0, logits)
    found = by_lists(known, 0.0, clicks, world.relevance)
    for name in ("left_out", "left_out_rule", "left_out_calibrated", "calibrated"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-4)
    assert abs(found["all_rule"] - plain["all_rule"]) > 0.05


def test_who_knows_the_relevance_recovers_all_of_it_by_the_rule():
    world = made_world(users=1500)
    clicks, logits = drawn(world, np.zeros(80))
    found = by_lists(logits, 0.0, clicks, world.relevance)
    assert clicks.rule == 1.0
    for name in LISTS:
        assert found[f"{name}_rule"] > 0.999  # float32 may move a near tie
        assert STRENGTHS[found[name].argmax()] == pytest.approx(1.0)
    assert found["calibrated"] == pytest.approx(1.0, abs=0.2)
    # With log q in the loss the same logits are served without a prior.
    in_loss = by_lists(logits + clicks.log_q, 1.0, clicks, world.relevance)
    np.testing.assert_allclose(in_loss["left_out"], found["left_out"], atol=1e-3)
    assert in_loss["calibrated"] == pytest.approx(float(found["calibrated"]), abs=1e-3)


def test_items_without_a_click_are_in_no_list():
    world = made_world(users=400)
    log_exposure = np.where(np.arange(80) < 70, 0.0, -60.0)
    clicks, logits = drawn(world, log_exposure)
    new = clicks.fold.fitted.item_counts == 0
    assert new.sum() >= 10
    found = by_lists(logits, 0.0, clicks, np.where(new, 50.0, world.relevance))
    assert max(found[name].max() for name in LISTS) <= 1 - new.sum() / 20 + 1e-9


def test_clicks_that_fit_no_scale_lose_the_calibrated_number_alone():
    world = made_world(users=400)
    clicks, _ = drawn(world, np.zeros(80))
    found = by_lists(-world.relevance, 0.0, clicks, world.relevance)
    lost = {name for name, values in found.items() if np.isnan(values).any()}
    assert lost == {"calibrated", "scale", "all_calibrated", "left_out_calibrated"}


def made(**changes):
    """Records of two arms and exposures, three seeds.

    The best strength is 2 in lists of all items and 1.2 in the others, where the rule's
    is 1 and the calibrated one 1.3.
    """
    shape = 2, 2, 3

    def curves(best):
        away = np.abs(STRENGTHS - best)
        return np.broadcast_to(0.5 - 0.1 * away, (*shape, len(STRENGTHS)))

    values = {"rule": 1.0, "calibrated": 1.3, "scale": 0.7}
    values |= {"all_rule": 0.4, "all_calibrated": 0.43, "left_out_rule": 0.47}
    values |= {"left_out_calibrated": 0.49} | changes
    best = {
        name: values.pop(name, at) for name, at in zip(LISTS, (2, 1.2), strict=True)
    }
    arrays = {name: np.full(shape, value) for name, value in values.items()}
    arrays |= {name: curves(at) for name, at in best.items()}
    arrays |= {"gammas": np.array([0.0, 1.0]), "strengths": STRENGTHS}
    arms = ["in-batch", "in-batch+logq"]
    header = study_header("without-clicked", "ml-100k", False, arms=arms)
    return Stored(header, {}, arrays)


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, set()),
        ({"left_out": 1.9}, {0, 1}),
        ({"left_out": 0.0}, {0, 1}),  # as far, below it
        ({"calibrated": 1.6}, {1}),
        ({"left_out_calibrated": 0.475}, {2}),
        ({"left_out_rule": 0.495}, {3}),
    ],
)
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(made(**changes))
    assert len(rows) == 2 * 2 * 4
    found = {n for n, row in enumerate(rows) if row[2] == "fails"}
    assert found == {start + n for start in range(0, 16, 4) for n in fails}


def test_a_best_strength_at_the_end_of_those_tried_decides_nothing():
    stored = made()
    stored.arrays["left_out"] = stored.arrays["left_out"].copy()
    stored.arrays["left_out"][0, 0, 1] = np.linspace(0.1, 0.5, len(STRENGTHS))
    rows = verdicts(stored)
    for text, measured, verdict in rows[:3]:
        assert verdict == "undecided", text
        assert measured == "the best is the largest tried in 1 of 3 seeds"
    assert [row[2] for row in rows[3:]] == ["holds"] * 13


def test_the_heading_and_the_page_have_the_distances(tmp_path):
    assert heading(without_clicked_frame(made())) == (
        "Leaving out clicked items moves the best strength by -0.80 to -0.80.\n"
        "The calibrated rule then recovers at most 0.010 less than the best tried"
    )
    page = page_of(made(), tmp_path)
    assert "| in-batch | 0 | 1.00 [1.00, 1.00] | 1.30 [1.30, 1.30] | 2.00 [" in page


def test_a_quick_run_leaves_records_of_its_exposures(monkeypatch, tmp_path):
    world = made_world()
    noise = np.random.default_rng(0).normal(size=world.relevance.shape)
    logits = world.relevance + noise
    digest = SimpleNamespace(digest="")
    monkeypatch.setattr(study, "learned_world", lambda options: world)
    monkeypatch.setattr(study, "trained_logits", lambda config, fold: logits)
    monkeypatch.setattr("experiments.inputs.ratings_of", lambda name, data_dir: digest)
    options = StudyOptions(tmp_path, quick=True, seeds=2, arms=("in-batch",))
    path = run_without_clicked(options)
    stored = load_stored(path)
    assert stored.header["arms"] == ["in-batch"]
    assert stored.arrays["all"].shape == (1, 2, 2, len(STRENGTHS))
    assert stored.arrays["rule"].shape == (1, 2, 2)
    page_of(path, tmp_path)
