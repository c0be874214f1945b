"""Loops whose clicks are weighted by how rarely their item was shown to their user."""

import numpy as np
import pytest

from experiments.studies import feedback
from experiments.studies.feedback import (
    KINDS,
    POLICIES,
    Kind,
    draw_shown,
    play,
    run_feedback,
    train_round,
)
from experiments.studies.feedback.report import STATEMENTS, verdicts
from experiments.studies.feedback.shown import WEIGHTED, weighted_kind
from experiments.study import StudyOptions
from research.config import Config
from research.data.synthetic import clicked_fold, make_synthetic, relevance
from research.positives import POSITIVES
from research.report.records import load_stored

USERS, ITEMS = 30, 40


def small_world():
    return make_synthetic(USERS, ITEMS, 4, exposure=0.5, seed=3)


def test_a_click_counts_by_how_rarely_its_user_was_shown_its_item():
    world, draw = small_world(), np.random.default_rng(0)
    shown = draw.dirichlet(np.ones(ITEMS), size=USERS) + 1e-6
    clicks = draw_shown(relevance(world), shown, each=6, seed=0)
    fold = clicked_fold(world, clicks)
    pairs = weighted_kind(shown, 0.5).make(Config(), fold.fitted).pairs
    expected = 1 / np.sqrt(shown[fold.fitted.user, fold.fitted.item])
    np.testing.assert_allclose(pairs.weight, expected / expected.mean(), rtol=1e-4)
    plain = POSITIVES["user-item"].make(Config(), fold.fitted).pairs
    np.testing.assert_array_equal(pairs.candidate, plain.candidate)


def test_a_round_is_trained_with_its_weights_and_leaves_the_registry_as_it_was(
    monkeypatch,
):
    world, seen = small_world(), []
    shown = np.full((USERS, ITEMS), 1 / ITEMS)
    shown[:, 0] = 10.0

    def weights(config, fold):
        made = POSITIVES[config.positives].make(config, fold.fitted)
        seen.append(made.pairs.weight[fold.fitted.item == 0])
        raise StopIteration

    monkeypatch.setattr(feedback, "train", weights)
    clicks = draw_shown(relevance(world), shown, each=20, seed=0)
    for ips in (0.0, 1.0):
        with pytest.raises(StopIteration):
            train_round(world, clicks, shown, seed=0, epochs=1, ips=ips)
    assert (seen[0] == 1).all()
    assert seen[1].max() < 0.1  # what everybody was shown says little
    assert WEIGHTED not in POSITIVES


@pytest.mark.slow
def test_weights_take_exposure_out_of_what_lists_hold():
    """Half of the items are shown ten times as often; users like all alike."""
    world = make_synthetic(200, ITEMS, 4, exposure=0.0, seed=3)
    shown = np.tile(np.where(np.arange(ITEMS) % 2, 10.0, 1.0), (200, 1))
    clicks = draw_shown(relevance(world), shown, each=30, seed=0)
    gaps = []
    for ips in (0.0, 1.0):
        model = train_round(world, clicks, shown, seed=0, epochs=20, ips=ips)
        scores = (model.logits + model.log_q).mean(axis=0)
        gaps.append(scores[1::2].mean() - scores[::2].mean())
    assert gaps[0] > 1.2
    assert abs(gaps[1]) < 0.5 * gaps[0]


def test_a_run_stores_each_loop_at_its_place(monkeypatch, tmp_path):
    worlds = {}

    def made(world, kind, policies, seed, rounds, epochs):
        worlds[kind, seed] = world
        at = list(KINDS.values()).index(kind)
        return [
            [
                feedback.Round(
                    *(1000 * p + 100 * at + 10 * seed + n + np.arange(6) / 10)
                )
                for n in range(rounds)
            ]
            for p in range(len(policies))
        ]

    monkeypatch.setattr(feedback, "play", made)
    path = run_feedback(StudyOptions(tmp_path, seeds=2, quick=True))
    arrays = load_stored(path).arrays
    places = np.indices((len(POLICIES), len(KINDS), 2, 2))
    expected = np.tensordot([1000, 100, 10, 1], places, axes=1)
    for field, name in enumerate(feedback.Round._fields):
        np.testing.assert_allclose(arrays[name], expected + field / 10, rtol=1e-6)
    for kind in KINDS.values():
        first, second = worlds[kind, 0], worlds[kind, 1]
        assert (first.quality != second.quality).any()
        assert (np.ptp(first.exposure) > 0) == (kind.start > 0)


def test_some_policies_alone_are_those_of_the_whole_study(monkeypatch, tmp_path):
    monkeypatch.setattr(feedback, "play", lambda world, kind, policies, *rest: [
        [feedback.Round(policy.ips, *[0.0] * 5)] * 2 for policy in policies
    ])  # fmt: skip
    path = run_feedback(StudyOptions(tmp_path, quick=True, arms=("ips-half", "full")))
    stored = load_stored(path)
    assert stored.header["policies"] == ["ips-half", "full"]
    assert (stored.arrays["recovered"][0] == 0.5).all()
    texts = [row[0] for row in verdicts(stored)]
    assert texts  # of them alone
    others = set(POLICIES) - {"ips-half", "full"}
    stated = {s.text: {p for _, p in (*s.added, *s.taken)} for s in STATEMENTS}
    assert not any(stated[text] & others for text in texts)


def test_loops_with_weights_are_played_to_the_end():
    policies = [POLICIES["ips"], POLICIES["ips-half"]]
    loops = play(small_world(), Kind(1.0), policies, seed=0, rounds=2, epochs=1)
    assert [len(loop) for loop in loops] == [2, 2]
    assert 0 <= loops[0][-1].recovered <= loops[0][-1].most <= 1
    assert len(KINDS) == 5
