"""Stored records: what comes back, how large it is, and that bytes don't wander."""

import lzma
import os
import resource
import time

import numpy as np
import pytest

from research.files import read_arrays, replace, write_arrays
from research.report.records import (
    RECORDS_VERSION,
    RunResult,
    Stacks,
    load_records,
    load_stored,
    pack,
    read_header,
    save_records,
    save_stored,
    unpack,
    unstacked,
)
from research.report.tables import table
from research.types import InputError, check
from tests.report.made import made_record, made_rows, without


def fields(record):
    """A record's arrays by name, its columns among them."""
    arrays = {**record._asdict(), **record.columns, "depth": np.array(record.depth)}
    return {**arrays, "columns": None}


def same(a, b):
    one, two = fields(a), fields(b)
    assert list(one) == list(two)
    for name in one.keys() - {"columns"}:
        assert one[name].dtype == two[name].dtype, name
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_packed_record_comes_back():
    record = made_record(0)
    check(unpack(pack(record)))
    same(unpack(pack(record)), record)
    assert pack(record)["exposure"].dtype == np.uint8
    wide = record._replace(exposure=record.exposure + 70_000, item_counts=record.ks)
    assert pack(wide)["exposure"].dtype == np.uint32
    same(unpack(pack(wide)), wide)


OPTIONAL = ("expansion", "outside_genres", "repulsion", "distinct")
METRICS = ("recall_expansion", "outside_genres", "repulsion", "distinct_lists")


def test_a_record_of_before_these_columns_still_loads_and_reports(tmp_path):
    rows = made_rows()
    older = without(rows, *OPTIONAL)
    assert not set(OPTIONAL) & pack(older[0].record).keys()
    loaded = load_records(save_records(tmp_path / "old.npz", older))
    for before, after in zip(older, loaded, strict=True):
        same(before.record, check(after.record))
    frame, newer = table(loaded, "in-batch"), table(rows, "in-batch")
    assert set(newer.metric) - set(frame.metric) == set(METRICS)  # absent, not zero
    there = newer[~newer.metric.isin(METRICS)].reset_index(drop=True)
    assert frame.equals(there)


def deep(record):
    """A record of today, with ranks to 500 and items."""
    rank = record.rank.astype(np.uint16) * 5
    columns = record.columns | {"item": np.arange(len(rank)) % 1447}
    return record._replace(rank=rank, columns=columns, depth=500)


def test_ranks_and_items_take_the_least_type_that_holds_them(tmp_path):
    record = deep(made_record(0, users=300, items=1447))
    packed = pack(record)
    assert packed["rank"].dtype == packed["item"].dtype == np.uint16
    run = RunResult("a", {}, 0, record)
    (loaded,) = load_records(save_records(tmp_path / "new.npz", [run]))
    assert loaded.record.depth == 500
    same(check(loaded.record), record)
    near = record._replace(rank=np.minimum(record.rank, 255))
    assert pack(near)["rank"].dtype == np.uint8
    assert unpack(pack(near)).depth == 500  # told, and not taken from the type


def test_a_record_without_what_every_record_has_is_refused():
    arrays = pack(made_record(0))
    del arrays["exposure"]
    with pytest.raises(KeyError):
        unpack(arrays)


def test_columns_are_halved_where_they_fit_and_an_overflow_is_told():
    record = made_record(0)

    def changed(**columns):
        return record._replace(columns=record.columns | columns)

    fine = changed(novelty=np.full(len(record.held), 1 / 3))
    assert unpack(pack(fine)).columns["novelty"][0] == np.float16(1 / 3)
    missing = changed(ild=record.columns["ild"] * np.nan)
    assert np.isnan(unpack(pack(missing)).columns["ild"]).all()
    large = changed(train_count=np.full(len(record.held), 70_000.5))
    assert unpack(pack(large)).columns["train_count"][0] == 70_000.5
    with pytest.raises(ValueError, match=r"train_count: 1e\+39 overflows"):
        pack(changed(train_count=np.full(len(record.held), 1e39)))
    with pytest.raises(ValueError, match="item_counts: the count -1"):
        pack(record._replace(item_counts=record.item_counts - 1))


