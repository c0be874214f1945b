"""What is read off curves of recall by coverage, by records that are made and a run."""

import numpy as np
import pytest

import experiments.studies.trade_off as trade_off
from experiments.studies.trade_off import (
    ARMS,
    NUMBERS,
    TEMPERATURES,
    TOTALS,
    Curves,
    heading,
    run_trade_off,
    trade_off_frame,
    verdicts,
)
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored, study_header
from tests.studies.reported import page_of
from tests.studies.tastes import small_config, write_tastes

HEIGHT = (0.24, 0.26, 0.30, 0.28, 0.24)  # of each temperature's curve


def made(height=HEIGHT, apart=0.02, more=0.0, calibrated=0.3, seeds=3):
    """Records of one arm, whose curves are straight but for what a test bends.

    Coverage falls with the total from 0.9 by 0.2 for one, and by apart for each further
    temperature; recall falls by 0.1 for one of coverage from the curve's height; clicks
    rise with the total, and with the temperature by more times the fall of coverage.
    """
    totals = np.array(TOTALS)
    number = np.arange(len(TEMPERATURES))[:, None, None]
    shape = len(TEMPERATURES), seeds, len(totals)
    coverage = np.broadcast_to(0.9 - 0.2 * totals - apart * number, shape)
    arrays = {
        "coverage": coverage,
        "recall": np.array(height)[:, None, None] - 0.1 * coverage,
        "train_count": np.broadcast_to(100 + 20 * totals + 100 * more * number, shape),
        "validation": np.broadcast_to(np.array(height)[:, None], shape[:2]),
        "calibrated": np.full(shape[:2], 1.2),
    }
    for name in NUMBERS:
        arrays[f"{name}_calibrated"] = np.full(shape[:2], calibrated)
    arrays = {name: values[None] for name, values in arrays.items()}
    arrays |= {"temperatures": np.array(TEMPERATURES), "totals": totals}
    return Stored(
        study_header("trade-off", "made", False, arms=["in-batch"]), {}, arrays
    )


def test_curves_are_compared_at_the_same_coverage_and_at_equal_popularity():
    curves = Curves(made(apart=0.03, more=0.05), 0)
    assert curves.chosen == 2
    # On parallel curves the difference is that of their heights.
    expected = 0.30 - np.array(HEIGHT)
    np.testing.assert_allclose(
        curves.gain(curves), np.tile(expected, (3, 1)).T, atol=1e-9
    )
    # 5 clicks more a temperature are a quarter of a total, which is 0.05 of coverage.
    equal = curves.at_equal_popularity("coverage")
    at_chosen = 0.9 - 0.2 - 0.03 * 2
    steps = np.arange(5) - 2
    np.testing.assert_allclose(
        equal[:, 0], at_chosen + (0.05 - 0.03) * steps, atol=1e-9
    )


def test_totals_below_that_of_greatest_coverage_are_left_out():
    stored = made(apart=0.03)
    arrays = {name: values.copy() for name, values in stored.arrays.items()}
    arrays["coverage"][..., 0] = 0.69  # near what the first has at a total of 1
    arrays["recall"][..., 0] = 0.0
    curves, other = Curves(Stored(stored.header, {}, arrays), 0), Curves(stored, 0)
    np.testing.assert_allclose(curves.gain(curves), other.gain(other), atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        # All popularity: 4 temperatures on, coverage is 0.12 lower at 12 clicks more.
        ({"apart": 0.03, "more": 0.03}, set()),
        ({"apart": 0.02, "more": 0.02}, {0}),
        ({"apart": 0.03}, {1}),
        ({"apart": 0.03, "more": 0.03, "height": (0.31, 0.2, 0.3, 0.2, 0.2)}, set()),
        # The chosen one has 0.8 to 1.4, the others 0.7, 0.95, 1.45 and 1.7 at a total
        # of 1.
        ({"apart": -0.25, "more": -0.25}, {0, 1, 3, 5, 6}),
    ],
)
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(made(**changes))
    assert len(rows) == 3 + len(TEMPERATURES) - 1
    assert {n for n, row in enumerate(rows) if row[2] == "fails"} == fails


def test_the_range_of_recall_with_the_calibrated_total_is_compared():
    stored = made(apart=0.03, more=0.03)
    assert verdicts(stored)[2][2] == "holds"  # all alike
    arrays = stored.arrays | {"recall_calibrated": stored.arrays["recall"][..., 5]}
    assert verdicts(Stored(stored.header, {}, arrays))[2][2] == "fails"


