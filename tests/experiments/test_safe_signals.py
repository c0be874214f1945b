"""Signals: one line, the exit status of the signal, no process and no part left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.commands.signals import Stopped, stopped
from research.files import PART, replace, sweep
from tests.experiments.made import contents, runs_of
from tests.process import python, started

PROGRAM = ("-m", "tests.experiments.program")
# The command line around a command that only sleeps, so that it starts in no time.
SLEEPS = """
import sys, time
from pathlib import Path
import experiments.__main__ as program
from research.files import _whole

def parse(words):
    def command():
        with _whole(Path(words[0])):
            print("begun", flush=True)
            time.sleep(60)
    return command

program.parse = parse
sys.exit(program.main())
"""
# A signal while Python ends: it removes the last objects once it handles no signals.
OVER = """
import os, sys
from experiments.commands.signals import catch_signals

class Last:
    def __del__(self, kill=os.kill, process=os.getpid(), number=int(sys.argv[1])):
        kill(process, number)

catch_signals()
last = Last()
sys.exit(1)
"""
SWALLOW = """
def swallow():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def skip_if_ignored(number):
    """Skips a test of a signal that its processes inherit as ignored, as with nohup."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("who started the tests ignores this signal")


def ends(number, code, *words):
    """The program begins, and a signal ends it with one line and its status."""
    skip_if_ignored(number)
    process = started(("-c", code), *words)
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == STATUS[number] == 128 + number
    assert told.endswith("finished runs are kept, run again to go on\n")
    assert told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_ends_with_one_line_and_its_status(number, tmp_path):
    ends(number, SLEEPS, tmp_path / "made")
    assert contents(tmp_path) == {}, "no part is left"


# The program itself, with an import that takes forever, as those of a cold start do.
IMPORTS = """
import runpy, sys, time

class Slow:
    def find_spec(self, name, *places):
        if name == sys.argv[1]:
            print("begun", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
"""
PROGRAMS = {
    "module": 'runpy.run_module("experiments", run_name="__main__", alter_sys=True)',
    "script": "from experiments.__main__ import main; sys.exit(main())",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["numpy", "tyro", "research.types"])
def test_a_signal_while_modules_are_imported_is_one_line_too(program, name):
    for number in (signal.SIGINT, signal.SIGTERM):
        ends(number, IMPORTS + PROGRAMS[program], name)


DEADLINE = "import experiments.commands.signals as s\ns.DEADLINE = {}\n"
UNRAISABLE = "ended = type('', (), {'__del__': lambda one: time.sleep(60)})()"
# What takes the place of a sleep, by what it stands for; the deadline.
STUCK = {
    # Native code that is being loaded would abort on an exception, or keep it.
    "an import": (IMPORTS + PROGRAMS["module"], "class Slow", "swallow()", 600),
    "a compilation": (SLEEPS, "def parse", "swallow()", 0.2),
    "a library's callback": (
        *(SLEEPS, "def parse", f"{UNRAISABLE}; del ended; time.sleep(60)", 0.2),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", STUCK)
def test_what_no_exception_ends_is_ended(case, tmp_path):
    code, begin, stuck, deadline = STUCK[case]
    code = code.replace("time.sleep(60)", stuck).replace(begin, f"{SWALLOW}\n{begin}")
    word = "numpy" if case == "an import" else tmp_path / "made"
    ends(signal.SIGTERM, DEADLINE.format(deadline) + code, word)
    sweep(tmp_path)  # as the next run does when it starts
    assert contents(tmp_path) == {}


def test_importing_the_command_line_catches_no_signal():
    now = f"[signal.getsignal(n) for n in {[int(n) for n in STATUS]}]"
    code = f"import signal; before = {now}; import experiments.__main__"
    python("-c", f"{code}; assert before == {now}")


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_so(tmp_path):
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SLEEPS
    process = started(("-c", code.replace("sleep(60)", "sleep(1)")), tmp_path / "made")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_when_all_is_over_leaves_the_status_as_it_is(number):
    skip_if_ignored(number)
    process = started(("-c", OVER), int(number))
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 1


@pytest.mark.slow
def test_output_that_nobody_reads_ends_the_command():
    process = started(("-m", "experiments"), "list", "api")
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait(timeout=60) == 141
    process.stderr.close()
    assert told.startswith("output closed: ")
    assert told.count("\n") == 1


def test_in_a_notebook_an_interruption_is_one_line_too(capsys):
    assert stopped(signal.SIGINT) == 130
    assert capsys.readouterr().err.startswith("interrupted: ")
    assert not isinstance(Stopped(1), Exception), "no run's failure"


def test_parts_of_the_dead_are_removed_and_of_the_living_kept(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    name = replace(tmp_path / "whole.csv", b"whole").name
    node = os.uname().nodename
    for process in (dead.stdout.strip(), str(os.getpid())):
        (tmp_path / f"{name}.{node}.{process}{PART}").write_bytes(b"half")
    (tmp_path / f"{name}.elsewhere.{dead.stdout.strip()}{PART}").write_bytes(b"half")
    sweep(tmp_path)
    assert len(contents(tmp_path)) == 3
    assert not list(tmp_path.glob(f"*{node}.{dead.stdout.strip()}{PART}"))


ORPHAN = """
import os, sys, time
from multiprocessing import get_context
from experiments.commands.signals import die_with_parent

def child(parent):
    die_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    get_context("spawn").Process(target=child, args=(os.getpid(),)).start()
    time.sleep(60)
"""


def gone(process, seconds=5.0):
    """Whether a process ends within so many seconds."""
    until = time.monotonic() + seconds
    while Path(f"/proc/{process}").exists() and time.monotonic() < until:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return True
        time.sleep(0.05)
    return not Path(f"/proc/{process}").exists()


def processes_of(session):
    """Ids of a session's processes with their command lines, the dead left out.

    Ray's workers are in groups of their own.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (
                (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            )
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found[int(folder.name)] = line
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_a_worker_ends_with_its_parent(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    process = started((tmp_path / "orphan.py",))
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    assert gone(worker)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [*STATUS, signal.SIGKILL])
def test_a_grid_that_is_ended_leaves_no_process_and_no_part(number, data, tmp_path):
    skip_if_ignored(number)
    out = tmp_path / "out"
    words = ("run", "killed", "--jobs", "2", "--data-dir", data, "--out", out)
    process = started(PROGRAM, *words, start_new_session=True)
    lines = [process.stdout.readline() for _ in range(3)]
    assert "[2/3]" in lines[2], lines
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    assert children.split()
    os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(
        process.pid, number
    )
    _, told = process.communicate(timeout=60)
    assert process.returncode == STATUS.get(number, -number)
    assert told.count("\n") == (number in STATUS)
    assert all(gone(int(child)) for child in children.split())
    assert not [name for name in contents(out) if name.endswith(PART)]
    whole = [f for f in runs_of(out, "killed") if (f / "metrics.json").is_file()]
    assert len(whole) == 2
