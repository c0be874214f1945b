"""Bad input: exit status 2, one clear line on stderr, nothing written."""

import json

import jax
import numpy as np
import pytest

from experiments.output.folders import RECORDS_VERSION
from research.files import read_json, write_json
from research.report.records import load_records, read_header, save_records
from tests.experiments.made import contents, runs_of, write_made_100k


def refused(called, *parts):
    """It is one line for a person, with all the parts in it."""
    assert called.status == 2, called
    assert called.err.startswith("error: "), called.err
    assert called.err.count("\n") == 1
    assert called.err.endswith("\n")
    assert "Traceback" not in called.err
    for part in parts:
        assert part in called.err
    assert "finished already" not in called.out  # refused before anything is begun


NAMES = {
    "grid": (("run", "sbb"), ("unknown grid 'sbb'", "nearest: ssb", "temperature")),
    "data set": (
        ("run", "ssb", "--dataset", "ml-10k"),
        ("unknown data set 'ml-10k'", "nearest: ml-100k", "ml-1m", "ml-25m"),
    ),
    "data set of train": (
        ("train", "--dataset", "ml-1n"),
        ("unknown data set 'ml-1n'", "nearest: ml-1m", "ml-latest-small"),
    ),
    "arm": (
        ("run", "ssb", "--arms", "in-batch", "in-batch+log"),
        ("unknown arm", "'in-batch+log'", "nearest: in-batch+logq", "full-softmax"),
    ),
    "arm of another grid": (
        ("run", "temperature", "--arms", "mixed"),
        ("unknown arm of grid temperature 'mixed'", "full-softmax"),
    ),
    "arm of train": (
        ("train", "--arm", "in-bach"),
        ("unknown arm 'in-bach'", "nearest: in-batch", "popularity"),
    ),
    "arm without a name": (("train", "--arm"), ("--arm",)),
    "split": (
        ("run", "few", "--split", "ration"),
        ("unknown split 'ration'", "nearest: ratio", "last", "time"),
    ),
    "split of train": (("train", "--split", "lst"), ("'lst'", "nearest: last")),
    "engine": (("run", "few", "--engine", "locl"), ("'locl'", "nearest: local")),
    "loss": (
        ("train", "--loss", "sampled-softmx"),
        ("unknown loss", "nearest: sampled-softmax", "sigmoid"),
    ),
    "encoder": (("train", "--encoder", "meen"), ("'meen'", "nearest: mean", "none")),
    "encoder that sees the item": (
        ("train", "--encoder", "target-attention"),
        ("target-attention", "joins the towers"),
    ),
    "source": (
        ("train", "--negatives", "unifrom:9"),
        ("unknown source of negatives 'unifrom'", "nearest: uniform", "in-batch"),
    ),
    "model": (("train", "--model", "eas"), ("'eas'", "nearest: ease", "two-tower")),
    "output": (("train", "--output", "dott"), ("'dott'", "cosine", "dot")),
    "phase": (("train", "--fit-on", "trian"), ("'trian'", "train+validation")),
    "library": (("train", "--library", "every"), ("'every'", "clicked", "all")),
    "feature": (("train", "--user-features", "agee"), ("'agee'", "age", "gender")),
    "item feature": (("train", "--item-features", "yaer"), ("'yaer'", "year")),
    "command": (("rum", "ssb"), ("unknown command 'rum'", "nearest: run", "report")),
}


@pytest.mark.parametrize("case", NAMES)
def test_an_unknown_name_gives_the_choices_and_the_nearest(case, call, tmp_path):
    words, parts = NAMES[case]
    called = call(*words, "--out", tmp_path / "out")
    refused(called, *parts)
    assert not (tmp_path / "out").exists()


