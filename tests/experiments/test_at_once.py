"""Runs that are alike in one program: the records of runs one by one."""

import csv

import pytest

from research.files import read_json
from research.train import loop
from tests.experiments.made import runs_of


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


def metrics_of(out, grid):
    return {f.name: read_json(f / "metrics.json") for f in runs_of(out, grid)}


def losses_of(out, grid):
    """The loss of each epoch of each run that was trained."""
    found = {}
    for path in (folder / "history.csv" for folder in runs_of(out, grid)):
        if path.is_file():
            with path.open() as file:
                rows = list(csv.DictReader(file))
            found[path.parent.name] = [float(row["loss"]) for row in rows]
    return found


def test_a_grid_at_once_is_the_grid(call, tmp_path, programs):
    words = ("run", "warm", "--out")
    called = call(*words, tmp_path / "at-once", "--at-once", "4")
    assert called.status == 0, called
    assert set(programs) == {4, 2}, "six runs of one shape, and popularity"
    programs.clear()
    assert call(*words, tmp_path / "alone").status == 0
    assert set(programs) == {1}
    one, other = (metrics_of(tmp_path / n, "warm") for n in ("at-once", "alone"))
    assert len(one) == 7
    assert one.keys() == other.keys()
    for name in one:
        for metric, values in one[name].items():
            # Rounding may change a place in a list; clicks are counted, not shares.
            near = pytest.approx(other[name][metric], abs=0.02, rel=0.01)
            assert values == near, metric
    one, other = (losses_of(tmp_path / n, "warm") for n in ("at-once", "alone"))
    assert len(one) == 6
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-3), name
    assert len({losses[-1] for losses in one.values()}) == 6, "no two runs are one"
    again = call(*words, tmp_path / "at-once", "--at-once", "4")
    assert "all 7 runs are finished already" in again.out


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
