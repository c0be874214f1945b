"""Damaged files: named, never used; a run is done again, records are refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiments.output.seals import read_metrics, why_unfinished
from research.files import read_arrays, read_json, write_arrays
from research.report.records import (
    CONTENT,
    load_records,
    load_stored,
    save_records,
    save_stored,
)
from research.types import InputError
from tests.experiments.made import contents, runs_of, without_seals

NAMES = ("config.json", "env.json", "per_user.npz", "history.csv",
         "vectors.npz", "metrics.json")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of one finished run is filled by the first test that asks."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def finished(call, whole):
    """Its run's folder, and the command that made it."""
    words = ("train", "--arm", "tiny", "--out", whole)
    assert call(*words).status == 0
    (folder,) = runs_of(whole, "train")
    assert not why_unfinished(folder)
    return folder, words


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


HARM = {
    "flipped": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "lost": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_a_run_is_sealed(name, finished):
    folder, _ = finished
    assert {p.name for p in folder.iterdir()} == set(NAMES)
    before = (folder / name).read_bytes()
    for how, harm in HARM.items():
        harm(folder / name)
        assert name in why_unfinished(folder) or (name, how) == ("metrics.json", "lost")
        assert why_unfinished(folder) != ""
        (folder / name).write_bytes(before)
        assert why_unfinished(folder) == ""


def test_an_edited_number_is_known(finished):
    folder, _ = finished
    path = folder / "metrics.json"
    before = path.read_bytes()
    content = read_json(path)
    content["recall"]["20"] += 1e-6
    path.write_text(json.dumps(content))
    assert why_unfinished(folder) == "metrics.json isn't as it was written"
    path.write_bytes(before)


@pytest.mark.parametrize("name", ["vectors.npz", "metrics.json"])
def test_a_damaged_run_is_named_and_done_again(name, finished, call):
    folder, words = finished
    before = without_seals(contents(folder))
    flip(folder / name)
    reason = why_unfinished(folder)
    called = call(*words)
    assert (called.status, called.err) == (0, f"{folder}: {reason}: done again\n")
    assert "1 run, 0 finished already, 1 to do" in called.out
    after = without_seals(contents(folder))
    assert {n for n in before if before[n] != after[n]} <= {"env.json"}
    assert read_metrics(folder)


def test_a_curve_damaged_before_its_run_was_judged_is_not_sealed(finished, call):
    folder, words = finished
    before = (folder / "history.csv").read_bytes()
    (folder / "metrics.json").unlink()
    flip(folder / "history.csv")
    assert call(*words).status == 0
    assert (folder / "history.csv").read_bytes() == before


def test_a_damaged_run_of_another_arm_is_left_out_and_named(call, tmp_path):
    words = ("run", "few", "--seeds", "1", "--out", tmp_path, "--arms")
    assert call(*words, "popularity", "tiny").status == 0
    (folder,) = (f for f in runs_of(tmp_path, "few") if f.name.startswith("tiny"))
    flip(folder / "per_user.npz")
    called = call(*words, "popularity")
    assert called.status == 0
    assert called.err == f"{folder}: per_user.npz isn't as it was written: left out\n"
    records = load_records(tmp_path / "records" / "ml-100k" / "few.npz")
    assert {r.arm for r in records} == {"popularity"}


@pytest.fixture
def records(tmp_path):
    made = {"values": np.arange(12.0).reshape(3, 4), "names": np.array(["a", "b"])}
    return save_stored(tmp_path / "made.npz", {"grid": "made"}, made, about=[1])


@pytest.mark.parametrize("how", ["a value", "no digest"])
def test_edited_records_are_refused(records, how):
    arrays = read_arrays(records)
    if how == "a value":
        arrays["values"][1, 2] += 0.5
    else:
        content = json.loads(arrays[CONTENT].tobytes())
        del content["digest"]
        arrays[CONTENT] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    write_arrays(records, arrays)
    with pytest.raises(InputError, match=r"made.npz.*isn't as it was written"):
        load_stored(records)


def test_every_flipped_bit_is_refused_or_harmless(records):
    before = load_stored(records)
    content = records.read_bytes()
    with zipfile.ZipFile(records) as archive:
        assert archive.testzip() is None
    refused = []
    for at in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        records.write_bytes(bytes(flipped))
        try:
            found = load_stored(records)
        except InputError as error:
            refused.append(str(error))
            continue
        assert found.header == before.header
        np.testing.assert_array_equal(found.arrays["values"], before.arrays["values"])
    assert len(refused) > len(content) / 6
    assert all(str(records) in line for line in refused)
    for size in range(0, len(content), 97):
        records.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"made.npz"):
            load_stored(records)


