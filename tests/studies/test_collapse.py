"""Arms that go on from one model, steps to half of its recall, and verdicts."""

import dataclasses

import numpy as np
import pytest

from experiments.arms import arm
from experiments.studies.collapse import CACHE, NONE, PUSH, STOPPED, Branches, Size
from experiments.studies.collapse.report import (
    collapse_frame,
    comparisons,
    heading,
    report_collapse,
    steps_to,
    verdicts,
)
from research.config import Config
from research.prepare import prepare
from research.report.records import Stored, save_stored, study_header
from research.train.loop import train
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


def test_steps_are_to_the_first_point_below():
    recall = np.array([0.4, 0.3, 0.1, 0.3])
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.2) == pytest.approx(6)
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.4) == 0.0
    assert steps_to(recall, np.array([0.0, 4.0, 8.0, 12.0]), 0.05) == np.inf


def stored(law, later=1.5, kept=1.0, seeds=3):
    """Records whose recall falls in a line and is half after law(M / B) steps."""
    arms = [(NONE, 0), *((a, m) for a in (CACHE, STOPPED) for m in SIZES)]
    arms += [(PUSH, 1), (PUSH, 16)]
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
    all_hold = ["holds"] * 5
    assert found(stored(by_size)) == ["holds", "fails", *all_hold * 2, *all_hold[:2]]
    assert found(stored(by_share)) == ["fails", "holds", *all_hold * 2, *all_hold[:2]]
    others = found(stored(lambda size: 250.0, later=0.8, kept=0.5))
    assert others == ["fails", "fails", *["fails"] * 12]


def test_a_curve_that_stays_up_leaves_its_statements_undecided():
    records = stored(lambda size: 1000.0 if size == 1 else 50.0)
    assert found(records)[:3] == ["undecided", "undecided", "undecided"]
    frame = collapse_frame(records).set_index(["arm", "size"])
    assert frame.steps[CACHE, 1] == np.inf
    assert frame.steps[CACHE, 2] == pytest.approx(50.5, abs=0.1)
    assert frame.epochs[CACHE, 2] == pytest.approx(0.505, abs=0.001)


def test_the_heading_says_how_the_steps_fall():
    assert "falls as B / M" in heading(comparisons(stored(by_size)))
    assert "more slowly" in heading(comparisons(stored(by_share)))
    never = heading(comparisons(stored(lambda size: 1000.0)))
    assert "falls" not in never


@pytest.mark.parametrize("half", [100.0, 1000.0])
def test_the_report_is_made_from_the_file_of_records_alone(tmp_path, half):
    records = stored(lambda size: half)
    path = save_stored(tmp_path / "c.npz", records.header, records.arrays)
    written = report_collapse(path, tmp_path)
    assert {path.suffix for path in written} == {".csv", ".md", ".svg", ".png"}
    page = (tmp_path / "tables" / "made" / "collapse.md").read_text()
    assert (f"| `{CACHE}` | 1 | not reached |" in page) == (half == 1000.0)
