"""--show: what runs would be, with no run trained and nothing written."""

import dataclasses
import re

import numpy as np
import pytest

from experiments import estimate
from experiments.arms import arm
from experiments.estimate import (
    Estimate,
    advice,
    estimated,
    of_first_users,
    steps_per_epoch,
)
from experiments.loaded import prepared_run
from experiments.looks import PRIORS
from research.temperature import LOST_FROM
from research.train import loop
from research.types import TooLarge
from tests.experiments.made import contents


@pytest.fixture
def untrained(monkeypatch):
    def trains(*arguments, **options):
        raise AssertionError("something was trained")

    monkeypatch.setattr(loop, "train_together", trains)


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
    assert re.search(r" ms a step, .* s an evaluation, ", value_of(lines, "time"))
    assert re.fullmatch(r"about [\d.]+ GiB a process", value_of(lines, "memory"))
    assert not any(_is(line, "advice") for line in lines)


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


def test_time_counts_steps_looks_and_evaluations(data):
    found = Estimate(step=0.5, once=3.0, evaluation=2.0, memory=1.0)
    config = dataclasses.replace(arm("tiny"), epochs=4, fit_on="train")
    run = prepared_run(config, str(data))
    training = 3 + 0.5 * 4 * steps_per_epoch(run)
    assert found.seconds(run) == training + 2
    assert found.seconds(run, servings=3) == training + 6
    looked = dataclasses.replace(config, evaluate_every=2)
    assert found.seconds(prepared_run(looked, str(data))) == training + 2 * 2 + 2
    by_prior = dataclasses.replace(looked, evaluate_prior="best")
    assert found.seconds(prepared_run(by_prior, str(data))) == (
        training + 2 * 2 * len(PRIORS) + 2
    )


def test_a_run_that_does_not_fit_is_timed_at_a_smaller_batch(data, monkeypatch):
    run = prepared_run(arm("tiny"), str(data))
    usual = estimated(run)
    assert usual.smaller is None
    monkeypatch.setattr(estimate, "machine_bytes", lambda: 10 * usual.memory)
    needs = iter([20 * usual.memory, 0.0, 0.0])
    real = estimate._compiled

    def small(one):
        compiled, _, operations = real(one)
        return compiled, next(needs), operations

    monkeypatch.setattr(estimate, "_compiled", small)
    found = estimated(run)
    assert found.smaller == run.config.batch // 2
    assert found.memory > usual.memory
    assert found.step > 0


def test_a_run_that_fits_with_no_batch_is_refused(data, monkeypatch):
    run = prepared_run(arm("tiny"), str(data))
    monkeypatch.setattr(estimate, "machine_bytes", lambda: 0)
    with pytest.raises(TooLarge, match=r"GiB, .* has 0 GiB: take a smaller --dim"):
        estimated(run)


def test_large_tables_and_catalogues_have_advice(data, monkeypatch):
    config = dataclasses.replace(arm("tiny"), negatives=("catalogue",), logq=0.0)
    full = prepared_run(config, str(data))
    monkeypatch.setattr(estimate, "LARGE", full.fold.fitted.n_items)
    optimiser, sample = advice(full)
    assert optimiser.startswith("adamw updates all ")
    assert "--optimiser lazy-adam" in optimiser
    assert "--negatives in-batch uniform:4096 --logq 1" in sample
    lazy = dataclasses.replace(arm("tiny"), optimiser="lazy-adam", weight_decay=0.0)
    assert advice(prepared_run(lazy, str(data))) == []


def test_the_first_users_of_a_fold_keep_their_positives(data):
    fold = prepared_run(arm("tiny"), str(data)).task.fold
    some = of_first_users(fold, 5)
    assert some.evaluated.tolist() == fold.evaluated[:5].tolist()
    kept = np.isin(fold.held_user, some.evaluated)
    assert some.held_item.tolist() == fold.held_item[kept].tolist()
    assert of_first_users(fold, 10**6).held_user.tolist() == fold.held_user.tolist()
