"""The long table: its columns, its pairs, its holes, its file."""

import numpy as np
import pandas as pd
import pytest

from research.evaluate.metrics import METRICS, Key, metric_values
from research.report.intervals import over_seeds
from research.report.pages import csv_text, read_table, write_report, write_texts
from research.report.records import RunResult
from research.report.tables import marked_table, swept_columns, table, typed, wide
from research.types import InputError
from tests.report.made import (
    crossed,
    difference_of,
    made_record,
    made_rows,
    paired,
    swept_rows,
)

COLUMNS = ["arm", "metric", "k", "mean", "low", "high", "seeds", "users"]
COLUMNS += ["temperature"]
TAIL = ["against", "delta", "delta_low", "delta_high", "note"]
SWEPT = ["temperature"]


@pytest.fixture(scope="module")
def rows():
    return made_rows()


@pytest.fixture(scope="module")
def frame(rows):
    return table(rows, "in-batch")


def cell(frame, arm, metric, k=20):
    cells = frame[(frame.arm == arm) & (frame.metric == metric) & (frame.k == k)]
    assert len(cells) == 1
    return cells.iloc[0]


def values(rows, arm, key):
    records = [row.record for row in rows if row.arm == arm]
    return np.stack([metric_values(record)[key] for record in records], axis=1)


def broken(rows, arm, seed, reason="loss not finite at step 412"):
    return [
        row._replace(record=None, reason=reason)
        if (row.arm, row.seed) == (arm, seed)
        else row
        for row in rows
    ]


def test_columns_and_rows(rows, frame):
    assert list(frame.columns) == COLUMNS + TAIL
    assert list(dict.fromkeys(frame.arm)) == list(dict.fromkeys(r.arm for r in rows))
    measured = [n for n, metric in METRICS.items() if not metric.absent(rows[0].record)]
    assert list(dict.fromkeys(frame.metric)) == measured
    assert set(METRICS) - set(measured) == {"recall_ips"}  # needs impressions
    assert set(frame.k[frame.metric == "mrr"]) == {10, 20, 50, 100}
    assert set(frame.k[frame.metric == "train_count"]) == {20}
    assert set(frame.seeds) == {3}


@pytest.mark.parametrize("metric", ["recall", "recall_tail", "novelty"])
def test_per_user_numbers_are_two_way(rows, frame, metric):
    arm, reference = (
        values(rows, name, Key(metric, 20)) for name in ("full-softmax", "in-batch")
    )
    row = cell(frame, "full-softmax", metric)
    expected = crossed(arm)
    assert tuple(row[["mean", "low", "high"]]) == pytest.approx(expected, rel=1e-5)
    delta = tuple(row[["delta", "delta_low", "delta_high"]])
    assert delta == pytest.approx(paired(arm, reference), rel=1e-5)
    assert row["users"] == (~np.isnan(arm[:, 0])).sum()
    assert row["against"] == "in-batch"


def test_whole_set_numbers_are_t_over_seeds(rows, frame):
    key = Key("coverage", 10)
    arm, reference = (
        np.array([metric_values(r.record)[key] for r in rows if r.arm == name])
        for name in ("full-softmax", "in-batch")
    )
    row = cell(frame, "full-softmax", "coverage", 10)
    interval = tuple(row[["mean", "low", "high"]])
    assert interval == pytest.approx(over_seeds(arm).interval(), rel=1e-5)
    delta = tuple(row[["delta", "delta_low", "delta_high"]])
    assert delta == pytest.approx(over_seeds(arm - reference).interval(), rel=1e-5)


def test_swept_values_are_paired_at_the_same_value():
    rows = swept_rows()
    rows += [RunResult("popularity", {}, s, made_record(0)) for s in range(3)]
    frame = table(rows, "in-batch", SWEPT)
    assert list(frame.columns) == COLUMNS + TAIL
    assert frame.temperature[frame.arm == "popularity"].isna().all()
    assert (frame.against[frame.arm == "popularity"] == "").all()
    at = wide(frame, ["recall"], 20)
    means = at.set_index(["arm", "temperature"]).recall
    part = frame[(frame.metric == "recall") & (frame.k == 20)]
    for row in part[part.arm == "full-softmax"].itertuples():
        reference = means["in-batch", row.temperature]
        assert row.delta == pytest.approx(row.mean - reference, abs=3e-6)
    pd.testing.assert_frame_equal(frame, table(rows, "in-batch"))


def test_a_hole_is_a_hole(rows, frame):
    holed = table(broken(rows, "full-softmax", 1), "in-batch")
    lost = holed[holed.arm == "full-softmax"]
    assert len(lost) == (frame.arm == "full-softmax").sum()
    numbers = ["mean", "low", "high", "delta", "delta_low", "delta_high"]
    assert lost[numbers].isna().all(axis=None)
    assert (lost.note == "failed: loss not finite at step 412 (seed 1)").all()
    assert (lost.seeds == 0).all()
    others = frame[frame.arm != "full-softmax"]
    pd.testing.assert_frame_equal(holed[holed.arm != "full-softmax"], others)


