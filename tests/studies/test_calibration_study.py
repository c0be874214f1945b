"""Calibrated ways to serve: what they recover, and what is stated of it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.studies import calibration
from experiments.studies.calibration import (
    KINDS,
    REMOVED,
    STRENGTHS,
    calibrated,
    run_calibration,
    without_unclicked,
)
from experiments.studies.calibration.pairs import drawn_exposure
from experiments.studies.calibration.report import (
    BY_WEIGHTED,
    CALIBRATED_RATE,
    CALIBRATED_RULE,
    PAIR,
    RATE,
    RULE,
    STRENGTH,
    all_ways,
    calibration_frame,
    heading,
    verdicts,
)
from experiments.studies.dial import best_items, recovered
from experiments.studies.learned_world import drawn_fold
from experiments.study import StudyOptions
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.records import Stored, load_stored, study_header
from tests.studies.reported import page_of
from tests.studies.test_pairs import made_world


def test_scores_that_are_too_spread_are_found_out():
    """Three times the true scores, noise beside: the truth comes back."""
    world = made_world(users=1500)
    log_exposure = drawn_exposure(world, KINDS["independent"], 0)
    fold = drawn_fold(world, log_exposure, 0)
    log_q = log_share(fold.fitted.item_counts).astype(float)
    truth = best_items(world.relevance)
    rule = correction_strength(log_q, log_exposure)
    for times in (1.0, 3.0):
        logits = times * (world.relevance + log_exposure - log_q)
        found = calibrated(logits, log_exposure, rule, fold, truth)
        assert found.scale * times == pytest.approx(1.0, abs=0.1)
        assert found.share == pytest.approx(1.0, abs=0.15)
        assert found.calibrated_rate > 0.95
    plain = recovered(logits + log_q - log_exposure, truth)
    assert found.calibrated_rate > plain + 0.1


def test_scores_that_fit_no_scale_lose_no_other_cell():
    """A model of few clicks may rank clicked items below the others."""
    world = made_world(users=400)
    fold, truth = drawn_fold(world, np.zeros(80), 0), best_items(world.relevance)
    found = calibrated(-world.relevance, np.zeros(80), 1.0, fold, truth)
    assert np.isnan(found).all()


def test_training_clicks_are_left_out_of_the_calibration():
    """A model that knows the training clicks by heart is not taken at its word."""
    world = made_world(users=400)
    fold = drawn_fold(world, np.zeros(80), 0)
    truth, logits = best_items(world.relevance), world.relevance.copy()
    found = calibrated(logits, np.zeros(80), 1.0, fold, truth)
    logits[fold.fitted.user, fold.fitted.item] += 30.0
    known = calibrated(logits, np.zeros(80), 1.0, fold, truth)
    assert known[:2] == pytest.approx(found[:2], rel=1e-6)


def test_without_unclicked_items_none_is_recovered_or_fitted():
    """A model that ranks items without a click first is then taken without them."""
    world = made_world(users=400)
    log_exposure = np.where(np.arange(80) < 70, 0.0, -60.0)
    fold = drawn_fold(world, log_exposure, 0)
    new = fold.fitted.item_counts == 0
    assert 10 <= new.sum() < 60
    logits = world.relevance + np.where(new, 50.0, 0.0)
    truth = np.broadcast_to(new, logits.shape)
    found = without_unclicked(logits, 1.0, log_exposure, 1.0, fold, truth)
    for name in ("by_rule", "by_strength", "calibrated_rule", "calibrated_rate"):
        assert (found[f"clicked_{name}"] == 0).all()
    scores = world.relevance.copy(), np.where(new, -40.0, world.relevance)
    fits = [
        without_unclicked(one, 1.0, log_exposure, 1.0, fold, truth) for one in scores
    ]
    assert fits[0]["clicked_scale"] == pytest.approx(fits[1]["clicked_scale"], rel=1e-6)
    assert found["clicked_scale"] == pytest.approx(fits[0]["clicked_scale"], rel=1e-6)
    with_them = calibrated(logits, log_exposure, 1.0, fold, truth)
    assert with_them.scale < 0.5 * found["clicked_scale"]


def test_a_quick_run_leaves_records_of_its_kinds(monkeypatch, tmp_path):
    world = made_world()
    noise = np.random.default_rng(0).normal(size=world.relevance.shape)
    logits = world.relevance + noise
    made = SimpleNamespace(digest="")
    monkeypatch.setattr(calibration, "learned_world", lambda options: world)
    monkeypatch.setattr(calibration, "trained_logits", lambda config, fold: logits)
    monkeypatch.setattr("experiments.inputs.ratings_of", lambda name, data_dir: made)
    path = run_calibration(StudyOptions(tmp_path, quick=True, seeds=2))
    stored = load_stored(path)
    assert stored.header["kinds"] == ["even", "independent"]
    grid = len(STRENGTHS), len(REMOVED)
    assert stored.arrays["recovered"].shape == (2, 2, 2, *grid)
    exposure = drawn_exposure(world, KINDS["independent"], 1)
    fold, truth = drawn_fold(world, exposure, 1), best_items(world.relevance)
    rule = float(stored.arrays["rule"][1, 1, 1])
    one = calibrated(logits, exposure, rule, fold, truth)
    for name in one._fields:
        found = stored.arrays[name]
        assert found.shape == (2, 2, 2)
        assert found[1, 1, 1] == pytest.approx(getattr(one, name), abs=1e-3)


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


def test_ways_to_serve_follow_from_scale_and_share():
    found = all_ways(made())["in-batch", "independent"]
    pairs = {way: (served.a[0], served.b[0]) for way, served in found.items()}
    assert pairs[CALIBRATED_RULE] == pytest.approx((1.2, 0.0))
    assert pairs[CALIBRATED_RATE] == pytest.approx((2.0, 2.0))
    assert pairs[RATE] == (1.0, 1.0)
    assert pairs[PAIR] == (2.0, 2.0)
    records = made(share=0.5)
    header = {**records.header, "arms": ["in-batch+logq"]}
    corrected = all_ways(records._replace(header=header))["in-batch+logq", "even"]
    assert corrected[CALIBRATED_RATE].a[0] == pytest.approx(2.0)
    assert corrected[CALIBRATED_RULE].a[0] == pytest.approx(1.2)


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


def test_the_heading_counts_what_is_clear():
    def counts(**changes):
        words = heading(made(**changes), "in-batch").replace(")", " ").split()
        return [int(word) for word in words if word.isdigit()]

    assert counts() == [3, 3, 3]
    assert counts(rule=0.6) == [0, 3, 3]
    assert counts(calibrated_=0.65) == [3, 3, 3]
    assert counts(calibrated_=0.4) == [0, 3, 0]


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = made()
    page = page_of(records, tmp_path)
    row = f"| in-batch | independent | 0.50 | 1.00 | {CALIBRATED_RATE} | 2.00 | 2.00 |"
    assert row in page
    assert len(calibration_frame(records)) == 3 * 7
    assert Path(tmp_path / "figures" / "made" / "calibration-ways.png").is_file()
