"""Two processes on one output folder: no run is done twice, and none is lost."""

import subprocess
from functools import cache

import pytest

from experiments.output.locks import Claims, alone
from experiments.output.plan import Run, still_due
from research.config import Config
from research.report.records import load_records
from research.serving import AS_TRAINED, Serving
from tests.experiments.made import choices, contents, runs_of
from tests.experiments.test_safe_signals import PROGRAM
from tests.process import started

ONE, TWO = "0123456789ab", "ba9876543210"


def elsewhere(code, *words):
    """A process that runs code, and says a line when it has begun."""
    process = started(("-c", code), *words, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "begun\n"
    return process


HOLDS = f"""
import sys
from pathlib import Path
from experiments.output.locks import Claims
claims = Claims(Path(sys.argv[1]))
assert claims.take("{ONE}")
print("begun", flush=True)
sys.stdin.read()
"""


def test_what_one_process_claims_no_other_can(tmp_path):
    other = elsewhere(HOLDS, tmp_path)
    with Claims(tmp_path) as claims:
        assert not claims.take(ONE)
        assert claims.take(TWO)
        assert claims.take(TWO), "it is ours already"
        other.kill()  # the kernel gives back what it held
        claims.wait(ONE)
        assert claims.take(ONE)
    other.communicate()


def test_a_folder_is_written_by_one_at_a_time(tmp_path):
    code = """
import sys
from pathlib import Path
from experiments.output.locks import alone
with alone(Path(sys.argv[1])):
    print("begun", flush=True)
    sys.stdin.readline()
    Path(sys.argv[1], "written").touch()
"""
    other = elsewhere(code, tmp_path)
    other.stdin.write("go on\n")
    other.stdin.flush()
    with alone(tmp_path):
        assert (tmp_path / "written").is_file()
    other.communicate()
    with alone(tmp_path / "not there"):
        assert not (tmp_path / "not there").exists()


def test_a_run_that_another_process_finished_is_not_due(few):
    folder = runs_of(few, "few")[0]
    config = Config(model="popularity")
    run = Run(config, (AS_TRAINED, Serving(1.0)), folder, "popularity")
    assert still_due(run).servings == (Serving(1.0),)
    assert still_due(run._replace(servings=(AS_TRAINED,))) is None
    other = folder.parents[1] / "warm" / f"popularity-{folder.name[-12:]}"
    assert still_due(run._replace(servings=(AS_TRAINED,), folder=other)) is None
    assert still_due(run._replace(save=few)).save == few


def test_a_run_that_another_process_is_at_is_waited_for(done, few):
    folder = runs_of(few, "few")[0]
    (folder / "metrics.json").unlink()
    code = HOLDS.replace(ONE, folder.name[-12:])
    code = code.replace("sys.stdin.read()", "import time; time.sleep(1)")
    other = elsewhere(code, few / "runs")
    called = done("run", "few", "--out", few)
    assert called.err == "a run is done by another process: waiting for it\n"
    assert "[1/1] popularity: R@20" in called.out, "it was left undone"
    other.communicate()


TUNE = ("run", "few", "--tune", "2", "--jobs", "1")
CHOOSE = ("choose", "ml-100k", "--minutes", "1000", "--seeds", "1", "--jobs", "1")


@pytest.fixture(scope="module")
def chosen_alone(data, tmp_path_factory):
    """What a command chooses that is alone on its folder."""

    @cache
    def chosen_alone(words):
        out = tmp_path_factory.mktemp("alone")
        process = started(PROGRAM, *words, "--data-dir", data, "--out", out)
        told = process.communicate()[0]
        assert process.returncode == 0, told
        found = choices(out)
        assert found
        return found

    return chosen_alone


@pytest.mark.slow
@pytest.mark.parametrize("words", [TUNE, CHOOSE], ids=lambda words: words[0])
def test_two_choices_at_once_do_each_trial_once(words, data, chosen_alone, tmp_path):
    alone, line = chosen_alone(words), (*words, "--data-dir", data, "--out", tmp_path)
    both = [started(PROGRAM, *line) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    done = [line for text in told for line in text.splitlines() if ": R@20 " in line]
    assert len(done) <= len(list(tmp_path.glob("runs/*/*/*/metrics.json")))
    assert choices(tmp_path) == alone
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]


@pytest.mark.slow
def test_reports_beside_a_choice_change_nothing(data, chosen_alone, tmp_path):
    where = ("--data-dir", data, "--out", tmp_path)
    chooses = started(PROGRAM, *CHOOSE, *where)
    reports = []
    while chooses.poll() is None:
        report = started(PROGRAM, "report", "--out", tmp_path)
        reports.append((report.communicate()[1], report.returncode))
    told = chooses.communicate()[1]
    assert chooses.returncode == 0, told
    # 2: there was nothing to report yet
    assert {status for _, status in reports} <= {0, 2}, reports
    assert not any("Traceback" in text for text, _ in reports)
    assert choices(tmp_path) == chosen_alone(CHOOSE)
    report = started(PROGRAM, "report", "--out", tmp_path)
    assert (report.communicate()[1], report.returncode) == ("", 0)
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]


@pytest.mark.slow
def test_two_grids_at_once_are_one_grid(data, tmp_path):
    words = ("run", "warm", "--jobs", "1", "--data-dir", data, "--out", tmp_path)
    both = [started(PROGRAM, *words) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    done = [line for text in told for line in text.splitlines() if ": R@20 " in line]
    assert len(done) == len({line.split("] ")[1].split(":")[0] for line in done}) == 7
    assert len(runs_of(tmp_path, "warm")) == 7
    assert len(load_records(tmp_path / "records" / "ml-100k" / "warm.npz")) == 12
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]
