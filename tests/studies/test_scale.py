"""Which temperature to serve with, by records that are made and by a run."""

import numpy as np
import pytest

from experiments.studies.scale import (
    TEMPERATURES,
    TOTALS,
    heading,
    run_scale,
    scale_frame,
    verdicts,
)
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored, study_header
from tests.studies.reported import page_of
from tests.studies.tastes import small_config, write_tastes


def made(scales=(0.4, 0.6, 1.0, 1.8), highest=None, there=0.3, seeds=3):
    """Records with a share of 1, whose recall falls with the distance from a total."""
    totals, scales = np.array(TOTALS), np.array(scales)
    best = 1 / scales if highest is None else np.array(highest)
    far = np.abs(totals - np.round(best, 1)[:, None])
    shape = len(TEMPERATURES), seeds
    of_seeds = np.broadcast_to(scales[:, None], shape)
    arrays = {
        "recall": np.broadcast_to(0.3 - 0.01 * far[:, None], (*shape, len(totals))),
        "scale": of_seeds,
        "calibrated": 1 / of_seeds,
        "recall_calibrated": np.full(shape, there),
        "temperatures": np.array(TEMPERATURES),
        "totals": totals,
    }
    return Stored(study_header("scale", "made", False), {}, arrays)


def test_the_temperature_to_serve_with_is_that_of_the_training_over_the_scale():
    frame = scale_frame(made()).set_index("temperature")
    assert frame.serving.tolist() == pytest.approx([0.125, 1 / 6, 0.2, 0.4 / 1.8])
    assert frame.calibrated.tolist() == pytest.approx([2.5, 1 / 0.6, 1.0, 1 / 1.8])
    assert frame.highest[0.1] == pytest.approx(1.6, abs=0.11)
    assert frame.best[0.2] == pytest.approx(0.3)
    assert frame.full[0.05] == pytest.approx(0.3 - 0.01 * 1.5, abs=0.0011)


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, set()),
        ({"scales": (1.2, 1.2, 1.2, 1.8)}, {0, 2, 3, 12, 13, 15, 16}),
        ({"scales": (0.4, 0.6, 0.8, 0.9)}, {1, 3}),
        ({"scales": (0.05, 0.6, 1.0, 1.8), "highest": (3, 1.6, 1, 0.6)}, {3, 4}),
        ({"highest": (2.5, 1.6, 2.0, 0.6)}, {8}),
        ({"there": 0.29}, {5, 7, 9, 11}),
    ],
)
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(made(**changes))
    assert len(rows) == 4 + 2 * len(TEMPERATURES) + 2 * (len(TEMPERATURES) - 1)
    assert {n for n, row in enumerate(rows) if row[2] == "fails"} == fails


def test_the_heading_has_recall_with_both_totals_at_the_lowest_temperature():
    frame = scale_frame(made())
    words = heading(frame.iloc[::-1])  # in any order
    lowest = frame.set_index("temperature").loc[0.05]
    assert lowest.full < lowest.there
    assert f"at 0.05, a total of 1 gives a recall@20 of {lowest.full:.3f}," in words
    assert words.endswith(f"total of 2.5 gives {lowest.there:.3f}")


def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.studies.totals.config_at", small_config)
    made_set = str(write_tastes(tmp_path / "made"))
    path = run_scale(StudyOptions(tmp_path, dataset=made_set, quick=True))
    arrays = load_stored(path).arrays
    assert arrays["recall"].shape == (2, 1, len(TOTALS))
    low, high = arrays["scale"][:, 0]
    assert 0.0 < low < high  # logits of a larger temperature lie nearer together
    page_of(path, tmp_path)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    assert "| 0.2 | 1.00 [1.00, 1.00] | 0.200 [0.200, 0.200] | 1.00 " in page_of(
        made(), tmp_path
    )
