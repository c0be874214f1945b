"""What a grid trains, and what it finds finished already."""

import csv
import re
import shutil

import numpy as np
import pytest

from experiments import finish, runs
from experiments.resolve import Cell
from experiments.study import StudyOptions
from research.config import Config
from research.files import read_json
from research.types import InputError
from tests.experiments.made import contents, runs_of, without_seals

RESULTS = ("metrics.json", "per_user.npz", "config.json", "history.csv")


@pytest.fixture
def trained(monkeypatch):
    """The configs given to the training loop, in turn."""
    configs = []
    inner = runs.train_together

    def train(prepared, *rest):
        configs.extend(run.config for run in prepared)
        return inner(prepared, *rest)

    monkeypatch.setattr(runs, "train_together", train)
    return configs


def digits(out, names=RESULTS):
    """The files whose bytes a repetition must not change."""
    files = without_seals(contents(out / "runs"))
    return {path: data for path, data in files.items() if path.endswith(names)}


def by_id(files):
    """The same files by the run's id, without the arm that asked for the run first."""
    return {
        re.sub(r"[^/]*-([0-9a-f]{12})/", r"\1/", path): b"\n".join(
            line for line in data.splitlines() if not line.startswith(b' "arm": ')
        )
        for path, data in files.items()
    }


def test_a_finished_grid_trains_nothing_and_says_so(call, tmp_path, trained):
    first = call("run", "few", "--out", tmp_path)
    assert first.status == 0
    # popularity, and two seeds of the one model that tiny and tiny+prior share
    assert "few: 5 runs, 0 finished already, 5 to do" in first.out
    assert len(trained) == 4
    before = contents(tmp_path)
    second = call("run", "few", "--out", tmp_path)
    assert second.status == 0
    assert "few: all 5 runs are finished already, nothing to train" in second.out
    assert "[1/" not in second.out
    assert len(trained) == 4
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    derived = [name for name in after if name.endswith((".csv", ".md", ".npz", "json"))]
    assert {n: after[n] for n in derived} == {n: before[n] for n in derived}


@pytest.mark.parametrize(
    "lost", [("metrics.json",), ("metrics.json", "vectors.npz"), None]
)
def test_a_killed_run_alone_is_done_again(lost, call, few, trained):
    before = without_seals(contents(few))
    victim = next(
        folder
        for folder in runs_of(few, "few")
        if read_json(folder / "config.json")["logq"] == 1.0
    )
    for name in lost or ():
        (victim / name).unlink()
    if lost is None:  # killed before anything was written
        shutil.rmtree(victim)
    again = call("run", "few", "--out", few)
    assert again.status == 0
    assert "few: 5 runs, 4 finished already, 1 to do" in again.out
    assert "[1/1] tiny+logq" in again.out
    assert len(trained) == (0 if lost == ("metrics.json",) else 1)
    after = without_seals(contents(few))
    changed = {name for name in before if before[name] != after[name]}
    assert not {name for name in changed if not name.endswith("env.json")}
    assert after.keys() == before.keys()


def test_a_run_killed_between_vectors_and_history_keeps_its_history(
    call, tmp_path, monkeypatch
):
    words = ("run", "few", "--arms", "tiny", "--seeds", "1")
    assert call(*words, "--out", tmp_path / "whole").status == 0

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "rank", killed)
        stopped = call(*words, "--out", tmp_path / "cut")
    assert stopped.status == 130
    assert stopped.err.count("\n") == 1
    assert "run again to go on" in stopped.err
    assert call(*words, "--out", tmp_path / "cut").status == 0
    assert digits(tmp_path / "cut") == digits(tmp_path / "whole")
    records = "records/ml-100k/few.npz"
    assert (tmp_path / "cut" / records).read_bytes() == (
        tmp_path / "whole" / records
    ).read_bytes()


def test_a_serving_arm_shares_the_training_run(call, tmp_path, trained):
    words = ("run", "few", "--seeds", "1", "--out", tmp_path, "--arms")
    assert call(*words, "tiny").status == 0
    (folder,) = runs_of(tmp_path, "few")
    before = contents(folder)
    served = call(*words, "tiny", "tiny+prior")
    assert served.status == 0
    assert "1 run, 0 finished already, 1 to do" in served.out
    assert len(trained) == 1  # the vectors were there
    assert runs_of(tmp_path, "few") == [folder]
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    (prior,) = folder.glob("prior*")
    assert read_json(prior / "config.json")["prior"] == 1.0
    plain, biased = (read_json(f / "metrics.json") for f in (folder, prior))
    assert biased["train_count"]["20"] > plain["train_count"]["20"]


