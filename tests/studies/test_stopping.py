"""Held-out recall, the epoch it chooses, and verdicts that follow the records."""

import numpy as np
import pytest

from experiments.studies import stopping
from experiments.studies.semisynthetic import World, drawn_clicks, drawn_fold
from experiments.studies.stopping import (
    GAMMAS,
    STRENGTHS,
    by_epoch,
    heading,
    held_recall,
    stopping_frame,
    verdicts,
)
from experiments.study import StudyOptions
from research.config import Config
from research.report.records import Stored, study_header
from tests.studies.reported import page_of


def test_held_out_recall_leaves_clicked_items_out_and_adds_log_q():
    users, items = 40, 60
    draw = np.random.default_rng(0)
    world = World(draw.normal(size=(users, items)), np.zeros(items), np.full(users, 12))
    fold = drawn_fold(world, np.zeros(items), seed=0)
    logits, log_q = draw.normal(size=(users, items)), draw.normal(size=items)
    clicked = fold.fitted.item.reshape(users, 12)
    hits = []
    for user in range(users):
        scores = {i: logits[user, i] + log_q[i] for i in range(items)}
        for item in clicked[user]:
            del scores[item]
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:20]
        hits.append(fold.held_item[user] in best)
    assert 0 < np.mean(hits) < 1
    assert held_recall(logits, log_q, fold) == pytest.approx(np.mean(hits))


def test_every_epoch_is_judged_by_the_tastes_and_by_clicks(tmp_path, monkeypatch):
    relevance = np.random.default_rng(0).normal(size=(30, 60))
    world = World(relevance, np.zeros(60), np.full(30, 12))
    fold, log_q, rule = drawn_clicks(world, 0.0, 3)
    logits = [-relevance, relevance - 1.5 * log_q]
    configs = []

    def trained(config, fold, validate):
        configs.append(config)
        for of_epoch in logits:
            validate(0.25 * of_epoch, np.eye(60))

    monkeypatch.setattr(stopping, "training", lambda *_: Config(temperature=0.25))
    monkeypatch.setattr(stopping, "train", trained)
    shares, held, by_rule = by_epoch(world, 0.0, 3, StudyOptions(tmp_path))
    assert [(c.fit_on, c.evaluate_every) for c in configs] == [("train", 1)]
    assert held == [held_recall(of_epoch, log_q, fold) for of_epoch in logits]
    first, second = (dict(zip((*STRENGTHS, "rule"), values)) for values in shares)
    assert second[1.5] == 1 > second[1.0] == second["rule"] > first["rule"]
    assert by_rule == rule


def stored(best, held, rule=1.0, seeds=3):
    """Records of the best strength and the held-out recall of each epoch."""
    strengths, shape = np.array(STRENGTHS), (len(GAMMAS), seeds)
    far = np.abs(np.append(strengths, rule)[None, :] - np.array(best)[:, None])
    curves = np.broadcast_to(0.6 - 0.01 * far, (*shape, *far.shape))
    arrays = {
        "recovered": curves,
        "held": np.broadcast_to(held, (*shape, len(held))),
        "rule": np.full(shape, rule),
        "gammas": np.array(GAMMAS, np.float32),
        "strengths": strengths,
    }
    return Stored(study_header("stopping", "made", False), {}, arrays)


def test_the_chosen_epoch_is_that_of_the_highest_held_out_recall():
    frame = stopping_frame(stored([0.5, 1.2, 2.0, 2.5], [0.1, 0.3, 0.2, 0.1]))
    chosen = frame[frame.epoch.isna()]
    assert chosen.chosen.tolist() == [2.0, 2.0]
    assert chosen.distance.tolist() == pytest.approx([0.2, 0.2])
    assert chosen.nearer.tolist() == pytest.approx([1.3, 1.3])
    assert frame.epoch.dropna().tolist() == [1, 2, 3, 4] * 2


def test_verdicts_follow_the_records():
    best, held = [0.5, 1.2, *np.linspace(2.0, 3.0, 18)], [0.1, 0.3, *[0.2] * 18]
    early = verdicts(stopping_frame(stored(best, held)))
    assert [row[2] for row in early] == ["holds"] * 6
    late = np.linspace(0.5, 4, 20)
    found = verdicts(stopping_frame(stored(late, np.linspace(0.1, 0.3, 20))))
    assert [row[2] for row in found] == ["fails"] * 6


def test_the_chosen_epoch_is_not_judged_where_no_later_one_was_trained():
    found = verdicts(stopping_frame(stored([0.5, 1.2, 2.0], [0.1, 0.3, 0.2])))
    assert [row[2] for row in found] == ["holds"] * 4
    assert not any("10th" in row[0] for row in found)


def test_nearer_is_nearer_on_either_side_of_the_rule():
    frame = stopping_frame(stored([1.2, 0.5], [0.3, 0.1]))
    chosen = frame[frame.epoch.isna()]
    assert chosen.nearer.tolist() == pytest.approx([0.3, 0.3])  # 0.2 above, 0.5 below


def test_the_heading_says_nearer_only_where_it_is():
    rising = stopping_frame(stored([0.5, 1.2, 2.0], [0.1, 0.3, 0.2]))
    assert "nearer to the rule's" in heading(rising)
    level = stopping_frame(stored([1.2, 1.2, 1.2], [0.1, 0.3, 0.2]))
    assert "nearer" not in heading(level)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    assert "| 0 | chosen | 0.300 | +0.20 [+0.20, +0.20] |" in page_of(
        stored([0.5, 1.2, 2.0], [0.1, 0.3, 0.2]), tmp_path
    )
