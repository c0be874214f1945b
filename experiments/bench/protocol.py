"""Sides of a comparison: how one is served, and how several are measured in turns.

A side gets ready once, then measures a portion whenever it is asked to. So the sides of
a comparison take turns (A B C, A B C), each in its own process, which starts and
compiles once. Only the standard library is used here, which every side has.
"""

import contextlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

PEERS = Path(".venv-peers") / "bin" / "python"  # has the other frameworks
PATIENCE = 1200.0  # seconds without an answer after which a side is given up
COMPARED = 5  # steps whose losses every side reports
FIRST = 64  # users whose lists every side reports
# The first answer is about getting ready, each further one about a portion.
Answers = Generator[dict[str, Any], None, None]
_peak = 0  # highest value so far, as the system's peak may be reset


def serve(tasks: Mapping[str, Callable[[dict[str, Any]], Answers]]) -> None:
    """Runs one side: its first argument is the request, as JSON.

    It says the next answer, with the peak of memory, for each line that it reads.
    """
    request = json.loads(sys.argv[1])
    for answer in tasks[request["task"]](request):
        print(json.dumps({**answer, "peak_bytes": peak_bytes()}), flush=True)
        if not sys.stdin.readline():
            return


def resident_bytes() -> tuple[int, int] | None:
    """This process's resident memory and its peak; None where /proc doesn't say."""
    try:
        text = Path("/proc/self/status").read_text()
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        now, peak = (int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):
        return None
    return now * 1024, peak * 1024


def peak_bytes() -> int:
    """The peak of this process's resident memory.

    On Linux it is read from /proc, as getrusage includes the parent's until exec.
    """
    global _peak
    if (held := resident_bytes()) is not None:
        _peak = max(_peak, held[1])
        return _peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def portion_slices(count: int, steps: int, start: int = 0) -> Iterator[slice]:
    """Slices of the steps of each portion, from the first step again at the end."""
    steps, first = min(steps, count), start
    while True:
        first = 0 if first + steps > count else first
        yield slice(first, first + steps)
        first += steps


def timed_lists(users: Any, size: int, rank: Callable[[Any], Any]) -> Answers:
    """Lists of the first users, then the seconds of a portion of users each time."""
    yield {"lists": rank(users[:FIRST]).tolist()}
    for part in portion_slices(len(users), size):
        clock = time.perf_counter()
        rank(users[part])
        yield {"seconds": time.perf_counter() - clock}


class Failed(Exception):
    """A side failed; the message says why."""


def process(
    python: Path,
    module: str,
    request: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
) -> Answers:
    """The answers of a side in a fresh process, which ends when they are closed.

    Between two answers it is stopped, as idle threads of a framework may work on.

    Raises:
      Failed: it ended, or has been silent for too long.
    """
    words = [str(python), "-m", module, json.dumps(request)]
    with tempfile.TemporaryFile("w+") as errors:
        side = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
        )
        assert side.stdin is not None
        assert side.stdout is not None
        try:
            while True:
                answer = _answer(side, errors)
                side.send_signal(signal.SIGSTOP)
                yield answer
                side.send_signal(signal.SIGCONT)
                with contextlib.suppress(BrokenPipeError):  # _answer says why it ended
                    side.stdin.write("\n")
                    side.stdin.flush()
        finally:
            side.kill()  # a stopped one could not see that nobody asks
            side.wait()
            side.stdout.close()
            with contextlib.suppress(BrokenPipeError):  # of a line not yet written
                side.stdin.close()


def _answer(side: "subprocess.Popen[str]", errors: IO[str]) -> dict[str, Any]:
    timer = threading.Timer(PATIENCE, side.kill)
    clock = time.perf_counter()
    timer.start()
    try:
        for line in side.stdout or ():
            if line.startswith("{"):  # a framework may print a line of its own
                answer: dict[str, Any] = json.loads(line)
                return answer
    finally:
        timer.cancel()
    code = side.wait()
    if time.perf_counter() - clock >= PATIENCE:
        raise Failed(f"no answer within {PATIENCE:g} s")
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    reason = lines[-1][:200] if lines else "no reason given"
    raise Failed(f"exit code {code}: {reason}")


class Turns(NamedTuple):
    """A side's answers: about getting ready, about each portion; or why it failed.

    seconds [1 + portions] are the wall time of each answer, start-up included.
    """

    ready: dict[str, Any]
    portions: list[dict[str, Any]]
    seconds: list[float]
    failed: str = ""


def take_turns(sides: Mapping[str, Answers], repeats: int) -> dict[str, Turns]:
    """Starts each side in turn, then asks them for a portion each, ``repeats`` times.

    In the end it closes them, also where it is interrupted.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    failed: dict[str, str] = {}
    try:
        for _ in range(1 + repeats):
            for name in [name for name in sides if name not in failed]:
                clock = time.perf_counter()
                try:
                    answers[name].append(next(sides[name]))
                    seconds[name].append(time.perf_counter() - clock)
                except Failed as error:
                    failed[name] = str(error)
    finally:
        for side in sides.values():
            side.close()
    return {
        name: Turns({}, [], [], failed[name])
        if name in failed
        else Turns(answers[name][0], answers[name][1:], seconds[name])
        for name in sides
    }
