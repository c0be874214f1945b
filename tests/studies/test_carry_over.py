"""Whether a total carries over, by records that are made and a run."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import experiments.studies.carry_over as carry_over
from experiments.inputs import fold_of, prepared_run
from experiments.studies.carry_over import (
    LENGTHS,
    TEMPERATURES,
    carried,
    carry_over_frame,
    fitted_on_both,
    heading,
    report_carry_over,
    run_carry_over,
    verdicts,
)
from experiments.studies.totals import TOTALS, fitted_total, means_by_total
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored, study_header
from research.train.loop import train
from tests.studies.reported import page_of
from tests.studies.tastes import small_config, write_tastes


def made(final=1.5, surer=0.05, first=0.28, there=0.3, seeds=3):
    """Records of a total of 1.4 carried over, and a recall that is highest there."""
    shape = len(TEMPERATURES), seeds, len(LENGTHS)
    far = np.abs(np.array(TOTALS) - 1.4)
    numbers = {"epochs": 5, "total": 1.4, "scale": 0.5, "first_total": 1.5}
    numbers |= {"first_scale": 0.5, "final_scale": 0.5 + surer, "final_total": final}
    numbers |= {"first_recall": first, "final_recall": there}
    arrays = {name: np.full(shape, value) for name, value in numbers.items()}
    arrays["recall"] = np.broadcast_to(0.3 - 0.01 * far, (*shape, len(TOTALS)))
    arrays |= {"temperatures": np.array(TEMPERATURES), "totals": np.array(TOTALS)}
    return Stored(study_header("carry-over", "made", False), {}, arrays)


def test_what_is_lost_is_the_distance_from_the_highest_recall_of_any_total():
    frame = carry_over_frame(made(there=0.299))
    assert frame.length.tolist() == ["chosen"] * 4 + ["last"] * 4
    assert frame.short.tolist() == pytest.approx([0.001] * 8)
    assert frame.gain.tolist() == pytest.approx([0.003] * 8)  # of 0.4 off the top
    # A total between two of those tried can be better than both.
    assert carry_over_frame(made(there=0.31)).short.tolist() == pytest.approx([0.0] * 8)


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, ()),
        ({"final": 1.7}, ("within 0.2",)),
        ({"there": 0.297}, ("below the highest",)),
        ({"there": 0.29}, ("below the highest", "above that at a total")),
        ({"first": 0.31}, ("more recall@20",)),
        ({"surer": -0.05}, ("scale is larger",)),
        ({"surer": 0.2}, ("scale is larger",)),
    ],
)
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(carry_over_frame(made(**changes)))
    assert len(rows) == len(LENGTHS) * (4 * len(TEMPERATURES) + 1)
    for text, _, verdict in rows:
        expected = "fails" if any(words in text for words in fails) else "holds"
        assert verdict == expected, text


def test_the_final_model_is_fitted_on_both_parts_and_judged_by_the_same_users(tmp_path):
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.2)
    one = fold_of(dataclasses.replace(config, fit_on="train"))
    users = np.intersect1d(one.evaluated, fold_of(config).evaluated)
    run, (vectors, items) = fitted_on_both(config, 1, users, None)
    assert len(run.fold.fitted.item) == len(one.fitted.item) + len(one.held_item)
    assert np.array_equal(run.fold.evaluated, users)
    assert (len(vectors), len(items)) == (len(users), run.fold.fitted.n_items)
    found = carried(config, None)
    assert found["recall"].shape == (len(LENGTHS), len(TOTALS))
    assert 1 <= found["epochs"][0] <= found["epochs"][1] == config.epochs
    # The total is the first model's, by validation clicks; the final one is served so.
    choice = prepared_run(dataclasses.replace(config, fit_on="train"))
    done = train(choice.config, choice.fold)
    total, scale = fitted_total(choice, (done.user_vectors, done.item_vectors))
    assert found["total"][1] == pytest.approx(total, rel=1e-4)
    assert found["scale"][1] == pytest.approx(scale, rel=1e-4)
    final = fitted_on_both(config, config.epochs, users, None)
    assert found["final_total"][1] == pytest.approx(fitted_total(*final)[0], rel=1e-4)
    recall = means_by_total(*final, [total]).item()
    assert found["final_recall"][1] == pytest.approx(recall, abs=0.005)


def test_each_number_is_of_its_model_at_its_epoch_and_of_its_clicks(
    tmp_path, monkeypatch
):
    """Models are told by their epoch, what judges them by what it is fitted on."""
    parts = {"train": 10.0, "train-only": 20.0, "train+validation": 30.0}
    heights = np.array([0.1, 0.4, 0.2, 0.3])

    def trained(config, fold, validate):
        for epoch in range(4):
            validate(np.full((len(fold.evaluated), 1), epoch), np.zeros((1, 1)))

    def both(config, epochs, users, data_dir):
        run = SimpleNamespace(config=SimpleNamespace(fit_on="train+validation"))
        return run, (np.full((len(users), 1), epochs - 1), np.zeros((1, 1)))

    def fitted(run, vectors):
        total = parts[run.config.fit_on] + vectors[0][0, 0]
        return total, -total

    def means(run, vectors, totals):
        height = parts[run.config.fit_on] + heights[vectors[0][0, 0]]
        return height + 100 * np.array([totals])

    mocks = {"train": trained, "fitted_on_both": both}
    for name, mock in (
        mocks | {"fitted_total": fitted, "means_by_total": means}
    ).items():
        monkeypatch.setattr(carry_over, name, mock)
    dataset = str(write_tastes(tmp_path / "made"))
    found = carried(small_config(StudyOptions(tmp_path, dataset=dataset), 0.2), None)
    assert found["epochs"].tolist() == [2, 4]  # of highest recall, and all
    at, height = np.array([1, 3]), heights[[1, 3]]
    for name, part in (("", 10), ("first_", 20), ("final_", 30)):
        assert np.array_equal(found[f"{name}total"], part + at)
        assert np.array_equal(found[f"{name}scale"], -part - at)
    carried_over = 100 * found["total"]
    np.testing.assert_allclose(found["first_recall"], 20 + height + carried_over)
    np.testing.assert_allclose(found["final_recall"], 30 + height + carried_over)
    expected = 30 + height[:, None] + 100 * np.array(TOTALS)
    np.testing.assert_allclose(found["recall"], expected)


def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.studies.totals.config_at", small_config)
    made_set = str(write_tastes(tmp_path / "made"))
    path = run_carry_over(StudyOptions(tmp_path, dataset=made_set, quick=True))
    arrays = load_stored(path).arrays
    assert arrays["recall"].shape == (2, 1, len(LENGTHS), len(TOTALS))
    page_of(path, tmp_path)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = made()
    page = page_of(records, tmp_path)
    assert "| chosen | 0.05 | 5.0 [5.0, 5.0] | 1.40 [1.40, 1.40] | 1.50 " in page
    assert "made, 3 seeds;" in page
    records.arrays["final_total"][..., 1] = 9.0  # of all epochs: not in the figure
    drawing = report_carry_over(records).drawings["-totals"]
    assert drawing.points.off.tolist() == pytest.approx([0.1] * len(TEMPERATURES))


def test_the_title_claims_what_the_intervals_leave_possible():
    words = heading(carry_over_frame(made(there=0.299)))
    assert "at most 0.10 from" in words
    assert "at most 0.0010 below" in words
    assert "at most 0.20 from" in heading(carry_over_frame(made(final=1.2)))
    frame = carry_over_frame(made())
    wide = frame.assign(off_low=-0.3, off_high=0.2, short_high=0.004)
    assert "at most 0.30 from" in heading(wide)
    assert "at most 0.0040 below" in heading(wide)
    without = heading(carry_over_frame(made(seeds=2)))  # too few for intervals
    assert "at most" not in without
