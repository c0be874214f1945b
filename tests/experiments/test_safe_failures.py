"""What fails midway is named, costs itself alone, and is no traceback."""

import errno
import os
import resource
import signal

import pytest

from experiments import finish as finishing
from experiments import loaded, runs
from experiments.commands.preconditions import LEAST
from experiments.engine.local import death
from research import files
from research.compiler import cores
from tests.experiments.made import contents, refused, runs_of
from tests.process import started

WORDS = ("run", "few", "--seeds", "1", "--arms", "popularity", "tiny", "--out")


@pytest.fixture
def full(monkeypatch):
    """Files whose path holds a word can't be written: no space is left."""

    def full(word):
        inner = files.os.replace

        def replace(part, path):
            if word in str(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            inner(part, path)

        monkeypatch.setattr(files.os, "replace", replace)

    return full


def test_a_folder_that_cant_be_written_costs_its_run_alone(call, tmp_path, full):
    full("tiny-seed-0")
    reason = os.strerror(errno.ENOSPC)
    called = call(*WORDS, tmp_path)
    assert called.status == 1
    assert called.err == ""
    (line,) = [s for s in called.out.splitlines() if "tiny seed 0" in s]
    assert "failed: OSError at " in line
    assert reason in line
    assert "popularity: R@20" in called.out
    table = (tmp_path / "tables" / "ml-100k" / "few.md").read_text()
    assert reason in table, "no file of the run tells it"
    assert not [name for name in contents(tmp_path) if "tiny-seed" in name]
    (whole,) = (f for f in runs_of(tmp_path, "few") if (f / "metrics.json").is_file())
    assert whole.name.startswith("popularity")


TOO_LITTLE = (
    MemoryError(),
    MemoryError("Unable to allocate 4.39 MiB"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 1414738096 bytes."),
)


@pytest.mark.parametrize("error", TOO_LITTLE, ids=str)
@pytest.mark.parametrize("where", ["the data", "a run"])
def test_too_little_memory_is_one_line(where, error, call, tmp_path, monkeypatch):
    """Outside of runs it ends the command; in this process, too, it costs one run."""

    def broken(*_):
        raise error

    if where == "the data":
        monkeypatch.setattr(loaded, "_ratings", broken)
        called = call(*WORDS, tmp_path)
        (line,) = called.err.splitlines()
        assert line.startswith("error: out of memory")
    else:
        monkeypatch.setattr(runs, "train_together", broken)
        called = call(*WORDS, tmp_path)
        (line,) = (s for s in called.out.splitlines() if "tiny seed 0: failed" in s)
        assert "popularity: R@20" in called.out
    assert called.status == 1
    assert str(error).split("\n")[0] in line


@pytest.mark.parametrize("word", ["records/", "index.csv", "few.csv"])
def test_tables_that_cant_be_written_are_one_line(word, call, few, full):
    full(word)
    called = call("run", "few", "--out", few)
    assert called.status == 1
    assert called.err.startswith("error: ")
    assert called.err.endswith(": No space left on device\n")
    assert called.err.count("\n") == 1
    assert not [name for name in contents(few) if name.endswith(files.PART)]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-signal.SIGKILL, "worker killed by signal 9 (out of memory?)"),
        (-signal.SIGSEGV, "worker killed by signal 11"),
        (3, "worker died (exit code 3)"),
    ],
)
def test_how_a_worker_died(code, reason):
    assert death(code) == reason


def test_too_few_open_files_are_refused(call, done, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (LEAST - 1, -1))
    refused(call("list"), f"only {LEAST - 1} files may be open", "ulimit -n")
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2
    )
    done("list", "losses")


@pytest.mark.parametrize(
    ("jobs", "files", "most", "why"),
    [
        ("1000", -1, 4 * len(cores()), "jobs is 1000: {} workers, at most 4 per core"),
        ("3", LEAST, 2, "2 of 3 workers, as only {files} files may be open"),
    ],
)
def test_workers_are_limited_with_a_word(
    jobs, files, most, why, call, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        finishing, "run_in_workers", lambda *given: asked.append(given[-1])
    )
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, -1))
    called = call(*WORDS, tmp_path, "--jobs", jobs)
    assert asked == [most]
    assert called.err == why.format(most, files=files) + "\n"


GREEDY = """
import numpy as np
import resource
import sys
from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.grid import Grid
from experiments.grids import GRIDS
from research.baselines import BASELINES, Baseline

def fit(fold, options, seed):
    return np.ones(1 << 50)

BASELINES["greedy"] = Baseline(fit, {})
ARMS["greedy"] = {"model": "greedy"}
about = {"swept": {}, "question": "?", "minutes": "0", "seeds": 1}
arms = ("greedy", "popularity", "recent-popularity")
GRIDS["greedy"] = Grid(name="greedy", arms=arms, reference="popularity", **about)
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    sys.exit(main())
"""


@pytest.mark.slow
def test_out_of_memory_and_few_open_files_in_workers(data, tmp_path):
    """Really: no machine has so much, and 40 files are few for eight workers."""
    (tmp_path / "greedy.py").write_text(GREEDY)
    words = ("run", "greedy", "--jobs", "8", "--data-dir", data, "--out", tmp_path)
    process = started((tmp_path / "greedy.py",), *words)
    out, told = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "Traceback" not in told
    (line,) = (s for s in out.splitlines() if "greedy: failed" in s)
    assert "MemoryError at " in line
    assert out.count(": R@20 ") == 2
    table = (tmp_path / "tables" / "ml-100k" / "greedy.md").read_text()
    assert "MemoryError" in table