def test_a_serving_arm_or_a_seed_alone_gives_the_files_of_the_grid(
    call, tmp_path, made_few
):
    """Once more trained, bit for bit; and another seed is another model."""
    words = ("run", "few", "--arms", "tiny+prior", "--out", tmp_path / "run")
    assert call(*words).status == 0
    out = tmp_path / "train"
    assert call("train", "--arm", "tiny+logq", "--seed", "1", "--out", out).status == 0
    grid = by_id(digits(made_few))
    for alone, files in (
        (by_id(digits(tmp_path / "run")), 14),
        (by_id(digits(out)), 4),
    ):
        assert len(alone) == files
        for path, data in alone.items():
            assert grid[path.replace("/train/", "/few/")] == data
    first, second = (
        np.load(f / "vectors.npz") for f in runs_of(tmp_path / "run", "few")
    )
    with first, second:
        assert not np.array_equal(first["items"], second["items"])


def test_a_run_of_another_grid_is_found(call, tmp_path, trained):
    """temperature 0.1 is the default, and so the very run of the other grid."""
    words = ("--seeds", "1", "--out", tmp_path, "--arms", "popularity", "tiny")
    assert call("run", "few", *words).status == 0
    assert len(trained) == 1
    called = call("run", "warm", *words)
    assert called.status == 0
    assert "warm: 4 runs, 2 finished already, 2 to do" in called.out
    assert [config.temperature for config in trained[1:]] == [0.05, 1.0]
    assert len(runs_of(tmp_path, "few")) == 2
    assert len(runs_of(tmp_path, "warm")) == 2
    assert "3 finished" not in called.out
    # and train, a grid of one, finds it too
    found = call("train", "--arm", "tiny", "--out", tmp_path)
    assert "train: the run is finished already, nothing to train" in found.out
    assert str(runs_of(tmp_path, "few")[0].parent) in found.out
    assert len(trained) == 3


def test_folders_carry_names_and_an_index_lists_the_runs(made_few):
    names = [folder.name[:-13] for folder in runs_of(made_few, "few")]
    tiny = [f"tiny{arm}-seed-{n}" for arm in ("", "+logq") for n in (0, 1)]
    assert sorted(names) == ["popularity", *sorted(tiny)]  # a baseline is one run
    with (made_few / "runs" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["arm"], row["seed"], row["prior"]) for row in rows} == {
        ("popularity", "0", "0"),
        *((arm, seed, prior) for seed in ("0", "1") for arm, prior in (
            ("tiny", "0"), ("tiny+prior", "1"), ("tiny+logq", "0"))),
    }  # fmt: skip
    for row in rows:
        served = made_few / "runs" / row["folder"]
        config, metrics = (
            read_json(served / name) for name in ("config.json", "metrics.json")
        )
        assert config["arm"] == row["arm"]
        assert row["state"] == "finished"
        assert row["run"] in row["folder"]
        assert float(row["recall"]) == pytest.approx(metrics["recall"]["20"], rel=1e-6)


def test_a_failed_run_ends_a_study_unless_it_may_be_lost(monkeypatch, tmp_path):
    cells = [Cell("in-batch", {}, seed, Config(seed=seed)) for seed in range(3)]
    folders = [tmp_path / f"in-batch-seed-{seed}-{seed:012x}" for seed in range(3)]
    failed = {f"{1:012x}": "loss not finite at step 3"}
    monkeypatch.setattr(finish, "plan", lambda cells, *_: (cells, ["to do"], 3))
    monkeypatch.setattr(finish, "finish", lambda *_: failed)
    monkeypatch.setattr(finish, "digest_of", lambda *_: "")
    monkeypatch.setattr(finish, "locate", lambda cell, *_: ("", folders[cell.seed]))
    monkeypatch.setattr(
        finish, "why_unfinished", lambda _, config: "lost" if config.seed == 1 else ""
    )
    options = StudyOptions(tmp_path)
    for lost in ("", "out of memory"):
        with pytest.raises(InputError, match=r"study x, in-batch-seed-1-.*not finite"):
            finish.finish_study(cells, "x", options, lost=lost)
    done = finish.finish_study(cells, "x", options, "trials", lost="loss not finite")
    assert done == [(cells[0], folders[0]), (cells[2], folders[2])]