def test_a_hole_in_the_reference_leaves_no_difference(rows):
    holed = table(broken(broken(rows, "in-batch", 0), "in-batch", 2), "in-batch")
    row = cell(holed, "full-softmax", "recall")
    assert row["note"] == (
        "no difference: in-batch failed: loss not finite at step 412 (seeds 0, 2)"
    )
    assert np.isnan(row["delta"])
    assert row["against"] == ""
    assert row["mean"] > 0


def test_all_failed_is_still_a_table(rows):
    lost = table([row._replace(record=None, reason="") for row in rows], "in-batch")
    assert (lost.note == "failed: no reason given (seeds 0, 1, 2)").all()
    assert set(lost.metric) == set(METRICS)


def test_a_band_without_positives_says_so(rows):
    bare = [
        row._replace(record=row.record._replace(band=row.record.band * 0))
        for row in rows
    ]
    row = cell(table(bare, "in-batch"), "full-softmax", "recall_tail")
    assert np.isnan(row["mean"])
    assert row["users"] == 0
    assert row["note"] == "no user counts"


def test_the_file_read_back_is_the_table(tmp_path, rows):
    frame = table(broken(rows, "popularity", 0, reason='a, "b" | c'), "in-batch")
    write_texts(tmp_path / "a.b", {".csv": frame})
    path = tmp_path / "a.b.csv"
    pd.testing.assert_frame_equal(read_table(path), frame, check_exact=True)
    assert csv_text(read_table(path)) == path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["a.b.csv"]


def test_a_difference_of_rounding_alone_is_0():
    one = dict.fromkeys(("k", "seeds", "users"), 1) | {"arm": "a", "against": "b"}
    deltas = [0.1 + 0.2 - 0.3, -1e-19, 1e-9, np.nan]
    assert deltas[0] != 0
    found = typed(pd.DataFrame([one | {"delta": d, "p": 1e-19} for d in deltas]))
    assert found.delta.tolist()[:3] == [0, 0, 1e-9]
    assert np.isnan(found.delta[3])
    assert (found.p == 1e-19).all()


def test_an_arm_may_have_an_odd_name(tmp_path):
    rows = [RunResult(arm, {}, 0, made_record(0)) for arm in ("nan", "null", "1")]
    frame = table(rows, "null")
    write_texts(tmp_path / "t", {".csv": frame})
    assert list(dict.fromkeys(read_table(tmp_path / "t.csv").arm)) == [
        "nan",
        "null",
        "1",
    ]


def test_marks_are_best_and_what_its_paired_interval_includes(rows, frame):
    _, marked = marked_table(rows, "in-batch")
    assert len(marked) == len(frame)
    recall = frame[(frame.metric == "recall") & (frame.k == 20)]
    best = recall.loc[recall["mean"].idxmax()]
    of_best = values(rows, best.arm, Key("recall", 20))
    for row in recall.itertuples():
        gap = paired(values(rows, row.arm, Key("recall", 20)), of_best)
        tied = "tie" if gap.low <= 0 <= gap.high else ""
        assert marked[row.Index] == ("best" if row.arm == best.arm else tied)
    assert sorted(set(marked[recall.index])) == ["", "best", "tie"]
    assert set(marked[frame.metric.isin(["coverage", "train_count"])]) == {""}
    at_20 = marked.where(frame.k == 20, "")
    _, some = marked_table(rows, "in-batch", ks=[20])
    pd.testing.assert_series_equal(some, at_20)


def test_runs_that_are_not_one_table_are_refused(rows):
    with pytest.raises(ValueError, match=r"seed twice among \[0, 0, 1, 2\]"):
        table([*rows, rows[0]], "in-batch")
    with pytest.raises(ValueError, match=r"seeds \[0, 1, 2\], popularity \[0, 1\]"):
        table(rows[:-1], "in-batch")
    fewer = rows[0].record._replace(ks=np.array([11, 21, 51, 99]))
    with pytest.raises(ValueError, match="common cut-off"):
        table([rows[0]._replace(record=fewer), *rows[1:]], "in-batch")
    other = [RunResult("other", {}, s, made_record(s, users=39)) for s in range(3)]
    with pytest.raises(ValueError, match="39 users, in-batch over 40"):
        table([*rows, *other], "in-batch")
    with pytest.raises(ValueError, match="different users"):
        table([*other[:2], other[2]._replace(record=made_record(1))], "other")


