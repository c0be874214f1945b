"""Learned tastes: clicks drawn anew by them, and verdicts that follow the records."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from experiments.studies import semisynthetic
from experiments.studies.exposure import best_items, recovered
from experiments.studies.semisynthetic import (
    STRENGTHS,
    World,
    drawn_clicks,
    drawn_fold,
    every_way,
    learned_world,
    run_semisynthetic,
    trained_logits,
)
from experiments.studies.semisynthetic.report import (
    semi_figure,
    semi_frame,
    verdicts,
)
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored, study_header
from tests.studies.reported import page_of
from tests.studies.tastes import write_tastes


def test_the_relevance_is_the_trained_models_logits_of_the_users_that_are_judged(
    tmp_path, monkeypatch
):
    draw, seen = np.random.default_rng(0), []

    def trained(config, fold):
        seen.append((config, fold))
        users, items = (draw.normal(size=(n, 3)) for n in (len(fold.evaluated), 160))
        return SimpleNamespace(user_vectors=users, item_vectors=items, temperature=0.5)

    monkeypatch.setattr(semisynthetic, "train", trained)
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


def stored(best, rule=0.5):
    strengths = np.array(STRENGTHS)
    curve = 0.6 - 0.2 * np.abs(np.append(strengths, rule) - best)
    noise = np.array([-1e-4, 0.0, 1e-4])[:, None]
    arrays = {
        "recovered": curve + np.zeros((2, 2, 1, 1)) + noise,
        "others": np.full((2, 2, 3), 0.4),
        "rule": np.full((2, 3), rule),
        "gammas": np.array([0.0, 1.0], np.float32),
        "strengths": strengths,
    }
    names = {"arms": ["in-batch", "in-batch+logq"], "others": ["mixed", "mixed+logq"]}
    return Stored(study_header("semisynthetic", "made", False, **names), {}, arrays)


def test_verdicts_follow_the_records():
    for best, verdict in ((0.6, "holds"), (1.0, "fails")):
        records = stored(best)
        found = verdicts(semi_frame(records), records)
        assert len(found) == 8
        assert {row[2] for row in found} == {verdict}


def with_clicked(records, gains=(0.001, 0.15), behind=0.01):
    """Lists without unclicked items: what the rule gains by arm, and lags behind."""
    every = records.arrays["recovered"]
    every[1] -= gains[1] - gains[0] + behind
    added = np.array(gains)[:, None, None, None]
    records.arrays["clicked_recovered"] = every + added
    return records


OTHERS_OUT = "leaving out items without a click "


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, set()),
        ({"gains": (0.05, 0.15)},
         {f"{OTHERS_OUT}changes what the rule recovers by at most 0.005"}),
        ({"gains": (0.001, 0.05)}, {f"{OTHERS_OUT}adds at least 0.1 to it"}),
        ({"behind": 0.05},
         {"the rule then recovers at most 0.02 less than without log q in the loss"}),
    ],
)  # fmt: skip
def test_verdicts_on_lists_without_unclicked_items_follow_the_records(changes, fails):
    records = with_clicked(stored(0.6), **changes)
    rows = verdicts(semi_frame(records), records)[8:]
    assert len(rows) == 2 * 2 + 1  # gamma 0 and 1; what is added at 1 alone
    found = {text.split(": ")[1] for text, _, verdict in rows if verdict == "fails"}
    assert found == fails
    assert all(verdict != "undecided" for *_, verdict in rows)


def test_lists_without_unclicked_items_recover_none_of_them():
    relevance = np.where(np.arange(60) < 50, 0.0, -99.0) + np.zeros((100, 1))
    clicks = drawn_clicks(World(relevance, np.zeros(60), np.full(100, 2)), 0.0, 0)
    new = clicks.fold.fitted.item_counts == 0
    assert 10 <= new.sum() <= 40
    truth = np.broadcast_to(new, (100, 60))
    logits = np.where(new, 5.0, 0.0) + np.zeros((100, 1))
    found = every_way(logits, 1.0, clicks, np.zeros(60), truth)
    assert (found["clicked_recovered"] == 0).all()
    assert found["clicked_rate"] == 0
    assert (found["recovered"] > 0).any()


def test_clicks_per_impression_are_the_log_of_clicks_less_that_of_exposure(
    monkeypatch, tmp_path
):
    draw = np.random.default_rng(0)
    world = World(draw.normal(size=(50, 60)), draw.normal(size=60), np.full(50, 20))
    logits = draw.normal(size=(50, 60))
    made = SimpleNamespace(digest="")
    monkeypatch.setattr(semisynthetic, "learned_world", lambda options: world)
    monkeypatch.setattr(semisynthetic, "trained_logits", lambda config, fold: logits)
    monkeypatch.setattr("experiments.inputs.ratings_of", lambda name, data_dir: made)
    path = run_semisynthetic(StudyOptions(tmp_path, quick=True))
    arrays = load_stored(path).arrays
    truth = best_items(world.relevance)
    for g, gamma in enumerate(arrays["gammas"]):
        log_q = drawn_clicks(world, float(gamma), 0).log_q
        rate = np.log(np.exp(log_q) / np.exp(gamma * world.popularity))
        # what is in the loss already isn't added again
        for a, added in enumerate((rate, rate - log_q)):
            expected = recovered(logits + added, truth)
            assert arrays["rate"][a, g, 0] == pytest.approx(expected, abs=1e-6)
            assert arrays["clicked_rate"][a, g, 0] > 0


@pytest.mark.parametrize(
    ("gamma", "rate", "verdict"),
    [
        (1.0, 0.49, ["holds", "holds"]),  # the rule has 0.50, always 0.51
        (1.0, 0.515, ["holds", "fails"]),
        (-1.0, 0.515, ["holds", "holds"]),
        (-1.0, 0.45, ["fails", "fails"]),
        (0.0, 0.45, ["fails"]),
    ],
)
def test_clicks_per_impression_are_compared_with_the_rule_and_with_always(
    gamma, rate, verdict
):
    records = stored(1.25, rule=0.75)
    curve = np.append(np.where(np.isclose(STRENGTHS, 1.0), 0.51, 0.2), 0.50)
    records.arrays["recovered"] = np.ones((2, 2, 3, 1)) * curve
    records.arrays["gammas"] = np.array([gamma, 2.0], np.float32)
    records.arrays["rate"] = np.full((2, 2, 3), rate)
    rows = verdicts(semi_frame(records), records)
    start = f"gamma {gamma:g}, in-batch: rate"
    assert [row[2] for row in rows if row[0].startswith(start)] == verdict


@pytest.mark.parametrize("change", [lambda records: records, with_clicked])
def test_the_report_is_made_from_the_file_of_records_alone(change, tmp_path):
    records = change(stored(0.5))
    assert "| mixed+logq | 0.400 |" in page_of(records, tmp_path)
    panel = semi_figure(semi_frame(records), records).figure.axes[0]
    lines = [line for line in panel.lines if len(line.get_xdata()) > 1]
    assert len(lines) == 2 * (1 + (change is with_clicked))  # gammas, kinds of lists
    for line in lines:
        assert line.get_xdata().tolist() == list(STRENGTHS)
