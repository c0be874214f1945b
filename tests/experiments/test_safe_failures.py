"""What fails midway is named, costs itself alone, and is no traceback."""

import errno
import os
import signal

import pytest

from experiments import finish as finishing
from experiments.engine.local import cores, death
from experiments.folders import id_of
from research import files
from tests.experiments.made import contents, runs_of

WORDS = ("run", "few", "--seeds", "1", "--arms", "popularity", "tiny", "--out")


@pytest.fixture
def full(monkeypatch):
    """No space left for files whose path holds a word."""

    def full(word):
        inner = files.os.replace

        def replace(part, path):
            if word in str(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            inner(part, path)

        monkeypatch.setattr(files.os, "replace", replace)

    return full


def test_a_disk_that_is_full_for_one_run_costs_it_alone(call, tmp_path, full):
    full("tiny-seed-0")
    called = call(*WORDS, tmp_path)
    assert called.status == 1
    assert called.err == ""
    (line,) = [s for s in called.out.splitlines() if "tiny seed 0" in s]
    assert "failed: OSError at " in line
    assert "No space left on device" in line
    assert "popularity: R@20" in called.out
    table = (tmp_path / "tables" / "ml-100k" / "few.md").read_text()
    assert "No space left on device" in table, "no file of the run tells it"
    assert not [name for name in contents(tmp_path) if "tiny-seed" in name]
    (whole,) = (f for f in runs_of(tmp_path, "few") if (f / "metrics.json").is_file())
    assert whole.name.startswith("popularity")


@pytest.mark.parametrize("word", ["records/", "index.csv", "few.csv"])
def test_tables_that_cant_be_written_are_one_line(word, call, tmp_path, full):
    full(word)
    called = call(*WORDS, tmp_path)
    assert called.status == 1
    assert called.err.startswith("error: ")
    assert called.err.endswith(": No space left on device\n")
    assert called.err.count("\n") == 1
    assert not [name for name in contents(tmp_path) if name.endswith(files.PART)]


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


def test_a_thousand_workers_are_limited_with_a_word(call, tmp_path, monkeypatch):
    asked = []

    def workers(runs, data_dir, finished, running, jobs):
        asked.append(jobs)
        finishing.run_here(runs, data_dir, finished, running)

    monkeypatch.setattr(finishing, "run_in_workers", workers)
    called = call(*WORDS, tmp_path, "--jobs", "1000")
    most = finishing.PER_CORE * len(cores())
    assert asked == [most]
    assert called.err == f"jobs is 1000: {most} workers, 4 a core at most\n"
    assert {id_of(folder) for folder in runs_of(tmp_path, "few")}
