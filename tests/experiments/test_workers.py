"""Worker processes: the same digits as in process, and a death costs one run."""

import os
import signal

import pytest

from experiments.engine import display
from experiments.engine import local as engine
from research.files import read_json
from tests.experiments.made import contents, runs_of, without_seals

KILLED = "worker killed by signal 9 (out of memory?)"


@pytest.fixture
def workers(monkeypatch):
    """Every worker that was given something to do."""
    seen = []
    inner = engine._Worker.give

    def give(self, *rest):
        if self not in seen:
            seen.append(self)
        inner(self, *rest)

    monkeypatch.setattr(engine._Worker, "give", give)
    return seen


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_worker_costs_its_run_alone(
    call, done, tmp_path, workers, monkeypatch
):
    killed = []

    def running(self, line):
        if killed or not line.startswith("tiny-long seed 0: epoch"):
            return
        (worker,) = (w for w in workers if w.run and w.run.name == "tiny-long seed 0")
        killed.append(worker.process.pid)
        os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(display.Display, "running", running)
    words = ("run", "killed", "--out", tmp_path / "two")
    called = call(*words, "--jobs", "2")
    assert killed, called
    assert called.status == 1
    assert called.err == ""
    assert f"tiny-long seed 0: failed: {KILLED}" in called.out
    assert "tiny seed 0: R@20" in called.out
    assert "tiny+logq seed 0: R@20" in called.out
    folders = runs_of(tmp_path / "two", "killed")
    (victim,) = (f for f in folders if (f / "failed.json").is_file())
    assert read_json(victim / "failed.json") == {"reason": KILLED}
    table = tmp_path / "two" / "tables" / "ml-100k" / "killed.md"
    assert f"failed: {KILLED}" in table.read_text()

    again = done(*words, "--jobs", "1")
    assert "killed: 3 runs, 2 finished already, 1 to do" in again.out
    assert not (victim / "failed.json").exists()

    # Whoever ran it, in process or in a worker: the same bytes.
    done("run", "killed", "--out", tmp_path / "one", "--jobs", "1")
    one, two = (
        without_seals(contents(tmp_path / where / "runs")) for where in ("one", "two")
    )
    assert sorted(one) == sorted(two)
    assert all(n.endswith("env.json") for n in one if one[n] != two[n])
    places = [read_json(folder / "env.json")["place"] for folder in folders]
    assert any(place.startswith("worker on core ") for place in places)
