"""How a side is asked: it gets ready once, then does a portion whenever it is told to.

So the sides of a comparison take turns, each in a process of its own that starts and
compiles once. Only the standard library is used here: every side has it.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

AGAIN = "again"
Answers = Iterator[dict[str, Any]]
_peak = 0  # what was seen so far: the system's peak may be made to start anew


def serve(tasks: Mapping[str, Callable[[dict[str, Any]], Answers]]) -> None:
    """Runs one side: its first argument is what it is told, as JSON.

    The task's first answer is about getting ready, each further one about a portion;
    when its input ends, the peak of memory follows.
    """
    told = json.loads(sys.argv[1])
    answers = tasks[told["task"]](told)
    _say(next(answers))
    for line in sys.stdin:
        if line.strip() == AGAIN:
            _say(next(answers))
    _say({"peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """The most memory that this process has had resident.

    Linux's own account of it, as getrusage counts the parent's until exec, too.
    """
    global _peak
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        told = next(line for line in lines if line.startswith("VmHWM"))
        _peak = max(_peak, int(told.split()[1]) * 1024)
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _peak = peak if sys.platform == "darwin" else peak * 1024
    return _peak


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)
