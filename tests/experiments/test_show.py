"""--show: what runs would be, with nothing trained and nothing written."""

import re

import numpy as np
import pytest

from experiments.arms import arm
from experiments.loaded import prepared_run
from research.temperature import LOST_FROM
from research.train import loop
from tests.experiments.made import contents, runs_of


@pytest.fixture
def untrained(monkeypatch):
    def trains(*arguments, **options):
        raise AssertionError("something was trained")

    monkeypatch.setattr(loop, "compiled_epoch", trains)


def lines_of(called):
    assert called.status == 0, called.err
    return [line.strip() for line in called.out.splitlines()]


def value_of(lines, name):
    return next(line.removeprefix(name).strip() for line in lines if _is(line, name))


def _is(line, name):
    return line.startswith(f"{name} ")


def test_one_run(call, data, tmp_path, untrained):
    words = ("--arm", "tiny+logq", "--temperature", "0.3", "--negatives", "in-batch")
    called = call("train", *words, "uniform:40", "--out", tmp_path / "out", "--show")
    lines = lines_of(called)
    assert contents(tmp_path) == {}
    assert value_of(lines, "batch") == "128"
    assert value_of(lines, "user_features") == "none"
    differs = value_of(lines, "differs")
    for change in ("logq 1 (0)", "temperature 0.3 (0.2)", "dim 8 (64)"):
        assert change in differs
    assert "epochs 2 (40)" in differs
    assert "seed" not in differs
    assert value_of(lines, "queries") == "128, each with up to 5 clicks"
    negatives = [line for line in lines if _is(line, "negatives")][1:]
    assert "in-batch: 128 columns shared by all rows" in negatives[0]
    assert "uniform: 40 columns shared by all rows" in negatives[1]
    assert value_of(lines, "logits").startswith("128 x 168")
    run = prepared_run(arm("tiny+logq"), str(data))
    n = run.fold.fitted.n_items
    assert f"item: {n} x 8 = {8 * n:,}" in called.out
    parts = re.findall(r"(?:= |(?:user|item): )([\d,]+)$", called.out, re.M)
    total = sum(int(part.replace(",", "")) for part in parts)
    assert value_of(lines, "parameters") == f"{total:,} in all"
    counts = run.fold.fitted.item_counts
    share = counts[counts > 0] / counts.sum()
    low, high = np.log(share.min()), np.log(share.max())
    assert value_of(lines, "log q").startswith(f"{low:.2f} to {high:.2f}, ")
    largest = next(line for line in lines if "counts for less" in line)
    bound = LOST_FROM / np.log((counts > 0).sum())
    assert f"0.3; from about {bound:.2f} on log q" in largest
    per_epoch = len(run.fold.fitted.item) // 128
    assert value_of(lines, "steps") == f"{2 * per_epoch}: 2 epochs of {per_epoch}"
    assert "million operations per step" in value_of(lines, "time")


@pytest.mark.parametrize(
    "words",
    ["--loss llpauc", "--negatives rank-band:5,low=5,high=9"],
    ids=["values", "model"],
)
def test_a_run_whose_state_depends_on_values_or_on_the_model(done, tmp_path, words):
    called = done("train", *words.split(), "--out", tmp_path / "out", "--show")
    assert value_of(lines_of(called), "parameters").endswith("in all")


def test_a_grid(call, tmp_path, untrained):
    lines = lines_of(call("run", "warm", "--out", tmp_path / "out", "--show"))
    assert contents(tmp_path) == {}
    for title in ("popularity", "tiny temperature 0.05", "tiny temperature 1"):
        assert title in lines
    assert lines.count("tiny temperature 1") == 1  # of two seeds
    assert "runs: 7, 7 of them still to do" in lines  # the baseline has one
    assert any("popularity, a baseline" in line for line in lines)
    assert lines[-1].endswith("baselines apart")


def test_time_comes_from_finished_runs_of_the_shape(call, tiny, tmp_path):
    words = ("train", "--out", tiny, "--arm")
    (run,) = runs_of(tiny, "train")
    env = (run / "env.json").read_text()
    seconds = re.sub(r'"run_seconds": [\d.e-]+', '"run_seconds": 70.0', env)
    (run / "env.json").write_text(
        re.sub(r'"compile_seconds": [\d.e-]+', '"compile_seconds": 5.0', seconds)
    )
    before = contents(tmp_path)
    called = call(*words, "tiny+logq", "--epochs", "9", "--show")  # another, like it
    assert contents(tmp_path) == before
    steps = int((run / "history.csv").read_text().splitlines()[-1].split(",")[1])
    step = 70 / (steps / 2)
    expected = f"{(5 + step * steps / 2 * 9) / 60:.2g} min"
    shown = value_of(lines_of(called), "time")
    assert shown.startswith(f"about {expected}, from 1 finished run of this shape")
    other = value_of(lines_of(call(*words, "tiny", "--dim", "4", "--show")), "time")
    assert "no finished run of this shape" in other
