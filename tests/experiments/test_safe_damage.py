"""Damaged files: named, never used; a run is done again, records are refused."""

import json
import os
import shutil

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
from tests.experiments.made import contents, flip, runs_of, without_seals

NAMES = ("config.json", "env.json", "per_user.npz", "history.csv",
         "vectors.npz", "metrics.json")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of one finished run is filled by the first test that asks."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def finished(done, whole):
    """Its run's folder, and the command that made it."""
    words = ("train", "--arm", "tiny", "--out", whole)
    done(*words)
    (folder,) = runs_of(whole, "train")
    assert not why_unfinished(folder)
    return folder, words


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


@pytest.mark.parametrize("what", ["a pipe", "a link in a circle"])
@pytest.mark.parametrize("name", ["metrics.json", "env.json", "config.json", ""])
def test_what_is_no_file_is_named_and_replaced(what, name, done, tmp_path):
    """Reading a pipe would wait for ever; "" is the run's folder itself."""
    words = ("run", "few", "--arms", "popularity", "--out", tmp_path)
    done(*words)
    (folder,) = runs_of(tmp_path, "few")
    before = read_metrics(folder)
    path = folder / name
    path.unlink() if name else shutil.rmtree(path)
    os.mkfifo(path) if what == "a pipe" else path.symlink_to(path)
    called = done(*words)
    assert called.err.startswith(f"{folder}: ")
    assert called.err.endswith(": done again\n")
    assert read_metrics(folder) == before
    assert "nothing to train" in done(*words).out


@pytest.mark.parametrize(
    ("copied", "over"),
    [
        ("tiny-seed-0-*", "tiny+logq-seed-0-*"),
        ("tiny-seed-1-*", "tiny-seed-0-*"),
        ("tiny-seed-1-*/prior+1", "tiny-seed-0-*/prior+1"),
    ],
)
def test_a_copy_of_another_run_is_named_and_done_again(copied, over, call, few):
    """The other run's numbers are no answer, though every file is as it was written."""
    grid = few / "runs" / "ml-100k" / "few"
    (source,), (place,) = grid.glob(copied), grid.glob(over)
    before = read_metrics(place)
    shutil.rmtree(place)
    shutil.copytree(source, place)
    called = call("run", "few", "--out", few)
    assert called.status == 0
    assert "it holds the files of another run: done again" in called.err
    assert str(place) in called.err
    assert read_metrics(place) == before


def test_a_curve_damaged_before_its_run_was_judged_is_not_sealed(finished, done):
    folder, words = finished
    before = (folder / "history.csv").read_bytes()
    (folder / "metrics.json").unlink()
    flip(folder / "history.csv")
    done(*words)
    assert (folder / "history.csv").read_bytes() == before


def test_damaged_runs_of_another_arm_are_left_out_and_named(done, few):
    damaged = [f for f in runs_of(few, "few") if f.name.startswith("tiny+logq")]
    for folder in damaged:
        flip(folder / "per_user.npz")
    said = done("run", "few", "--arms", "popularity", "--out", few).err
    reason = "per_user.npz isn't as it was written: left out\n"
    assert said == "".join(f"{folder}: {reason}" for folder in damaged)
    records = load_records(few / "records" / "ml-100k" / "few.npz")
    assert {r.arm for r in records} == {"popularity", "tiny", "tiny+prior"}


@pytest.fixture
def records(tmp_path):
    made = {"values": np.arange(12.0).reshape(3, 4), "names": np.array(["a", "b"])}
    return save_stored(tmp_path / "made.npz", {"grid": "made"}, made, about=[1])


@pytest.mark.parametrize("how", ["a value", "no digest", "half"])
def test_edited_records_are_refused(records, how):
    arrays = read_arrays(records)
    if how == "a value":
        arrays["values"][1, 2] += 0.5
    elif how == "no digest":
        content = json.loads(arrays[CONTENT].tobytes())
        del content["digest"]
        arrays[CONTENT] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    write_arrays(records, arrays)
    if how == "half":
        records.write_bytes(records.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"made.npz") as raised:
        load_stored(records)
    assert how == "half" or "isn't as it was written" in str(raised.value)


def one_line(called, start):
    assert called.status == 2
    assert called.err.splitlines()[-1].startswith(f"error: {start}")
    assert "Traceback" not in called.err


def test_damaged_records_dont_block_the_report_of_others(call, done, few):
    done("run", "warm", "--seeds", "1", "--arms", "popularity", "--out", few)
    damaged = few / "records" / "ml-100k" / "few.npz"
    flip(damaged)
    table = few / "tables" / "ml-100k" / "warm.csv"
    table.unlink()
    one_line(call("report", "--out", few), f"{damaged}: ")
    assert table.is_file()


# What is no file of records, by its name.
NO_RECORDS = {
    "warm.npz": lambda path, few: path.mkdir(),
    "few-last.npz": lambda path, few: np.savez(path, rows=np.arange(3)),
    "ssb.npz": lambda path, few: path.write_bytes(few),
    "stray.npz": lambda path, few: path.write_bytes(few),
}


@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_file_of_records_is_named(name, call, few):
    place = few / "records" / "ml-100k"
    NO_RECORDS[name](place / name, (place / "few.npz").read_bytes())
    for words in (("report", "--out"), ("check", "--results")):
        one_line(call(*words, few), f"{place / name}: ")


def test_a_table_that_is_none_is_named(call, few):
    path = few / "tables" / "ml-100k" / "few-odd.csv"
    for content in (b"", b"arm,metric,k,mean,against\na", b"\xff\xfe"):
        path.write_bytes(content)
        called = call("report", "--x", "ndcg", "--y", "recall", "--out", few)
        one_line(called, f"{path}: not a table (")
    called = call("report", "--html", "--out", few)
    assert f" {path}: not a table (" in called.err
    assert called.err.count("\n") == 1


def test_a_config_that_is_none_is_named(call, few):
    for text in ("{", "{}", '{"dataset": "ml-100k"}'):
        for folder in runs_of(few, "few"):
            (folder / "config.json").write_text(text)
        for split in ("auto", "last"):
            called = call("report", "few", "--split", split, "--out", few)
            one_line(called, f"{few / 'runs'}")
            assert "config.json: not " in called.err


def test_records_of_another_grid_or_of_no_run_are_refused(call, few):
    path = few / "records" / "ml-100k" / "few.npz"
    path.with_name("ssb.npz").write_bytes(path.read_bytes())
    called = call("report", "ssb", "--out", few)
    assert called.status == 2
    assert "ssb.npz: records of few, not of ssb" in called.err
    assert not (few / "tables" / "ml-100k" / "ssb.csv").exists()
    header = {"grid": "few", "dataset": "ml-100k", "split": "ratio", "quick": False}
    save_records(path, [], {**header, "data_digest": ""})
    called = call("report", "few", "--out", few)
    assert (called.status, called.err) == (2, f"error: {path}: records of no run\n")
