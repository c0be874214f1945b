"""Records, tables and figures of the probe, from made numbers."""

import numpy as np
import pytest

from experiments.studies.probe.archive import Archive, load_archive, save_archive
from experiments.studies.probe.bias import Probe
from experiments.studies.probe.estimates import Estimate, products
from experiments.studies.probe.forms import FORMS
from experiments.studies.probe.negatives import Seen
from experiments.studies.probe.points import TARGETS
from experiments.studies.probe.run import write_findings
from experiments.studies.probe.runner import FAITHFUL, SMALL, ZERO, Measurement
from experiments.studies.probe.tables import bias_table, page, seen_table
from research.files import write_arrays
from research.types import InputError


def made_archive():
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 50, 40)

    def one(cell):
        size = 0.7 if cell.form == "in-batch" else 0.02
        errors = size + 0.1 * draw.normal(size=(4, 5))
        kept = {t: products(errors, np.ones(5), 2) for t in TARGETS}
        return cell, Probe(kept, draw.normal(size=(4, 10)))

    cells = [
        Measurement("made", model, "fitted", form, False, "per row", n, question)
        for model in ("untrained", "trained")
        for form in FORMS
        for n in (16, 64)
        for question in (ZERO, FAITHFUL)
    ]
    small = [
        (
            Measurement(SMALL, "made", "whole", f, m, "per row", n, ZERO),
            Estimate(0.1, 0, 1, 2),
        )
        for f in FORMS
        for m in (False, True)
        for n in (2, 4)
    ]
    seen = {"trained": {"in-batch": Seen(counts, 0.5, 0.7, 0.2)}}
    drifts = {12: (np.array([12, 24]), np.array([0.5, 0.25], np.float32))}
    header = {"dataset": "made", "rows": 8, "quick": True}
    return Archive(header, [one(c) for c in cells], small, seen, counts, drifts)


def test_tables_and_figures_come_from_the_records_alone(tmp_path):
    archive = made_archive()
    path = save_archive(tmp_path / "probe.npz", archive)
    first = path.read_bytes()
    read = load_archive(path)
    assert save_archive(path, read).read_bytes() == first
    written = write_findings(read, tmp_path / "a" / "probe", tmp_path / "a" / "probe")
    again = write_findings(read, tmp_path / "b" / "probe", tmp_path / "b" / "probe")
    assert len(written) == 4 + 3 * 5
    for one, two in zip(written, again, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_page_says_what_is_right_and_what_is_measured():
    archive = made_archive()
    frame = bias_table(archive)
    text = page(archive, frame, seen_table(archive))
    assert "n = 64" in text
    assert "A quick run" in text
    line = next(line for line in text.splitlines() if line.startswith("| `in-batch` |"))
    assert line.split("|")[2].strip() == "no"
    wrong = frame[(frame.form == "in-batch") & (frame.world == "made")].bias
    right = frame[(frame.form == "in-batch+logq") & (frame.world == "made")].bias
    assert wrong.min() > 3 * right.max()


def test_another_file_is_refused(tmp_path):
    path = write_arrays(tmp_path / "x.npz", {"rows": np.zeros(3, np.uint8)})
    with pytest.raises(InputError, match="not a file of records"):
        load_archive(path)
