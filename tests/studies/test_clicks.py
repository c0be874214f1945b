"""What is multiplied, the fit of the tastes, and verdicts that follow the records."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies import clicks
from experiments.studies.clicks import (
    AS_IS,
    CONDITIONS,
    STRENGTHS,
    Condition,
    changed,
    least_squares,
    measured,
)
from experiments.studies.clicks.report import (
    CHANGES,
    HEADING,
    LINES,
    clicks_frame,
    heading,
    verdicts,
)
from experiments.studies.semisynthetic import World
from experiments.study import StudyOptions
from research.config import Config
from research.positives import log_share
from research.report.records import Stored, study_header
from tests.studies.reported import page_of


def world(users=8, items=5):
    relevance = np.arange(users * items, dtype=float).reshape(users, items)
    return World(relevance, np.zeros(items), np.arange(1, users + 1))


def test_a_part_of_the_users_is_drawn_by_the_seed():
    parts = [changed(world(), Condition(users=0.25), seed) for seed in range(20)]
    assert {len(part.clicks) for part in parts} == {2}
    assert len({tuple(part.clicks) for part in parts}) > 5
    for part in parts:  # each user keeps the tastes and the number of clicks together
        assert (part.relevance[:, 0] == 5 * (part.clicks - 1)).all()


def test_users_are_repeated_and_the_first_ones_stay_in_place():
    four = changed(world(), Condition(users=4), 0)
    assert len(four.clicks) == 32
    assert (four.relevance[:8] == world().relevance).all()
    assert (four.clicks.reshape(4, 8) == world().clicks).all()


def test_clicks_are_multiplied_and_no_user_is_left_without():
    fewer = changed(world(), Condition(clicks=0.25), 0)
    assert fewer.clicks.tolist() == [1, 1, 1, 1, 1, 2, 2, 2]
    assert changed(world(), Condition(clicks=4), 0).clicks.sum() == 4 * 36


def test_the_fit_is_that_of_a_regression_with_a_constant_of_each_user():
    draw = np.random.default_rng(0)
    logits, log_q = draw.normal(size=(6, 9)), draw.normal(size=9)
    relevance = draw.normal(size=(6, 9))
    users = np.kron(np.eye(6), np.ones((9, 1)))
    columns = np.column_stack([logits.ravel(), np.tile(log_q, 6), users])
    expected, *_ = np.linalg.lstsq(columns, relevance.ravel(), rcond=None)
    assert least_squares(relevance, logits, log_q) == pytest.approx(expected[:2])


def test_tastes_known_with_noise_need_more_than_the_full_correction():
    draw = np.random.default_rng(0)
    log_q, own = draw.normal(size=400), draw.normal(size=(50, 400))
    for noise in (0.0, 1.0):
        logits = own + noise * draw.normal(size=own.shape)
        a, b = least_squares(own + log_q, logits, log_q)
        assert b / a == pytest.approx(1 + noise**2, rel=0.1)


def test_a_condition_is_trained_and_judged_with_its_own_clicks(tmp_path, monkeypatch):
    relevance = np.random.default_rng(0).normal(size=(8, 40))
    small = World(relevance, np.zeros(40), np.arange(8, 16))
    configs = []

    def biased(config, fold):  # logits that 1.5 times log q makes the relevance
        configs.append(config)
        log_q = log_share(fold.fitted.item_counts)
        return np.tile(relevance, (4, 1)) / 2 - 1.5 * log_q

    plain = Config(epochs=8, history=10)
    monkeypatch.setattr(clicks, "training", lambda *_: plain)
    monkeypatch.setattr(clicks, "trained_logits", biased)
    factors = Condition(users=4, clicks=2, epochs=0.5, history=3)
    found = measured(small, factors, 0.0, 5, StudyOptions(tmp_path))
    assert configs == [dataclasses.replace(plain, epochs=4, history=30)]
    assert found.clicks == 4 * 2 * small.clicks.sum()
    assert found.fit == pytest.approx((2, 3), rel=1e-4)
    recovered = dict(zip(STRENGTHS, found.recovered))
    assert recovered[1.5] == 1 > recovered[1.0] == found.recovered[-1]
    assert found.rule == pytest.approx(1, abs=1e-6)


def stored(best, seeds=3):
    """Records in which each condition's best strength is what ``best`` says."""
    strengths = np.array(STRENGTHS)
    names = list(CONDITIONS)
    curves = np.zeros((len(names), 2, seeds, len(strengths) + 1))
    for c, name in enumerate(names):
        curves[c] = 0.6 - 0.1 * np.abs(np.append(strengths, 1.0) - best(name))
    shape = curves.shape[:3]
    arrays = {
        "recovered": curves,
        "rule": np.full(shape, 1.0),
        "fit": np.broadcast_to([0.5, 1.0], (*shape, 2)),
        "clicks": np.full(shape, 7),
        "gammas": np.array([0.0, 1.0], np.float32),
        "strengths": strengths,
    }
    return Stored(study_header("clicks", "made", False, conditions=names), {}, arrays)


