"""The study of coverage: from records of arms to shares of intervals."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies import STUDIES
from experiments.studies.coverage import (
    MADE,
    PAIRS,
    SEEDS,
    STRICT,
    report_coverage,
    run_coverage,
    simulate,
)
from experiments.study import StudyOptions, report_study
from research.report.records import RunResult, Stored, save_records
from research.types import InputError
from tests.report.made import made_record


def test_from_the_records_of_the_grid_to_the_table(tmp_path):
    names = dict.fromkeys(name for pair in PAIRS for name in pair)
    rows = [
        RunResult(name, {}, seed, made_record(0 if name == "ease" else 10 * n + seed))
        for n, name in enumerate(names)
        for seed in range(3)
    ]
    header = {"dataset": "ml-100k", "data_digest": "0" * 64}
    save_records(tmp_path / "records" / "ml-100k" / "ssb.npz", rows, header)
    lines = []
    options = StudyOptions(tmp_path, quick=True, progress=lines.append)
    written = report_study(STUDIES["coverage"], run_coverage(options), tmp_path)
    frame = pd.read_csv(written[0])
    assert len(lines) == len(PAIRS) + 1
    assert len(frame) == len(PAIRS) * len(SEEDS)
    assert (frame.covered > 0.85).all()
    # more seeds, narrower intervals
    widths = frame.half_width.to_numpy().reshape(len(PAIRS), -1)
    assert (np.diff(widths) < 0).all()
    made = pd.read_csv(written[1])
    assert [*zip(made.users, made.seeds, strict=True)] == [*MADE]
    assert (made.filter(like="covered_") > 0.8).all(axis=None)
    page = written[2].read_text()
    assert "A quick run" in page
    assert page.count("| 12 seeds |") == 4
    # seeds that differ and are few: p is small too often, with twelve hardly so
    few = made[(made.users > 0) & (made.seeds >= 10)]
    assert few.found_2.mean() > 4 * STRICT > 2 * few.found_12.mean()


def test_right_variances_give_right_p_values():
    """With one part alone the t test is exact: p below a level as often as it says."""
    found = simulate(np.array([0.0, 1.0, 0.0]), users=4, seeds=3, trials=20_000).found
    assert 0.5 * STRICT < found < 1.5 * STRICT


def test_records_without_p_values_are_refused():
    stored = Stored({"pairs": [], "seeds": []}, {}, {"covered": np.zeros(0)})
    with pytest.raises(InputError, match="run the study again"):
        report_coverage(stored)


def test_without_the_records_of_the_grid_it_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ssb\.npz"):
        run_coverage(StudyOptions(tmp_path, quick=True))
