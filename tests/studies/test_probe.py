"""Records, tables and figures of the probe, from made numbers."""

import numpy as np
import pytest

from experiments.output.folders import RECORDS_VERSION
from experiments.studies import STUDIES
from experiments.studies.probe import (
    FAITHFUL,
    SMALL,
    ZERO,
    Measurement,
    bias_table,
    packed,
)
from experiments.studies.probe.estimators import ESTIMATORS, BiasEstimate
from experiments.study import report_study, save_study
from research.files import write_arrays
from research.report.records import load_stored, save_stored, study_header
from research.types import InputError


def made_records(out):
    """The file of records of made measurements."""
    found = [
        (
            Measurement("made", model, "fitted", form, False, n, question),
            BiasEstimate(0.7 if form == "in-batch" else 0.02, 0.01, 0.9, 2),
        )
        for model in ("untrained", "trained")
        for form in ESTIMATORS
        for n in (16, 64)
        for question in (ZERO, FAITHFUL)
    ]
    found += [
        (
            Measurement(SMALL, "made", "whole", form, masked, n, ZERO),
            BiasEstimate(0.1, 0, 1, 2),
        )
        for form in ESTIMATORS
        for masked in (False, True)
        for n in (2, 4)
    ]
    header, (arrays, content) = (
        study_header("probe", "made", True, rows=8),
        packed(found),
    )
    return save_study(out, header, arrays, **content)


@pytest.mark.slow
def test_tables_and_figures_come_from_the_records_alone(tmp_path):
    path = made_records(tmp_path)
    written = report_study(STUDIES["probe"], path, tmp_path / "a")
    again = report_study(STUDIES["probe"], path, tmp_path / "b")
    assert len(written) == 2 + 2
    page = (tmp_path / "a" / "tables" / "made" / "probe.md").read_text()
    assert "A quick run" in page
    assert "n = 64" in page
    line = next(line for line in page.splitlines() if line.startswith("| `in-batch` |"))
    assert line.split("|")[2].strip() == "no"
    for one, two in zip(written, again, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_table_says_what_is_right_and_what_is_measured(tmp_path):
    frame = bias_table(load_stored(made_records(tmp_path)))
    wrong = frame[(frame.form == "in-batch") & (frame.world == "made")].bias
    right = frame[(frame.form == "in-batch+logq") & (frame.world == "made")].bias
    assert wrong.min() > 3 * right.max()
    assert set(frame[frame.world == SMALL].bias) == {0.1}


def test_another_file_is_refused(tmp_path):
    path = write_arrays(tmp_path / "x.npz", {"rows": np.zeros(3, np.uint8)})
    with pytest.raises(InputError, match="not a file of records"):
        report_study(STUDIES["probe"], path, tmp_path)
    header = study_header("other", "made", quick=False)
    path = save_study(tmp_path, header, {"x": np.zeros(3)})
    with pytest.raises(InputError, match="records of other, not of probe"):
        report_study(STUDIES["probe"], path, tmp_path)
    path = save_stored(tmp_path / "x.npz", {"grid": "probe"}, {"x": np.zeros(3)})
    with pytest.raises(InputError, match="no dataset and no quick"):
        report_study(STUDIES["probe"], path, tmp_path)
    path = save_study(tmp_path, {**header, "grid": "dial"}, {"x": np.zeros(3)})
    with pytest.raises(InputError, match=r"dial.npz: not what study dial reads"):
        report_study(STUDIES["dial"], path, tmp_path)
    header["grid"] = "probe"
    path = save_study(tmp_path, header, {"x": np.zeros(3)})
    with pytest.raises(
        InputError, match=r"not what study probe reads .*; older .* commit 58129723"
    ):
        report_study(STUDIES["probe"], path, tmp_path)
    header["results_version"] = RECORDS_VERSION + 1
    path = save_study(tmp_path, header, {"x": np.zeros(3)})
    with pytest.raises(InputError, match=f"of version {RECORDS_VERSION + 1}"):
        report_study(STUDIES["probe"], path, tmp_path)
