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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

PEERS = Path(".venv-peers") / "bin" / "python"  # has the other frameworks
AGAIN = "again"
PATIENCE = 1200.0  # seconds without an answer after which a side is given up
COMPARED = 5  # steps whose losses every side reports
FIRST = 64  # users whose lists every side reports
Answers = Iterator[dict[str, Any]]
_peak = 0  # highest value so far, as the system's peak may be reset


def serve(tasks: Mapping[str, Callable[[dict[str, Any]], Answers]]) -> None:
    """Runs one side: its first argument is the request, as JSON.

    The task's first answer is about getting ready, each further one about a portion;
    when its input ends, the peak of memory follows.
    """
    request = json.loads(sys.argv[1])
    answers = tasks[request["task"]](request)
    _say(next(answers))
    for line in sys.stdin:
        if line.strip() == AGAIN:
            _say(next(answers))
    _say({"peak_bytes": peak_bytes()})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def peak_bytes() -> int:
    """The peak of this process's resident memory.

    On Linux it is read from /proc, as getrusage includes the parent's until exec.
    """
    global _peak
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak_line = next(line for line in lines if line.startswith("VmHWM"))
        _peak = max(_peak, int(peak_line.split()[1]) * 1024)
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _peak = peak if sys.platform == "darwin" else peak * 1024
    return _peak


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


class Turns(NamedTuple):
    """A side's answers: about getting ready, about each portion, at its end.

    seconds [1 + portions] are the wall time of each answer, start-up included.
    """

    ready: dict[str, Any]
    portions: list[dict[str, Any]]
    end: dict[str, Any]
    seconds: list[float]


class Here:
    """A side in this process, whose memory isn't reported separately."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def ask(self) -> dict[str, Any]:
        """The next answer."""
        return next(self._answers)

    def close(self) -> dict[str, Any]:
        """Nothing is reported."""
        return {}

    def kill(self) -> None:
        """Nothing runs between two answers."""


class Process:
    """A side in a fresh process: an interpreter, a module, and the request."""

    def __init__(
        self,
        python: Path,
        module: str,
        request: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=env,
        )
        self._ready = self._silent = False

    def ask(self) -> dict[str, Any]:
        """The next answer.

        Raises:
          Failed: the process ended, or has been silent for too long.
        """
        if self._ready:
            self._process.send_signal(signal.SIGCONT)
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(AGAIN + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise Failed(self._reason()) from None
        self._ready = True
        answer = self._answer()
        # Stopped until it is asked again, as idle threads of a framework may work on.
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def close(self) -> dict[str, Any]:
        """Ends the process.

        Returns:
          The peak of its memory, or nothing where it ended before.
        """
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.close()
            end = self._answer()
        except (Failed, BrokenPipeError):
            end = {}
        self.kill()
        return end

    def kill(self) -> None:
        """Ends the process at once; a stopped one could not see that nobody asks."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):  # of a request not yet written
                stream.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._give_up)
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith("{"):  # a framework may print a line of its own
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        finally:
            timer.cancel()
        raise Failed(self._reason())

    def _give_up(self) -> None:
        self._silent = True
        self._process.kill()

    def _reason(self) -> str:
        code = self._process.wait()
        if self._silent:
            return f"no answer within {PATIENCE:g} s"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"exit code {code}: {lines[-1][:200] if lines else 'no reason given'}"


Side = Here | Process


def take_turns(
    sides: Mapping[str, Callable[[], Side]], repeats: int
) -> dict[str, Turns | str]:
    """Starts each side in turn, then asks them for a portion each, ``repeats`` times.

    Returns:
      What each answered; the reason instead, where it failed.
    """
    started: dict[str, Side] = {}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    reasons: dict[str, str] = {}
    try:
        for turn in range(1 + repeats):
            for name, start in sides.items():
                if name in reasons:
                    continue
                clock = time.perf_counter()
                if turn == 0:
                    started[name] = start()
                try:
                    answers[name].append(started[name].ask())
                    seconds[name].append(time.perf_counter() - clock)
                except Failed as error:
                    reasons[name] = str(error)
        ends = {name: side.close() for name, side in started.items()}
    finally:
        for side in started.values():
            side.kill()
    return {
        name: reasons[name]
        if name in reasons
        else Turns(each[0], each[1:], ends[name], seconds[name])
        for name, each in answers.items()
    }
