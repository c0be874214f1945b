"""How many files this process may have open: too few are one line beforehand.

Met midway, the limit can end a library (the page's) in a way that nobody catches.
"""

import resource
import sys

from research.types import InputError

LEAST = 32  # what one process needs: 20 were seen, with the page
OWN, A_WORKER = 24, 3  # of a process with workers, and for each of them


def open_files() -> int:
    """The limit that ulimit -n shows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def check_open_files() -> None:
    """Looks whether one process can do its work.

    Raises:
      InputError: it can't.
    """
    if (most := open_files()) < LEAST:
        raise InputError(
            f"only {most} files may be open at once: {LEAST} are needed (ulimit -n)"
        )


def most_workers() -> int:
    """How many workers the limit allows; at least one."""
    return max(1, (open_files() - OWN) // A_WORKER)
