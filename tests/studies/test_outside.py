"""The outside ledger: its verdicts, its cells, and a run on made data."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies import StudyOptions
from experiments.studies.outside import (
    CELLS,
    METRIC_NAMES,
    RUNS,
    Cell,
    read_cells,
    run_outside,
)
from experiments.studies.outside.report import (
    AGREES,
    DIFFERS,
    UNEXPLAINED,
    ledger,
    report_outside,
)
from research.baselines import option_values
from research.report.records import Stored, load_stored, save_stored
from research.types import InputError
from tests.test_repository import ROOT


def made(mean, error=0.0) -> Stored:
    """Records of two runs and one metric; mean [run, split]."""
    mean = np.array(mean, float)[..., None]
    header = {"runs": ["one", "other"], "metrics": ["recall"], "k": 10}
    arrays = {"mean": mean, "error": np.full(mean.shape, error)}
    return Stored({**header, "quick": False}, {}, arrays)


def cell(value: float, because: str = "") -> Cell:
    return Cell("key", "t", "p", "d", "row", "recall", 10, value, "one", because)


def verdict(stored: Stored, value: float, because: str = "") -> tuple[str, str]:
    row = ledger(stored, [cell(value, because)]).iloc[0]
    return row.verdict, row.reason


def test_a_cell_agrees_within_two_errors_of_splits_and_users():
    # splits: sd 0.03, so 0.03 / sqrt(9) = 0.01 of the mean; users 0.0075: 0.0125
    nine = 0.2 + 0.03 * np.sqrt(8 / 6) * np.repeat([-1.0, 0.0, 1.0], 3)
    stored = made([nine, nine], error=0.0075)
    row = ledger(stored, [cell(0.2)]).iloc[0]
    assert row.error_splits == pytest.approx(0.01)
    assert row.error == pytest.approx(0.0125)
    assert verdict(stored, 0.2249) == verdict(stored, 0.1751) == (AGREES, "")
    assert verdict(stored, 0.2251) == verdict(stored, 0.1749) == (UNEXPLAINED, "")


def test_a_difference_is_explained_only_by_a_run_that_agrees():
    stored = made([[0.20, 0.21], [0.30, 0.31]])
    assert verdict(stored, 0.305) == (UNEXPLAINED, "")
    assert verdict(stored, 0.305, "other") == (DIFFERS, "other")
    assert verdict(stored, 0.4, "other") == (UNEXPLAINED, "")
    assert verdict(stored, 0.305, "absent") == (UNEXPLAINED, "")
    assert verdict(stored, 0.205, "other") == (AGREES, "")


def test_one_split_gives_no_verdict():
    assert verdict(made([[0.2], [0.3]], error=0.01), 0.2) == ("", "")


def test_the_cells_are_well_formed():
    cells = read_cells()
    assert len(cells) >= 20
    assert len({(c.row, c.metric, c.k) for c in cells}) == len(cells)
    references = (ROOT / "docs" / "references.md").read_text()
    for c in cells:
        assert f'<a id="{c.source}">' in references
        assert c.table
        assert c.page
        assert c.dataset
        assert c.metric in METRIC_NAMES
        assert c.run in RUNS
        assert c.because in ("", *RUNS)
        assert 0 < c.value < 1
    for run in RUNS.values():
        option_values(run.model, run.options)
    assert CELLS.read_text().startswith(",".join(Cell._fields) + "\n")


def test_from_made_pairs_to_the_table_and_a_changed_record_to_another_verdict(tmp_path):
    draw = np.random.default_rng(0)
    folder = tmp_path / "data" / "ml-1m-ge3"
    folder.mkdir(parents=True)
    users, items = np.nonzero(draw.random((60, 30)) < 0.5)
    pairs = pd.DataFrame({"user": users, "item": items})
    pairs.to_csv(folder / "interactions-unsplit.csv.gz", index=False)
    options = StudyOptions(
        tmp_path / "out", data_dir=str(tmp_path / "data"), seeds=2, quick=True
    )
    records = run_outside(options)
    stored = load_stored(records)
    assert stored.arrays["mean"].shape == (2, 2, len(METRIC_NAMES))
    mean = dict(zip(METRIC_NAMES, stored.arrays["mean"][0, 0]))
    assert mean["mrr"] <= mean["hit"]
    assert mean["precision"] < mean["recall"]  # fewer held out than slots
    assert (stored.arrays["mean"][0, 0] != stored.arrays["mean"][0, 1]).any()
    table, page = report_outside(records, tmp_path / "out")
    before = pd.read_csv(table)
    assert set(before.run) == {"ease-1000"}
    assert "A quick run" in page.read_text()

    moved = {**stored.arrays, "mean": np.full_like(stored.arrays["mean"], 0.2139)}
    save_stored(records, stored.header, moved)
    report_outside(records, tmp_path / "out")
    recall = pd.read_csv(table).set_index("metric").loc["recall"]
    assert recall.verdict == AGREES
    save_stored(records, stored.header, {**moved, "mean": moved["mean"] + 0.5})
    report_outside(records, tmp_path / "out")
    assert pd.read_csv(table).set_index("metric").loc["recall"].verdict == UNEXPLAINED


@pytest.mark.parametrize("place", [None, "nowhere"])
def test_without_its_data_it_is_refused(tmp_path, place):
    with pytest.raises(InputError, match=r"ml-1m-ge3"):
        run_outside(StudyOptions(tmp_path, data_dir=place))
