"""The limit on open files: one that is too low is refused beforehand, in one line.

If it is only met midway, a library (the page's) can end in a way that can't be caught.
"""

import resource
import sys

from research.types import InputError

LEAST = 32  # files that one process needs: 20 were seen, with the page
OWN, A_WORKER = 24, 3  # files of a process with workers, and more for each of them


def open_files() -> int:
    """The limit that ulimit -n shows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def check_open_files() -> None:
    """Refuses a limit that is too low for one process.

    Raises:
      InputError: it is.
    """
    if (most := open_files()) < LEAST:
        raise InputError(
            f"only {most} files may be open at once: {LEAST} are needed (ulimit -n)"
        )


def most_workers() -> int:
    """How many workers the limit allows; at least one."""
    return max(1, (open_files() - OWN) // A_WORKER)