def as_predicted(name):
    low, high = CHANGES.get(name, {0.0: (0, 0)})[0.0]
    return 2.0 + (0.5 if high == np.inf else -0.5 if low == -np.inf else 0.0)


def test_verdicts_follow_the_records():
    changes = 2 * len(CHANGES)
    found = verdicts(clicks_frame(stored(as_predicted)))
    assert {row[2] for row in found[:changes]} == {"holds"}
    contrary = verdicts(clicks_frame(stored(lambda name: 4 - as_predicted(name))))
    moved = [row for row in contrary if "falls" in row[0] or "rises" in row[0]]
    assert {row[2] for row in moved} == {"fails"}


def test_the_fit_is_held_against_each_best_strength():
    found = verdicts(clicks_frame(stored(lambda name: 2.0 if name == AS_IS else 3.0)))
    by_fit = {row[0]: row[2] for row in found if "the fit" in row[0]}
    assert len(by_fit) == 2 * len(CONDITIONS)
    for statement, verdict in by_fit.items():
        assert verdict == ("holds" if statement.startswith(AS_IS) else "fails")


def test_the_heading_says_what_users_change_only_where_it_is_clear():
    assert "nearer to" in heading(clicks_frame(stored(as_predicted)))
    assert heading(clicks_frame(stored(lambda name: 2.0))) == HEADING
    farther = clicks_frame(
        stored(lambda name: 2.5 if name.startswith("users / 4") else 2.0)
    )
    assert "farther from" in heading(farther)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    assert "| users x 4 | 0 | 7 | 1.00 | 1.50 [1.50, 1.50] | -0.50" in page_of(
        stored(as_predicted), tmp_path
    )


def test_every_condition_of_the_figure_and_of_the_prediction_is_run():
    drawn = {name for line in LINES.values() for name in line.values()}
    assert drawn <= set(CONDITIONS)
    assert set(CHANGES) <= set(CONDITIONS)


def test_the_page_states_the_committed_distances():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "limits-of-the-rule.md").read_text()
    table = text.split("| best strength less the rule's |")[1].split("\n\n")[0]
    first, *rows = [line.strip("| ").split("|") for line in table.splitlines()[2:]]
    assert first[0].strip() == AS_IS
    names = ("epochs / 4", "users x 4", "users x 4, epochs / 4", "users / 4")
    names = (AS_IS, *names, "users / 4, epochs x 4")
    frames = {
        name: pd.read_csv(root / "results" / "tables" / name / "clicks.csv")
        for name in ("ml-100k", "ml-1m")
    }
    for name, row in zip(names, [first, *rows], strict=True):
        found = [
            f"{value:.2f}"
            for frame in frames.values()
            for value in frame[frame.condition == name].sort_values("gamma").distance
        ]
        assert [cell.strip() for cell in row[1:] if cell.strip()] == found
