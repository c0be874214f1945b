"""Signals that end a command: one line, an exit status, and no process left."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEADLINE = 4.0  # seconds to end in order, where a compilation can't be interrupted
CLOSED = 128 + signal.SIGPIPE  # exit status when what reads the output is gone
IMPORTER = "<frozen importlib._bootstrap>"  # the file of Python's frames of imports
_KEPT = "finished runs are kept, run again to go on"


class Stopped(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def catch_signals() -> None:
    """Makes Ctrl-C, SIGTERM and SIGHUP raise Stopped in the main thread, once.

    If the main thread can't be interrupted within DEADLINE seconds, the process ends
    its workers and then itself. A signal that is ignored (nohup) stays so. Once Python
    itself ends, all are: the status of a command that is over stays its own.
    """
    caught = [n for n in ENDS if signal.getsignal(n) != signal.SIG_IGN]
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read_end,), daemon=True).start()
    for number in caught:
        signal.signal(number, _stop)
    sys.unraisablehook = _unraisable
    # The first that is registered is the last to be called: nothing is left to stop.
    atexit.register(_ignore, caught)


def _ignore(numbers: Iterable[int]) -> None:
    """Ignores signals: Python, as it ends, would restore those that kill."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _unraisable(arguments: "sys.UnraisableHookArgs") -> None:
    """Ignores a Stopped that a library's callback swallows: _watch ends the process."""
    if not issubclass(arguments.exc_type, Stopped):
        sys.__unraisablehook__(arguments)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores the handlers of Ctrl-C, SIGTERM and SIGHUP that a library replaces."""
    before = {number: signal.getsignal(number) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    for other in ENDS:
        signal.signal(other, signal.SIG_IGN)  # no second signal disturbs the end
    if _importing(frame):  # native code that is being loaded aborts on an exception
        _end(number)
    raise Stopped(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTER:
        frame = frame.f_back
    return frame is not None


def _end(number: int) -> None:
    """Ends the workers, then this process, from wherever it is."""
    for child in multiprocessing.active_children():
        child.kill()
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        sys.stdout.flush()
    stopped(number)
    os._exit(128 + number)


def _watch(read_end: int) -> None:
    """In a thread: after a signal, waits for the main thread, then ends the process."""
    number = os.read(read_end, 1)[0]
    if number not in ENDS:
        return
    time.sleep(DEADLINE)
    _end(number)


def stopped(number: int) -> int:
    """Says that a signal ended the command; returns its exit status."""
    names = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
    tell(f"{names.get(signal.Signals(number), 'hung up')}: {_KEPT}")
    return 128 + number


def output_closed() -> int:
    """Says that the reader of the output is gone; returns the exit status."""
    with contextlib.suppress(OSError, ValueError):  # else its flush fails at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    tell(f"output closed: {_KEPT}")
    return CLOSED


def tell(line: str) -> None:
    """Prints one line on stderr, if anyone reads it."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def die_with_parent(parent: int) -> None:
    """On Linux: the kernel ends this process when its parent dies, however it dies.

    Elsewhere a worker ends when it next writes to its parent.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