ONE = ("--seeds", "1", "--arms", "popularity", "--out")


def one_line(called, start):
    assert called.status == 2
    assert called.err.splitlines()[-1].startswith(f"error: {start}")
    assert "Traceback" not in called.err


def test_damaged_records_dont_block_the_report_of_others(call, tmp_path):
    for grid in ("few", "warm"):
        assert call("run", grid, *ONE, tmp_path).status == 0
    damaged = tmp_path / "records" / "ml-100k" / "few.npz"
    flip(damaged)
    table = tmp_path / "tables" / "ml-100k" / "warm.csv"
    table.unlink()
    one_line(call("report", "--out", tmp_path), f"{damaged}: ")
    assert table.is_file()


def test_what_is_no_file_of_records_is_named(call, tmp_path):
    assert call("run", "warm", *ONE, tmp_path).status == 0
    place = tmp_path / "records" / "ml-100k"
    kinds = {
        "a folder": Path.mkdir,
        "other arrays": lambda path: np.savez(path, rows=np.arange(3)),
        "records": lambda path: path.write_bytes((place / "warm.npz").read_bytes()),
    }
    for name in ("few.npz", "stray.npz", "few-last.npz"):
        for make in kinds.values():
            make(place / name)
            for words in (("report", "--out"), ("check", "--results")):
                one_line(call(*words, tmp_path), f"{place / name}: ")
            if (place / name).is_dir():
                (place / name).rmdir()
        (place / name).unlink()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"arm,metric,k,mean,against\na"])
def test_a_table_that_is_none_is_named(call, tmp_path, content):
    assert call("run", "warm", *ONE, tmp_path).status == 0
    path = tmp_path / "tables" / "ml-100k" / "warm-odd.csv"
    path.write_bytes(content)
    called = call("report", "--x", "ndcg", "--y", "recall", "--out", tmp_path)
    one_line(called, f"{path}: not a table (")
    path.write_bytes(b"\xff\xfe")
    called = call("report", "--html", "--out", tmp_path)
    assert f" {path}: not a table (" in called.err
    assert called.err.count("\n") == 1


def test_a_config_that_is_none_is_named(call, tmp_path):
    assert call("run", "few", *ONE, tmp_path).status == 0
    (folder,) = runs_of(tmp_path, "few")
    for text in ("{", "{}", '{"dataset": "ml-100k"}'):
        (folder / "config.json").write_text(text)
        for split in ("auto", "last"):
            called = call("report", "few", "--split", split, "--out", tmp_path)
            one_line(called, f"{folder / 'config.json'}: not ")


def test_records_of_another_grid_or_of_no_run_are_refused(call, tmp_path):
    assert call("run", "few", *ONE, tmp_path).status == 0
    few = tmp_path / "records" / "ml-100k" / "few.npz"
    few.with_name("ssb.npz").write_bytes(few.read_bytes())
    called = call("report", "ssb", "--out", tmp_path)
    assert called.status == 2
    assert "ssb.npz: records of few, not of ssb" in called.err
    assert not (tmp_path / "tables" / "ml-100k" / "ssb.csv").exists()
    header = {"grid": "few", "dataset": "ml-100k", "split": "ratio", "quick": False}
    save_records(few, [], {**header, "data_digest": ""})
    called = call("report", "few", "--out", tmp_path)
    assert (called.status, called.err) == (2, f"error: {few}: records of no run\n")
