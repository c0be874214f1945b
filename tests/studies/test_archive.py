"""Records, tables and figures of the probe, from made numbers."""

import numpy as np
import pytest

from experiments.output.folders import RECORDS_VERSION
from experiments.studies import STUDIES
from experiments.studies.probe.archive import (
    FAITHFUL,
    SMALL,
    ZERO,
    Archive,
    Measurement,
    archive_of,
    bias_table,
    negatives_table,
    probe_page,
    save_archive,
)
from experiments.studies.probe.bias import TARGETS, Probe
from experiments.studies.probe.estimates import BiasEstimate, products
from experiments.studies.probe.estimators import ESTIMATORS
from experiments.studies.probe.negatives import SourceSample
from experiments.study import report_study, save_study
from research.files import write_arrays
from research.report.records import load_stored, save_stored, study_header
from research.types import InputError


def made_archive():
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 50, 40)

    def one(cell):
        size = 0.7 if cell.estimator == "in-batch" else 0.02
        errors = size + 0.1 * draw.normal(size=(4, 5))
        kept = {t: products(errors, np.ones(5), 2) for t in TARGETS}
        return cell, Probe(kept, draw.normal(size=(4, 10)))

    cells = [
        Measurement("made", model, "fitted", form, False, "per row", n, question)
        for model in ("untrained", "trained")
        for form in ESTIMATORS
        for n in (16, 64)
        for question in (ZERO, FAITHFUL)
    ]
    small = [
        (
            Measurement(SMALL, "made", "whole", f, m, "per row", n, ZERO),
            BiasEstimate(0.1, 0, 1, 2),
        )
        for f in ESTIMATORS
        for m in (False, True)
        for n in (2, 4)
    ]
    samples = {"trained": {"in-batch": SourceSample(counts, 0.5, 0.7, 0.2)}}
    drifts = {12: (np.array([12, 24]), np.array([0.5, 0.25], np.float32))}
    header = study_header("probe", "made", quick=True, rows=8)
    return Archive(header, [one(c) for c in cells], small, samples, counts, drifts)


@pytest.mark.slow
def test_tables_and_figures_come_from_the_records_alone(tmp_path):
    archive = made_archive()
    path = save_archive(tmp_path, archive)
    first = path.read_bytes()
    assert save_archive(tmp_path, archive_of(load_stored(path))).read_bytes() == first
    written = report_study(STUDIES["probe"], path, tmp_path / "a")
    again = report_study(STUDIES["probe"], path, tmp_path / "b")
    assert len(written) == 4 + 3 * 5
    assert len(list((tmp_path / "a" / "tables" / "made").iterdir())) == 4
    page = (tmp_path / "a" / "tables" / "made" / "probe.md").read_text()
    assert "A quick run" in page
    for one, two in zip(written, again, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_page_says_what_is_right_and_what_is_measured():
    archive = made_archive()
    frame = bias_table(archive)
    text = "\n".join(probe_page(archive, frame, negatives_table(archive)))
    assert "n = 64" in text
    line = next(line for line in text.splitlines() if line.startswith("| `in-batch` |"))
    assert line.split("|")[2].strip() == "no"
    wrong = frame[(frame.form == "in-batch") & (frame.world == "made")].bias
    right = frame[(frame.form == "in-batch+logq") & (frame.world == "made")].bias
    assert wrong.min() > 3 * right.max()


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
    with pytest.raises(InputError, match="not a file of the probe"):
        report_study(STUDIES["probe"], path, tmp_path)
    header["results_version"] = RECORDS_VERSION + 1
    path = save_study(tmp_path, header, {"x": np.zeros(3)})
    with pytest.raises(InputError, match=f"of version {RECORDS_VERSION + 1}"):
        report_study(STUDIES["probe"], path, tmp_path)
