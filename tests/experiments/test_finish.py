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


def test_a_finished_grid_trains_nothing_and_says_so(done, few, trained):
    before = contents(few)
    again = done("run", "few", "--out", few)
    assert "few: all 5 runs are finished already, nothing to train" in again.out
    assert "[1/" not in again.out
    assert not trained
    after = contents(few)
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
    call, done, tmp_path, made_few, monkeypatch
):
    words = ("run", "few", "--arms", "tiny", "--seeds", "1", "--out", tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "rank", killed)
        stopped = call(*words)
    assert stopped.status == 130
    assert stopped.err.count("\n") == 1
    assert "run again to go on" in stopped.err
    done(*words)
    cut, whole = digits(tmp_path), digits(made_few)
    assert len(cut) == len(RESULTS)
    assert cut == {name: whole[name] for name in cut}


def test_a_serving_arm_shares_the_training_run(done, few, trained):
    folder = next(f for f in runs_of(few, "few") if f.name.startswith("tiny-seed-0"))
    before = digits(few)
    (prior,) = folder.glob("prior*")
    shutil.rmtree(prior)
    served = done("run", "few", "--out", few)
    assert "5 runs, 4 finished already, 1 to do" in served.out
    assert not trained, "the vectors were there"
    assert digits(few) == before
    assert read_json(prior / "config.json")["prior"] == 1.0
    plain, biased = (read_json(f / "metrics.json") for f in (folder, prior))
    assert biased["train_count"]["20"] > plain["train_count"]["20"]


def test_a_serving_arm_or_a_seed_alone_gives_the_files_of_the_grid(
    done, tmp_path, made_few
):
    """Once more trained, bit for bit; and another seed is another model."""
    words = ("run", "few", "--arms", "tiny+prior", "--out", tmp_path / "run")
    done(*words)
    out = tmp_path / "train"
    done("train", "--arm", "tiny+logq", "--seed", "1", "--out", out)
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


def test_a_run_of_another_grid_is_found(done, few, trained):
    """temperature 0.2 is the default, and so the very run of the other grid."""
    words = ("--seeds", "1", "--out", few, "--arms", "popularity", "tiny")
    called = done("run", "warm", *words)
    assert "warm: 4 runs, 2 finished already, 2 to do" in called.out
    assert [config.temperature for config in trained] == [0.05, 1.0]
    assert len(runs_of(few, "few")) == 5
    assert len(runs_of(few, "warm")) == 2
    # and train, a grid of one, finds it too
    found = done("train", "--arm", "tiny", "--out", few)
    assert "train: the run is finished already, nothing to train" in found.out
    assert str(runs_of(few, "few")[0].parent) in found.out
    assert len(trained) == 2


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