def test_another_temperature_that_has_more_recall_is_found():
    stored = made(apart=0.03, more=0.03)
    better = stored.arrays["recall"].copy()
    better[:, 4] += 0.1
    rows = verdicts(Stored(stored.header, {}, stored.arrays | {"recall": better}))
    assert [row[2] for row in rows[3:]] == ["holds", "holds", "holds", "fails"]
    frame = trade_off_frame(
        Stored(stored.header, {}, stored.arrays | {"recall": better})
    )
    assert frame.gain_in_batch.tolist() == frame.gain.tolist()
    assert "in-batch at 0.2 has 0.300 at coverage 0.30" in heading(frame)


def test_the_other_arm_is_compared_with_the_one_chosen_for_in_batch():
    one, other = made(apart=0.03, more=0.03), made((0.2, 0.2, 0.299, 0.2, 0.301))
    arrays = {
        name: np.concatenate([values, other.arrays[name]])
        if values.ndim > 1
        else values
        for name, values in one.arrays.items()
    }
    both = Stored(one.header | {"arms": [*ARMS]}, {}, arrays)
    rows = verdicts(both)[-7:]
    assert [row[2] for row in rows] == [*["holds"] * 6, "fails"]  # as much coverage
    assert rows[4][1].startswith("-0.001")  # a height of 0.301 beside 0.3
    arrays["recall"][1] += 0.01
    arrays["recall_calibrated"][1] -= 0.01
    arrays["coverage_calibrated"][1] += 0.1
    found = [row[2] for row in verdicts(both)[-7:]]
    assert found == [*("holds", "holds", "fails", "holds", "fails"), "fails", "holds"]


def test_what_calibration_and_another_arm_add_is_paired_by_seed():
    stored = made(calibrated=0.3)
    arrays = {
        name: np.concatenate([values, values]) if values.ndim > 1 else values
        for name, values in stored.arrays.items()
    }
    seeds = np.array([-0.2, 0.0, 0.2])  # both sides of a difference have them
    for name in ("recall", "coverage"):
        arrays[f"{name}_calibrated"] += seeds
    arrays["recall"] += seeds[:, None]
    arrays["recall_calibrated"][1] += 0.01
    arrays["coverage_calibrated"][1] += 0.1
    header = stored.header | {"arms": [*ARMS]}
    frame = trade_off_frame(Stored(header, {}, arrays))
    one, other = (frame[frame.arm == name] for name in ARMS)
    # With a total of 1: the height less a tenth of the coverage, 0.7 to 0.62.
    adds = 0.3 - (np.array(HEIGHT) - 0.1 * (0.7 - 0.02 * np.arange(5)))
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(one[f"recall_added{end}"], adds, atol=1e-9)
        np.testing.assert_allclose(other[f"recall_added{end}"], adds + 0.01, atol=1e-9)
        np.testing.assert_allclose(one[f"coverage_added{end}"], 0, atol=1e-9)
        np.testing.assert_allclose(other[f"coverage_added{end}"], 0.1, atol=1e-9)


def test_a_coverage_that_no_total_has_in_some_seeds_fails_and_says_in_how_many():
    stored = made(apart=0.03, more=0.03)
    arrays = {name: values.copy() for name, values in stored.arrays.items()}
    arrays["coverage"][0, 0, 0] += 0.5  # beyond what the chosen temperature has
    arrays["coverage"][0, 4, :] -= 0.5
    rows = verdicts(Stored(stored.header, {}, arrays))
    assert rows[3][1:] == ["no total does in 1 of 3 seeds", "fails"]
    assert rows[6][1:] == ["no total does", "fails"]


@pytest.mark.slow
def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(trade_off, "config_at", small_config)
    made_set = str(write_tastes(tmp_path / "made"))
    options = StudyOptions(tmp_path, dataset=made_set, quick=True, arms=ARMS[1:])
    path = run_trade_off(options)
    stored = load_stored(path)
    assert stored.header["arms"] == ["in-batch+logq"]
    assert stored.arrays["recall"].shape == (1, 2, 1, len(TOTALS))
    # At either temperature lists follow popularity the more, the larger the total.
    clicks = stored.arrays["train_count"]
    assert (clicks[..., -1] > clicks[..., 0] + 10).all()
    page_of(path, tmp_path)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    assert "| in-batch | **0.2** | " in page_of(made(), tmp_path)
