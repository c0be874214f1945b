"""The sides of a comparison, one process each, measured in turns: A B C, A B C."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from experiments.bench.protocol import AGAIN, Answers

PATIENCE = 1200.0  # seconds without an answer after which a side is given up


class Failed(Exception):
    """A side couldn't do it; the message says why."""


class Side(Protocol):
    """What is asked: an answer about getting ready, then one a portion, then an end."""

    def ask(self) -> dict[str, Any]:
        """The next answer."""
        ...

    def close(self) -> dict[str, Any]:
        """Ends it; what it says of itself."""
        ...


class Turns(NamedTuple):
    """What a side answered: about getting ready, about each portion, at its end."""

    ready: dict[str, Any]
    portions: list[dict[str, Any]]
    end: dict[str, Any]


class Here:
    """A side in this process; what it takes of memory isn't told apart."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def ask(self) -> dict[str, Any]:
        """The next answer."""
        return next(self._answers)

    def close(self) -> dict[str, Any]:
        """Nothing is told."""
        return {}


class Process:
    """A side in a fresh process: an interpreter, a module, and what it is told."""

    def __init__(
        self,
        python: Path,
        module: str,
        told: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=env,
        )
        self._asked = self._silent = False

    def ask(self) -> dict[str, Any]:
        """The next answer.

        Raises:
          Failed: the process ended, or has been silent for too long.
        """
        if self._asked:
            self._process.send_signal(signal.SIGCONT)
            self._tell(AGAIN)
        self._asked = True
        answer = self._answer()
        # Until it is asked again: a framework's idle threads may go on working.
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def close(self) -> dict[str, Any]:
        """Ends the process.

        Returns:
          The peak of its memory, or nothing where it didn't live to tell.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.close()
            end = self._answer()
        except (Failed, BrokenPipeError):
            end = {}
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()
        return end

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._reason()) from None

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


def own(module: str, told: Mapping[str, Any]) -> Process:
    """A side of this project, in a process of this interpreter."""
    return Process(Path(sys.executable), module, told)


def take_turns(
    sides: Mapping[str, Callable[[], Side]], repeats: int
) -> dict[str, Turns | str]:
    """Starts each side in turn, then asks them for a portion each, ``repeats`` times.

    Args:
      sides: how each is started.
      repeats: portions of each.

    Returns:
      What each answered; the reason instead, where it failed.
    """
    found: dict[str, Turns | str] = {}
    started: dict[str, Side] = {}
    for name, start in sides.items():
        side = started[name] = start()
        try:
            found[name] = Turns(side.ask(), [], {})
        except Failed as error:
            found[name] = str(error)
    for _ in range(repeats):
        for name, side in started.items():
            turns = found[name]
            if isinstance(turns, str):
                continue
            try:
                turns.portions.append(side.ask())
            except Failed as error:
                found[name] = str(error)
    for name, side in started.items():
        end, turns = side.close(), found[name]
        if isinstance(turns, Turns):
            found[name] = turns._replace(end=end)
    return found