VALUES = {
    "no seeds": (("run", "few", "--seeds", "0"), ("seeds is 0", "at least 1")),
    "seeds below 0": (("run", "few", "--seeds", "-3"), ("seeds is -3",)),
    "no jobs": (("run", "few", "--jobs", "0"), ("jobs is 0", "at least 1")),
    "none at once": (("run", "few", "--at-once", "0"), ("at_once is 0", "at least 1")),
    "at once in workers": (
        ("run", "few", "--at-once", "2", "--jobs", "2"),
        ("at_once is 2", "--jobs 1"),
    ),
    "at once on ray": (
        ("run", "few", "--at-once", "2", "--engine", "ray"),
        ("at_once is 2", "--engine local"),
    ),
    "temperature 0": (("train", "--temperature", "0"), ("temperature is 0", "above 0")),
    "temperature -1": (("train", "--temperature", "-1"), ("temperature is -1",)),
    "temperature nan": (
        ("train", "--temperature", "nan"),
        ("temperature is nan", "finite"),
    ),
    "temperature inf": (("train", "--temperature", "inf"), ("temperature is inf",)),
    "learning rate": (("train", "--learning-rate", "0"), ("learning_rate is 0",)),
    "prior": (("train", "--prior", "inf"), ("prior is inf", "finite")),
    "weights of a baseline": (
        ("train", "--model", "ease", "--ips", "1"),
        ("ips is 1: model ease has none",),
    ),
    "exposure of a baseline": (
        ("train", "--model", "popularity", "--exposure", "1"),
        ("exposure is 1: model popularity has none",),
    ),
    "dropout": (("train", "--dropout", "1"), ("dropout is 1", "[0, 1)")),
    "seed": (("train", "--seed", "-1"), ("seed is -1",)),
    "epochs": (("train", "--epochs", "0"), ("epochs is 0",)),
    "validation when reporting": (
        ("train", "--evaluate-every", "1"),
        ("evaluate_every", "--fit-on train"),
    ),
    "draws missing": (("train", "--negatives", "uniform"), ("number of draws",)),
    "draws in excess": (("train", "--negatives", "in-batch:3"), ("'in-batch:3'",)),
    "no draws": (("train", "--negatives", "uniform:0"), ("'uniform:0'",)),
    "threshold": (("train", "--threshold", "9"), ("threshold", "9")),
    "batch": (("train", "--batch", "5000"), ("batch 5000", "training part", "pairs")),
    "a baseline's value": (
        ("train", "--model", "ease", "--baseline", "l2=0"),
        ("l2=0 of ease", "above 0"),
    ),
    "a baseline's value for towers": (
        ("train", "--baseline", "l2=3"),
        ("baseline l2=3", "two-tower has none"),
    ),
    "session gap": (
        ("train", "--positives", "item-item", "--session-gap", "0"),
        ("session_gap is 0", "above 0"),
    ),
    "halves": (("train", "--halves", "tme"), ("'tme'", "nearest: time")),
    "a kind of positives": (
        ("train", "--positives", "item-itm"),
        ("kind of positives 'item-itm'", "nearest: item-item"),
    ),
    "a baseline for other positives": (
        ("train", "--model", "ease", "--positives", "item-item"),
        ("model ease with positives item-item", "rank items for users"),
    ),
    "a feature that names the other half": (
        ("train", "--positives", "user-user", "--user-features", "age"),
        ("'age' with positives user-user",),
    ),
    "nothing to go by": (
        ("train", "--encoder", "none", "--user-features"),
        ("user tower",),
    ),
    "an array that isn't there": (
        ("train", "--item-array", "nowhere.npy"),
        ("nowhere.npy", "No such file"),
    ),
    "an array that isn't named": (
        ("train", "--item-features", "id", "array"),
        ("item feature 'array'",),
    ),
    "a search without its encoder": (
        ("train", "--search", "simulated"),
        ("search simulated", "encoder mean", "query"),
    ),
    "an encoder without its search": (
        ("train", "--encoder", "query"),
        ("encoder query", "simulated", "a file"),
    ),
    "searches that aren't there": (
        ("train", "--encoder", "query", "--search", "nowhere.csv"),
        ("nowhere.csv", "No such file"),
    ),
    "a feature of the other side": (
        ("train", "--user-features", "year"),
        ("user feature 'year'",),
    ),
    "ages of no history": (
        ("train", "--user-features", "age", "history-age", "--history", "0"),
        ("history-age", "needs a history"),
    ),
    "window": (("train", "--window-days", "0"), ("window_days is 0", "above 0")),
    "a word for a number": (("run", "few", "--seeds", "abc"), ("--seeds", "'abc'")),
    "no device": (("train", "--devices", "0"), ("devices is 0", "at least 1")),
    "devices that aren't there": (
        ("train", "--devices", "4096"),
        ("devices is 4096", f"there are {len(jax.devices())}"),
    ),
    "devices of a baseline": (
        ("train", "--model", "popularity", "--devices", "2"),
        ("devices is 2", "model popularity"),
    ),
    "a word for a number in train": (
        ("train", "--seed", "abc"),
        ("--seed", "'abc'"),
    ),
    "an unknown flag": (
        ("train", "--temprature", "1"),
        ("--temprature", "nearest: --temperature"),
    ),
    "no grid": (("run",), ("grid",)),
    "arms of a study": (("run", "probe", "--arms", "in-batch"), ("probe", "--arms")),
    "split of a study": (("run", "probe", "--split", "last"), ("probe", "--split")),
    "seeds of a study without": (("run", "probe", "--seeds", "2"), ("--seeds",)),
    "no seeds of a study": (("run", "dial", "--seeds", "0"), ("seeds is 0",)),
    "split of a grid that has its own": (
        ("run", "search", "--split", "ratio"),
        ("grid search has no use for --split: its own is last",),
    ),
    "data set of simulated data": (
        ("run", "dial", "--dataset", "ml-1m"),
        ("study dial has no use for --dataset: it simulates its data",),
    ),
    "data folder of simulated data": (
        ("run", "dial", "--data-dir", "."),
        ("study dial has no use for --data-dir: it simulates its data",),
    ),
    "runs at once of a study": (
        ("run", "pace", "--at-once", "2"),
        ("study pace has no use for --at-once",),
    ),
    "a word too many": (("list", "ssb"), ("ssb",)),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_cant_be_meant(case, call, tmp_path):
    words, parts = VALUES[case]
    out = () if words[0] == "list" else ("--out", tmp_path / "out")
    refused(call(*words, *out), *parts)
    assert not (tmp_path / "out").exists()


def test_a_batch_that_the_devices_do_not_divide(call, tmp_path, monkeypatch):
    monkeypatch.setattr("research.train.mesh.jax.devices", lambda: ["cpu"] * 3)
    words = ("train", "--arm", "tiny", "--devices", "3", "--out", tmp_path / "out")
    refused(call(*words), "batch 128", "3 devices")
    assert not (tmp_path / "out").exists()


def test_a_feature_the_data_set_lacks(call, tmp_path):
    words = ("train", "--arm", "tiny", "--dataset", "ml-latest-small")
    words += ("--out", tmp_path / "out")
    refused(call(*words, "--user-features", "gender"), "gender", "user feature")
    assert not (tmp_path / "out").exists()
    assert call(*words).status == 0  # what it has, it can do


def test_a_data_folder_without_the_files(call, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (("run", "few"), ("train",)):
        called = call(*words, "--data-dir", empty, "--out", tmp_path / "out")
        refused(called, "ml-100k", str(empty / "ml-100k" / "u.data"), "ml-100k.zip")
    assert not (tmp_path / "out").exists()


def test_a_malformed_row(call, tmp_path):
    root = write_made_100k(tmp_path / "made")
    ratings = root / "ml-100k" / "u.data"
    lines = ratings.read_text().splitlines()
    lines[41] = lines[41].replace("\t", " ")
    ratings.write_text("\n".join(lines) + "\n")
    called = call("train", "--data-dir", root, "--out", tmp_path / "out")
    refused(called, f"{ratings}:42: ", "expected")
    assert not (tmp_path / "out").exists()


def test_a_cut_off_above_the_number_of_items(call, tmp_path):
    root = write_made_100k(tmp_path / "made", items=19)
    for words in (("train", "--batch", "64"), ("run", "few", "--arms", "popularity")):
        called = call(*words, "--data-dir", root, "--out", tmp_path / "out")
        refused(called, "k = 20", "number of items (19)")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("run", "few"), ("train", "--arm", "tiny")])