@pytest.mark.parametrize("named", [False, True])
def test_runs_of_other_splits_are_not_paired_by_user(named):
    """As many users, each with as many positives, but other ones, are not paired."""
    record = made_record(0)
    held = np.roll(record.held, 1)
    items = np.arange(len(record.rank)) % 60
    other = record._replace(held=held)
    if named:
        record = record._replace(columns={**record.columns, "item": items})
        other = record._replace(columns={**record.columns, "item": items[::-1]})
    rows = [RunResult("one", {}, 0, record), RunResult("two", {}, 0, other)]
    frame = table(rows, "one")
    two = frame[frame.arm == "two"]
    assert two.delta.isna().all()
    assert set(two.note) == {"no difference: one is judged by other positives"}
    assert set(marked_table(rows, "one")[1]) == {""}
    with pytest.raises(InputError, match="judged by other positives"):
        difference_of(rows, "two", "one")
    alike = [rows[0], rows[0]._replace(arm="two")]
    assert table(alike, "one").delta.notna().any()


def test_a_swept_cell_without_its_own_reference_is_held_against_the_unswept_one():
    rows = [
        RunResult("base", {}, 0, made_record(seed=0)),
        RunResult("other", {"draws": 64}, 0, made_record(seed=1)),
        RunResult("other", {"draws": 256}, 0, made_record(seed=2)),
    ]
    frame = table(rows, "base", ["draws"])
    recall = frame[(frame.metric == "recall") & (frame.k == 20)].set_index("draws")
    assert list(recall.against.loc[[64.0, 256.0]]) == ["base", "base"]
    base = recall[recall.arm == "base"]["mean"].iloc[0]
    gap = recall.loc[64.0, "mean"] - base
    assert abs(recall.loc[64.0, "delta"] - gap) < 1e-5


def test_a_swept_cell_over_other_users_has_no_difference_from_the_unswept_one():
    rows = [
        RunResult("base", {}, 0, made_record(seed=0)),
        RunResult("other", {"draws": 64}, 0, made_record(seed=1, users=39)),
    ]
    frame = table(rows, "base", ["draws"])
    other = frame[frame.arm == "other"]
    assert other.delta.isna().all()
    assert set(other.note) == {"no difference: base is over other users"}


def deeper(row):
    """The run as it would be recorded today, with ranks to 500 and one cut-off more."""
    record = row.record
    exposure = np.vstack([record.exposure, record.exposure[-1:]])
    columns = record.columns | {"distinct": np.append(record.columns["distinct"], 1)}
    return row._replace(
        record=record._replace(
            ks=np.append(record.ks, 200),
            rank=record.rank.astype(np.uint16) * 5,
            exposure=exposure,
            columns=columns,
            depth=500,
        )
    )


def test_a_table_has_the_cut_offs_that_all_its_records_have(tmp_path, rows):
    new = [deeper(row) for row in rows]
    assert set(table(new, "in-batch").k) == {10, 20, 50, 100, 200}
    mixed = [*new[:-1], rows[-1]]
    frame = write_report(mixed, "in-batch", tmp_path / "t", "T")
    assert set(frame.k) == {10, 20, 50, 100}
    kept = table(new, "in-batch").query("k <= 100 and arm != 'popularity'")
    pd.testing.assert_frame_equal(
        frame[frame.arm != "popularity"].reset_index(drop=True),
        kept.reset_index(drop=True),
    )
    (line,) = [x for x in (tmp_path / "t.md").read_text().splitlines() if "left" in x]
    assert line == (
        "Cut-off 200 left out: 1 of 12 runs are recorded without it, such as"
        " `popularity`, seed 2."
    )
    write_report(new, "in-batch", tmp_path / "t", "T")
    assert "left out" not in (tmp_path / "t.md").read_text()


def test_every_row_states_the_temperature_of_its_runs(tmp_path):
    """That of the settings, else of the sweep, else none."""
    records = [made_record(seed) for seed in range(4)]
    curve = {"temperature": [1.0, float(np.float32(0.07))], "loss": [2.0, 1.0]}
    rows = [
        RunResult("told", {}, 0, records[0], "", curve, {"temperature": 0.3}),
        RunResult("swept", {"temperature": 0.15}, 0, records[1], "", curve),
        RunResult("baseline", {}, 0, records[3]),
        RunResult("lost", {}, 0, None, "why", None, {"temperature": 0.2}),
    ]
    frame = write_report(rows, "told", tmp_path / "t", "T", SWEPT)
    stated = frame.groupby("arm", sort=False).temperature.agg(["min", "max"])
    expected = {"told": 0.3, "swept": 0.15, "lost": 0.2}
    for arm, value in expected.items():
        assert stated.loc[arm].tolist() == [value, value], arm
    assert stated.loc["baseline"].isna().all()
    assert swept_columns(frame) == []  # no arm has two
    text = (tmp_path / "t.md").read_text()
    assert "| arm | temperature |" in text
    for row in ("| `told` | 0.3 |", "| `baseline` | - |"):
        assert row in text
    assert swept_columns(table(swept_rows(), "in-batch")) == SWEPT


def test_a_reference_that_no_run_has_is_refused(rows):
    with pytest.raises(InputError, match="unknown reference 'in-bach'"):
        table(rows, "in-bach")