def test_rows_come_back(tmp_path):
    curve = {"loss": [1.0, 0.1, float("nan")], "step": [10.0, 20.0, 30.0]}
    rows = [
        *made_rows(),
        RunResult(
            "swept", {"temperature": 0.1, "alpha": -1.0}, 7, made_record(5), "", curve
        ),
        RunResult("lost", {}, 0, None, "loss not finite at step 412", {}),
    ]
    path = save_records(tmp_path / "grid.npz", rows, {"grid": "made"})
    loaded = load_records(path)
    for before, after in zip(rows, loaded, strict=True):
        assert before._replace(record=None, history=None) == after._replace(
            record=None, history=None
        )
        assert (before.record is None) == (after.record is None)
        if before.record is not None:
            same(before.record, after.record)
    assert loaded[-1].history == {}
    assert loaded[0].history is None
    stored = {name: np.float32(values).tolist() for name, values in curve.items()}
    np.testing.assert_equal(loaded[-2].history, stored)
    header = {"results_version": RECORDS_VERSION, "grid": "made"}
    assert read_header(path) == header
    assert table(loaded[:12], "in-batch").equals(table(rows[:12], "in-batch"))


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path, monkeypatch):
    rows = made_rows()
    first = save_records(tmp_path / "a.npz", rows)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    second = save_records(tmp_path / "b.npz", load_records(first))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_what_rows_share_is_stored_once(tmp_path):
    record = made_record(0, users=500, items=900)
    one = save_records(tmp_path / "1.npz", [RunResult("a", {}, 0, record)])
    rows = [RunResult("a", {}, seed, record) for seed in range(5)]
    five = save_records(tmp_path / "5.npz", rows)
    assert five.stat().st_size < 1.05 * one.stat().st_size
    other = made_record(1, users=500, items=900)
    two = save_records(tmp_path / "2.npz", [rows[0], RunResult("a", {}, 1, other)])
    sizes = {values.shape[-1] for values in read_arrays(two).values()}
    assert sizes >= {1, 2}  # what they share, and what is each one's own
    loaded = load_records(two)
    same(loaded[0].record, check(record))
    same(loaded[1].record, check(other))


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f2", "<f4", "<i8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5)])
def test_stacked_arrays_come_back(dtype, shape):
    rng = np.random.default_rng(1)
    values = [rng.integers(0, 99, shape).astype(dtype) for _ in range(3)]
    stacks = Stacks()
    places = [stacks.put("a", v) for v in [*values, values[0]]]
    assert places[3] == places[0]
    assert stacks.put("b", values[0])[0] != places[0][0]
    arrays = unstacked(stacks.arrays(), stacks.types())
    for (name, index), before in zip(places, values):
        assert arrays[name].dtype == before.dtype
        np.testing.assert_array_equal(arrays[name][index], before)


def test_a_run_is_small(tmp_path):
    record = made_record(0, users=942, items=1447)
    path = save_records(tmp_path / "r.npz", [RunResult("a", {}, 0, record)])
    assert path.stat().st_size < 25_000
    older = without([RunResult("a", {}, 0, record)], *OPTIONAL)
    path = save_records(tmp_path / "r.npz", older)
    assert path.stat().st_size < 20_000
    assert sum(values.nbytes for values in pack(record).values()) > 25_000


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_records(tmp_path / "a.npz", made_rows())
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        save_records(path, [])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short", None])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz: not readable"):
        load_records(path)


def test_arrays_that_are_no_records_are_refused(tmp_path):
    path = write_arrays(tmp_path / "x.npz", {"a": np.zeros(3)})
    for read in (load_records, read_header):
        with pytest.raises(InputError, match=r"x\.npz: not a file of records"):
            read(path)
    np.savez(tmp_path / "pickled.npz", rows=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="not readable"):
        load_records(tmp_path / "pickled.npz")


def test_records_of_another_version_are_refused_whatever_they_hold(tmp_path):
    header = {"results_version": RECORDS_VERSION + 1}
    words = (
        f"of version {RECORDS_VERSION + 1}, this code reads version {RECORDS_VERSION}"
    )
    grid = save_records(tmp_path / "grid.npz", made_rows(), header)
    study = save_stored(tmp_path / "study.npz", header, {"a": np.zeros(2)})
    for path, load in ((grid, load_records), (study, load_stored), (grid, read_header)):
        with pytest.raises(InputError, match=words):
            load(path)


def test_a_study_is_no_grid(tmp_path):
    path = save_stored(tmp_path / "x.npz", {}, {"a": np.arange(3)}, lags=[1, 2])
    stored = load_stored(path, "lags")
    assert stored.content == {"lags": [1, 2]}
    assert stored.arrays["a"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"x\.npz: not a file of records .*no rows"):
        load_records(path)


def test_a_file_that_cant_be_written_whole_is_named(tmp_path):
    """As on a full disk, whose errors name no file: here a limit of its size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as raised:
            replace(tmp_path / "some.csv", b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.filename == str(tmp_path / "some.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_takes_the_order_of_axes_that_compresses_better(tmp_path):
    """An array and its transpose take as much space; all are read back."""
    draw = np.random.default_rng(0)
    steps = draw.integers(-1, 2, (20, 3000)) * (draw.random((20, 3000)) < 0.08)
    held = draw.integers(2, 60, 3000)
    by_user = (np.cumsum(steps, axis=0) % held / held).astype(np.float16)
    arrays = {"a": by_user, "b": by_user.T.copy(), "c": np.arange(3), "d": np.array(2)}
    path = write_arrays(tmp_path / "small.npz", arrays, small=True)
    alone = [
        write_arrays(tmp_path / f"{name}.npz", {name: arrays[name]}, small=True)
        for name in "ab"
    ]
    sizes = [one.stat().st_size for one in alone]
    assert max(sizes) < 1.1 * min(sizes)
    orders = [len(lzma.compress(by_user.tobytes(order))) for order in "CF"]
    assert max(sizes) < 1.1 * min(orders)
    for name, values in read_arrays(path).items():
        np.testing.assert_array_equal(values, arrays[name])
        assert values.dtype == arrays[name].dtype
