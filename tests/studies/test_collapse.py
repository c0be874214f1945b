"""Arms that go on from one model, steps to half of its recall, and verdicts."""

import dataclasses

import numpy as np
import pytest

from experiments.arms import arm
from experiments.studies import collapse
from experiments.studies.collapse import CACHE, NONE, PUSH, STOPPED, Branches, Size
from experiments.studies.collapse.report import (
    collapse_frame,
    comparisons,
    heading,
    steps_to,
    verdicts,
)
from research.config import Config
from research.prepare import prepare
from research.report.records import Stored, study_header
from research.train.loop import train
from tests.studies.reported import page_of
from tests.world import made_fold

SIZES = (1, 2, 4, 8, 16)
STEPS = np.arange(0, 321, 4)
BASE = Config(batch=128, dim=8, user_features=("id",), item_features=("id",))


@pytest.fixture(scope="module")
def branches():
    fold = made_fold()
    size = Size((1, 2), before=2, steps=len(fold.fitted.item) // 128, every=1)
    return Branches(BASE, size, lambda config: prepare(config, fold))


def test_all_arms_go_on_from_one_model(branches):
    arms = (NONE, 0), (CACHE, 1), (CACHE, 2), (STOPPED, 2), (PUSH, 1)
    curves = [branches.curve(name, size) for name, size in arms]
    firsts = [curve.cosine[0] for curve in curves]
    np.testing.assert_allclose(firsts, firsts[0], atol=1e-5)
    ends = [curve.cosine[-1] for curve in curves]
    assert len({round(end, 4) for end in ends}) == len(arms)


def test_the_branch_without_a_cache_is_the_training_that_goes_on(branches):
    config = dataclasses.replace(arm(NONE, BASE), epochs=3)
    items = train(config, made_fold()).item_vectors
    n = len(items)
    cosine = ((items.sum(axis=0, dtype=float) ** 2).sum() - n) / (n * (n - 1))
    # The columns join 2 steps into the 3rd epoch.
    at_end = branches.curve(NONE, 0).cosine[branches.epoch_steps - 2]
    assert at_end == pytest.approx(cosine, abs=1e-4)


def test_a_curve_is_followed_until_little_is_left(branches, monkeypatch):
    whole = branches.curve(CACHE, 1).recall
    assert np.isfinite(whole).all()
    monkeypatch.setattr(collapse, "FOLLOWED_TO", 2.0)  # of the first recall: always
    short = branches.curve(CACHE, 1).recall
    np.testing.assert_allclose(short[:2], whole[:2], atol=0.05)
    assert np.isnan(short[2:]).all()


def test_steps_are_to_the_first_point_below():
    recall = np.array([0.4, 0.3, 0.1, 0.3])
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.2) == pytest.approx(6)
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.4) == 0.0
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.05) == np.inf


def stored(law, later=1.5, kept=1.0, seeds=3):
    """Records whose recall falls in a line and is half after law(M / B) steps."""
    arms = [(NONE, 0), *((CACHE, m) for m in SIZES)]
    arms += [*((STOPPED, m) for m in SIZES[::2]), (PUSH, 1), (PUSH, 16)]
    curves = []
    for name, size in arms:
        curve = np.ones((seeds, len(STEPS)))
        if name == PUSH:
            curve *= np.linspace(1, kept, len(STEPS))
        elif size:
            half = law(size) * (later if name == STOPPED else 1)
            half = half * (1 + 0.01 * np.arange(seeds)[:, None])
            curve = np.clip(1 - STEPS / (2 * half), 0.01, 1)
        curves.append(0.2 * curve)
    header = study_header(
        *("collapse", "made", False),
        **{"arms": [name for name, _ in arms], "batch": 512, "before": 5},
        **{"epoch_steps": 100, "temperature": 0.2, "learning_rate": 0.001},
    )
    arrays = {
        "recall": np.array(curves),
        "cosine": np.full((len(arms), seeds, len(STEPS)), 0.1),
        "sizes": np.array([size for _, size in arms]),
        "steps": STEPS,
    }
    return Stored(header, {}, arrays)


def found(records):
    frame = collapse_frame(records)
    return [row[2] for row in verdicts(frame, comparisons(records), 100)]


def by_size(size):
    return 120 / size


def by_share(size):
    return 60 * (1 + 1 / size)


def test_verdicts_follow_the_records():
    assert found(stored(by_size)) == ["holds", "fails", *["holds"] * 10]
    assert found(stored(by_share)) == ["fails", "holds", *["holds"] * 10]
    others = found(stored(lambda size: 250.0, later=0.8, kept=0.5))
    assert others == ["fails"] * 12


def test_a_curve_that_stays_up_takes_at_least_the_steps_it_was_followed_for():
    up = 1e4
    records = stored(lambda size: up if size == 1 else 250.0 / size)
    frame = collapse_frame(records).set_index(["arm", "size"])
    assert frame.steps[CACHE, 1] == np.inf
    assert frame.steps_low[CACHE, 1] == STEPS[-1]
    assert frame.steps[CACHE, 2] == pytest.approx(126.25, abs=0.1)
    assert frame.epochs[CACHE, 2] == pytest.approx(1.2625, abs=0.001)
    # 320 steps or more at M / B = 1 are too many for 1 + B / M, and may be B / M.
    assert found(records)[:3] == ["undecided", "fails", "fails"]
    only_largest = stored(lambda size: up if size < 16 else 4.0)
    assert found(only_largest)[:2] == ["undecided", "fails"]
    reverse = stored(lambda size: up if size == 16 else 100.0)
    assert found(reverse)[:2] == ["undecided", "fails"]


def test_stopped_columns_that_stay_up_take_longer():
    records = stored(lambda size: 100.0, later=1e3)
    assert found(records)[7:10] == ["holds"] * 3
    records = stored(lambda size: 1e4, later=1e-3)
    assert found(records)[7:10] == ["fails"] * 3
    records = stored(lambda size: 1e4)
    assert found(records)[7:10] == ["undecided"] * 3


def test_the_slope_over_the_caches_that_halve_recall_is_told_apart():
    def told(law):
        lines = comparisons(stored(law)).set_index("name")
        return lines.value.get("halved")

    assert told(lambda size: 1e4 if size < 4 else 160 / size) == pytest.approx(-1)
    assert told(lambda size: 1e4 if size < 4 else 50.0) == pytest.approx(0)
    assert told(lambda size: 1e4 if size < 16 else 50.0) is None


def test_the_heading_says_which_caches_halve_recall_and_how_fast():
    def said(law):
        records = stored(law)
        return heading(collapse_frame(records), comparisons(records), STEPS[-1])

    assert "falls as B / M" in said(by_size)
    assert "more slowly" in said(by_share)
    assert "falls" not in said(lambda size: 1e4)
    assert "falls" not in said(lambda size: 100.0 * size)
    some = said(lambda size: 1e4 if size < 4 else 160 / size)
    assert "up to M / B = 2 leaves more than half" in some
    assert "from 4 on, half is gone within 10 to 40 steps" in some
    assert "falls" not in said(lambda size: 1e4 if size == 4 else 50.0)


@pytest.mark.parametrize("half", [100.0, 1000.0])
def test_the_report_is_made_from_the_file_of_records_alone(tmp_path, half):
    records = stored(lambda size: half)
    page = page_of(records, tmp_path)
    assert (f"| `{CACHE}` | 1 | at least 320 |" in page) == (half == 1000.0)
