"""Locks of an output folder, so that two processes don't do the same run or table.

The kernel releases a process's locks when it ends, however it ends.
"""

import contextlib
import errno
import fcntl
from pathlib import Path

from research import files

HELD = (errno.EAGAIN, errno.EACCES)
LOCKS = ".locks"  # in runs/: an empty file, which may be deleted when nothing runs


class Claims(contextlib.AbstractContextManager["Claims"]):
    """The runs of a folder that this process is doing, by a lock on one byte per run.

    A run that is claimed here can't be claimed by another process. Within a process one
    instance at a time may be open, as closing a file releases all of a process's locks.

    Args:
      runs: the folder runs of an output folder.
    """

    def __init__(self, runs: Path) -> None:
        runs.mkdir(parents=True, exist_ok=True)
        self.file = (runs / LOCKS).open("ab")

    def take(self, identity: str) -> bool:
        """Claims a run; returns whether that succeeded."""
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(identity))
        except OSError as error:
            if error.errno in HELD:
                return False
            raise
        return True

    def wait(self, identity: str) -> None:
        """Waits until no other process is doing a run, then claims it."""
        fcntl.lockf(self.file, fcntl.LOCK_EX, 1, _byte(identity))

    def release(self, identity: str) -> None:
        """Gives a run back, finished or not."""
        fcntl.lockf(self.file, fcntl.LOCK_UN, 1, _byte(identity))

    def __exit__(self, *error: object) -> None:
        """Gives all runs back."""
        self.file.close()


def _byte(identity: str) -> int:
    return int(identity, 16)


def alone(out: Path) -> contextlib.AbstractContextManager[None]:
    """Waits until no other process writes the folder's records, tables and figures."""
    return files.alone(out) if out.is_dir() else contextlib.nullcontext()
