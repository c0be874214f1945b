"""Records of trials, which keep what a choice is made by and little else."""

import pandas as pd
import pytest

from experiments.collect import BRIEF, brief
from experiments.grids import GRIDS
from research.report.pages import write_report
from research.report.records import RunResult, load_records, save_records
from tests.report.made import made_rows


@pytest.mark.parametrize("places", [20, 100])
def test_a_brief_record_keeps_the_metrics_that_choose(places, tmp_path):
    runs = [run._replace(history={"loss": [2.0, 1.0]}) for run in made_rows()]
    short = [brief(run, places) for run in runs]
    assert all(run.history is None for run in short)
    assert all(set(run.record.columns) <= set(BRIEF) for run in short)
    whole, less = (
        save_records(tmp_path / f"{name}.npz", rows)
        for name, rows in (("whole", runs), ("less", short))
    )
    assert less.stat().st_size < whole.stat().st_size
    tables = [
        write_report(load_records(path), "in-batch", path.with_suffix(""), "Which?", [])
        for path in (whole, less)
    ]
    of_both = ["coverage", "gini", "ndcg", "recall", "recall_item"]
    kept = [t[t.metric.isin(of_both) & t.k.isin([20, places])] for t in tables]
    assert sorted(kept[1].metric.unique()) == of_both
    pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in kept))
    assert "ild" in set(tables[0].metric)
    assert "ild" not in set(tables[1].metric)
    assert set(tables[1].k.dropna()) == {20, places}


def test_a_failed_run_stays_as_it_is():
    failed = RunResult("in-batch", {}, 0, reason="loss not finite at step 4")
    assert brief(failed, 20) == failed


def test_only_grids_that_choose_keep_no_more_than_a_list_of_20():
    assert {name for name, grid in GRIDS.items() if 0 < grid.keep_places <= 20} == {
        *("tuning", "tuning-variants", "tuning-prior"),
    }