def test_an_output_folder_that_cant_be_written(words, call, tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    refused(call(*words, "--out", file), str(file), "is a file")
    refused(call(*words, "--out", file / "below"), str(file / "below"), "written")
    assert contents(tmp_path) == {"file": b"in the way"}


@pytest.mark.parametrize("name", ["runs", "records", "tables", "figures"])
def test_a_file_in_the_way_of_a_folder_of_results(name, call, tmp_path):
    (tmp_path / name).write_text("in the way")
    refused(call("run", "few", "--out", tmp_path), str(tmp_path / name), "written")
    assert contents(tmp_path) == {name: b"in the way"}


def test_a_run_of_another_results_version(call, tmp_path):
    words = ("run", "few", "--arms", "popularity", "--out", tmp_path)
    assert call(*words).status == 0
    (folder,) = runs_of(tmp_path, "few")
    env = read_json(folder / "env.json")
    write_json(folder / "env.json", {**env, "results_version": RECORDS_VERSION + 1})
    before = contents(tmp_path)
    refused(call(*words), str(folder), f"version {RECORDS_VERSION + 1}", "--out")
    assert contents(tmp_path) == before


def test_records_of_another_results_version(call, tmp_path):
    assert call("run", "few", "--arms", "popularity", "--out", tmp_path).status == 0
    path = tmp_path / "records" / "ml-100k" / "few.npz"
    header = {**read_header(path), "results_version": RECORDS_VERSION - 1}
    save_records(path, load_records(path), header)
    before = contents(tmp_path)
    parts = (str(path), f"version {RECORDS_VERSION - 1}")
    refused(call("report", "few", "--out", tmp_path), *parts)
    refused(call("check", "--results", tmp_path), *parts)
    assert contents(tmp_path) == before


def test_damaged_files_of_a_run(call, tmp_path):
    words = ("run", "few", "--arms", "popularity", "--out", tmp_path)
    assert call(*words).status == 0
    (folder,) = runs_of(tmp_path, "few")
    for text in ("{", json.dumps([1])):
        (folder / "env.json").write_text(text)
        called = call(*words)
        line = f"{folder}: env.json isn't as it was written: done again\n"
        assert (called.status, called.err) == (0, line)
        assert "1 run, 0 finished already, 1 to do" in called.out
        assert read_json(folder / "env.json")["results_version"] == RECORDS_VERSION


def test_nothing_to_report_or_to_check(call, tmp_path):
    out = tmp_path / "out"
    refused(call("report", "--out", out), str(out / "records"))
    refused(call("report", "ssb", "--out", out), "ssb.npz")
    refused(call("report", "sbb", "--out", out), "unknown grid", "nearest: ssb")
    refused(call("report", "--split", "ration", "--out", out), "nearest: ratio")
    refused(call("check", "--results", out), str(out / "records"))
    records = out / "records" / "ml-100k"
    records.mkdir(parents=True)
    (records / "ssb.npz").write_text("no zip")
    refused(call("report", "ssb", "--out", out), str(records / "ssb.npz"))
    assert contents(out) == {"records/ml-100k/ssb.npz": b"no zip"}


@pytest.mark.parametrize("rows", [np.arange(3), None], ids=["items missing", "text"])
def test_an_array_that_does_not_fit_is_refused_before_a_run_begins(
    rows, call, tmp_path
):
    path = tmp_path / "array.npz"
    if rows is None:
        path.write_text("user,item\n1,2\n")
    else:
        np.savez(path, ids=rows, vectors=np.ones((len(rows), 2), np.float32))
    words = ("--item-features", "array", "--item-array", path)
    called = call("train", "--arm", "tiny", *words, "--out", tmp_path / "out")
    refused(called, str(path))
    assert not (tmp_path / "out").exists()


def test_list_refuses_a_grid_where_none_is_listed(call):
    refused(
        call("list", "losses", "--grid", "ssb"), "list losses has no use for --grid"
    )
    refused(call("list", "--grid", "pace"), "--grid pace: a study, not a grid")
