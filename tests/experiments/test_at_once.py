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


def vectors_of(out, grid):
    """The vectors of each run that was trained, by side."""
    paths = [folder / "vectors.npz" for folder in runs_of(out, grid)]
    return {p.parent.name: dict(np.load(p)) for p in paths if p.is_file()}


def judged(out):
    """What is written of each run's lists, to the byte."""
    names = ("metrics.json", "per_user.npz")
    files = without_seals(contents(out))
    return {name: b for name, b in files.items() if name.endswith(names)}


def losses_of(out, grid):
    """The loss of each epoch of each run that was trained."""
    found = {}
    for path in (folder / "history.csv" for folder in runs_of(out, grid)):
        if path.is_file():
            with path.open() as file:
                rows = list(csv.DictReader(file))
            found[path.parent.name] = [float(row["loss"]) for row in rows]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("steady")
def test_a_grid_at_once_is_the_grid(call, tmp_path, programs):
    words = ("run", "warm", "--out")
    called = call(*words, tmp_path / "at-once", "--at-once", "4")
    assert called.status == 0, called
    assert set(programs) == {4, 2}, "six runs of one shape, and popularity"
    programs.clear()
    assert call(*words, tmp_path / "alone").status == 0
    assert set(programs) == {1}
    one, other = (vectors_of(tmp_path / n, "warm") for n in ("at-once", "alone"))
    assert one.keys() == other.keys()
    assert len(one) == 6
    for name in one:
        for side in ("users", "items"):
            found, expected = one[name][side], other[name][side]
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
    one, other = (losses_of(tmp_path / n, "warm") for n in ("at-once", "alone"))
    assert len(one) == 6
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-5), name
    assert len({losses[-1] for losses in one.values()}) == 6, "no two runs are one"
    again = call(*words, tmp_path / "at-once", "--at-once", "4")
    assert "all 7 runs are finished already" in again.out
    # What is written of a run is what one by one is written of the same vectors.
    before = judged(tmp_path / "at-once")
    for folder in runs_of(tmp_path / "at-once", "warm"):
        (folder / "metrics.json").unlink()
    programs.clear()
    assert call(*words, tmp_path / "at-once").status == 0
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
    for folder in whole:
        with (folder / "history.csv").open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


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
