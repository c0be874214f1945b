"""Loops in which lists make the exposure, and verdicts that follow the records."""

import numpy as np
import pytest

from experiments.studies import feedback
from experiments.studies.exposure import TOP, best_items, recovered
from experiments.studies.feedback import (
    POLICIES,
    RANDOM,
    STARTS,
    STRENGTHS,
    Round,
    draw_shown,
    feedback_frame,
    heading,
    play,
    play_round,
    report_feedback,
    verdicts,
)
from research.data.synthetic import make_synthetic, relevance
from research.report.records import Stored, save_stored, study_header

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


def test_a_round_trains_on_its_clicks_alone():
    world = small_world()
    shown = np.full((USERS, ITEMS), 1e-9)
    shown[:, :10] = 1.0
    logits, log_q, rule = play_round(world, shown, seed=0, epochs=1)
    assert logits.shape == (USERS, ITEMS)
    assert (log_q[:10] > log_q[10:].max()).all()
    # Nearly all that popularity tells here is exposure.
    assert rule < 0.2


def made_rounds(monkeypatch, rule=0.3):
    """Rounds with fixed logits and log q; returns them and what each was shown."""
    draw, seen = np.random.default_rng(0), []
    logits, log_q = draw.normal(size=(USERS, ITEMS)), 2 * draw.normal(size=ITEMS)

    def fixed(world, shown, seed, epochs):
        seen.append((shown, seed))
        return logits, log_q, rule

    monkeypatch.setattr(feedback, "play_round", fixed)
    return logits, log_q, seen


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_serves_with_its_strength_and_its_lists_are_seen_next(
    policy, monkeypatch
):
    world, rule = small_world(), 0.3
    logits, log_q, seen = made_rounds(monkeypatch, rule)
    first, second = play(world, POLICIES[policy], seed=2, rounds=2, epochs=1)
    strength = rule if policy == "rule" else POLICIES[policy]
    truth = best_items(relevance(world))
    scores = logits + strength * log_q
    assert first.recovered == second.recovered == recovered(scores, truth)
    (start, seed), (after, another) = seen
    np.testing.assert_allclose(start, np.tile(np.exp(world.exposure), (USERS, 1)))
    assert seed != another
    listed = best_items(scores)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    np.testing.assert_allclose(after[~listed], RANDOM / ITEMS)
    np.testing.assert_allclose(after[listed], (1 - RANDOM) / TOP + RANDOM / ITEMS)
    places = np.sort(listed.sum(axis=0))[::-1]
    assert first.tenth == pytest.approx(places[: ITEMS // 10].sum() / (USERS * TOP))


def test_the_best_strength_is_that_which_recovers_most(monkeypatch):
    world = small_world()
    logits, log_q, _ = made_rounds(monkeypatch)
    (only,) = play(world, 1.0, seed=0, rounds=1, epochs=1)
    truth = best_items(relevance(world))
    shares = {s: recovered(logits + s * log_q, truth) for s in STRENGTHS}
    assert only.most == max(shares.values())
    assert shares[only.best] == only.most


def stored(**changed):
    """Records in which the full correction is ahead; changed: [policy] by field."""
    fields = {
        "recovered": [0.3, 0.4, 0.6, 0.5],
        "most": [0.7] * 4,
        "best": [1.0] * 4,
        "rule": [0.4] * 4,
        "tenth": [0.2, 0.3, 0.5, 0.4],
    }
    seeds = np.linspace(-0.01, 0.01, 3)[None, None, :, None]
    shape = len(POLICIES), len(STARTS), 3, 2
    arrays = {
        name: np.broadcast_to(np.reshape(values, (-1, 1, 1, 1)), shape) + seeds
        for name, values in (fields | changed).items()
    }
    header = study_header("feedback", "simulated", False, policies=list(POLICIES))
    return Stored(header, {}, arrays | {"starts": np.array(STARTS)})


def test_a_row_is_the_mean_over_all_seeds_of_its_start():
    made = stored()
    made.arrays["recovered"][:, 1] /= 2
    frame = feedback_frame(made)
    full = frame[frame.policy == "full"]
    for start, mean in zip(STARTS, (0.6, 0.3), strict=True):
        rows = full[full.start == start]
        np.testing.assert_allclose(rows.recovered, mean)
        assert (rows.recovered_low < mean).all()
    assert len(frame) == len(STARTS) * len(POLICIES) * 2


def test_verdicts_follow_the_last_round():
    assert {row[-1] for row in verdicts(stored())} == {"holds"}
    made = stored()
    for name in Round._fields:  # whatever the first round was
        made.arrays[name][..., 0] = -made.arrays[name][..., 0]
    assert {row[-1] for row in verdicts(made)} == {"holds"}
    other = verdicts(stored(recovered=[0.3, 0.4, 0.5, 0.6], rule=[0.8] * 4))
    found = {row[0].partition(": ")[2]: row[-1] for row in other}
    assert found["full recovers more than rule"] == "fails"
    assert found["the rule's strength is below 0.5"] == "fails"
    assert found["half recovers more than never"] == "holds"


def test_the_title_names_a_policy_only_where_it_is_ahead_from_every_start():
    frame = feedback_frame(stored())
    assert "'full' has the highest mean" in heading(frame)
    last = frame["round"] == frame["round"].max()
    ahead = last & (frame.start == STARTS[1]) & (frame.policy == "never")
    frame.loc[ahead, "recovered"] = 0.9
    assert "highest" not in heading(frame)


def test_a_report_comes_from_the_records_alone(tmp_path):
    made = stored()
    path = save_stored(tmp_path / "feedback.npz", made.header, dict(made.arrays))
    written = report_feedback(path, tmp_path)
    names = {file.name for file in written}
    assert {"feedback.csv", "feedback.md", "feedback-rounds.png"} <= names
    page = (tmp_path / "tables" / "simulated" / "feedback.md").read_text()
    assert page.count("| holds |") == 2 * len(feedback.STATEMENTS)
    assert page.count("| full |") == len(STARTS) * 2


def test_each_field_of_a_round_is_a_share_or_a_strength():
    world = small_world()
    rounds = play(world, np.nan, seed=0, rounds=2, epochs=1)
    for found in rounds:
        assert isinstance(found, Round)
        assert 0 <= found.recovered <= found.most <= 1
        assert 0.1 <= found.tenth <= 1
