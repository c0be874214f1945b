"""The study of coverage: from records of arms to shares of intervals."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies import STUDIES
from experiments.studies.coverage import (
    MADE,
    PAIRS,
    SEEDS,
    run_coverage,
)
from experiments.study import StudyOptions, report_study
from research.report.records import RunResult, save_records
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
    assert page.count("| 12 seeds |") == 2


def test_without_the_records_of_the_grid_it_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ssb\.npz"):
        run_coverage(StudyOptions(tmp_path, quick=True))
