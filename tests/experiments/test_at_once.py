"""Runs that are alike in one program: the records of runs one by one."""

import csv

import numpy as np
import pytest

from experiments.arms import ARMS
from research.train import loop
from tests.experiments.made import SMALL, contents, runs_of, without_seals


@pytest.fixture
def steady(monkeypatch):
    """An arm whose training doesn't magnify rounding: vectors agree in float32.

    No user's vector is zero before it is normalised, and no ReLU is near its kink.
    """
    linear = {"user_features": ("age", "gender"), "user_hidden": (), "item_hidden": ()}
    monkeypatch.setitem(ARMS, "tiny", {**SMALL, **linear})


@pytest.fixture
def programs(monkeypatch):
    """How many runs each program that was asked for trains."""
    seen = []
    inner = loop.compiled_epoch

    def compiled(shape, runs=1):
        seen.append(runs)
        return inner(shape, runs)

    monkeypatch.setattr(loop, "compiled_epoch", compiled)
    return seen


def judged(out):
    """What is written of each run's lists, to the byte."""
    names = ("metrics.json", "per_user.npz")
    files = without_seals(contents(out))
    return {name: b for name, b in files.items() if name.endswith(names)}


def numbers(out, grid):
    """Vectors and losses of each run that was trained."""
    found = {}
    for folder in runs_of(out, grid):
        if (folder / "vectors.npz").is_file():
            vectors = dict(np.load(folder / "vectors.npz"))
            found[folder.name] = vectors | {"loss": losses_of(folder)}
    return found


def losses_of(folder):
    with (folder / "history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.usefixtures("steady")
def test_a_grid_at_once_is_the_grid(call, done, tmp_path, programs):
    words = ("run", "warm", "--out")
    done(*words, tmp_path / "at-once", "--at-once", "4")
    assert set(programs) == {4, 2}, "six runs of one shape, and popularity"
    programs.clear()
    done(*words, tmp_path / "alone")
    assert set(programs) == {1}
    one, other = (numbers(tmp_path / n, "warm") for n in ("at-once", "alone"))
    assert one.keys() == other.keys()
    assert len({run["loss"][-1] for run in one.values()}) == 6, "no two runs are one"
    for name, run in one.items():
        assert run["loss"] == pytest.approx(other[name]["loss"], rel=1e-5), name
        for side in ("users", "items"):
            expected = other[name][side]
            np.testing.assert_allclose(run[side], expected, atol=1e-5, err_msg=name)
    again = call(*words, tmp_path / "at-once", "--at-once", "4")
    assert "all 7 runs are finished already" in again.out
    # What is written of a run is what one by one is written of the same vectors.
    before = judged(tmp_path / "at-once")
    for folder in runs_of(tmp_path / "at-once", "warm"):
        (folder / "metrics.json").unlink()
    programs.clear()
    done(*words, tmp_path / "at-once")
    assert not programs, "nothing is trained again"
    assert judged(tmp_path / "at-once") == before
    assert len(set(before.values())) == len(before) == 2 * 7, "no two runs are one"


def test_a_lost_run_costs_itself_alone(call, tmp_path):
    called = call("run", "holed", "--out", tmp_path / "out", "--at-once", "4")
    assert called.status == 1
    assert called.out.count("failed: loss not finite at step") == 2
    assert called.out.count("tiny seed") == 2
    folders = runs_of(tmp_path / "out", "holed")
    assert sum((f / "failed.json").is_file() for f in folders) == 2
    whole = [f for f in folders if (f / "metrics.json").is_file()]
    assert len(whole) == 2
    assert [len(losses_of(folder)) for folder in whole] == [2, 2]


def test_what_breaks_a_program_fails_its_runs_with_the_reason(
    call, tmp_path, monkeypatch
):
    def broken(*_):
        raise MemoryError("no room for 4 runs")

    monkeypatch.setattr("experiments.engine.local.train_together", broken)
    called = call("run", "warm", "--out", tmp_path / "out", "--at-once", "4")
    assert called.status == 1
    assert called.err == ""
    assert called.out.count("failed: MemoryError at ") >= 6
    assert called.out.count("no room for 4 runs") >= 6
