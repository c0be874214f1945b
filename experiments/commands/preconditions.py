"""What must hold before any command starts: one copy of the project, enough open files.

Nothing of the project is imported here, as it may be the wrong copy.
"""

import resource
import sys
from importlib.util import find_spec
from pathlib import Path

LEAST = 32  # files that one process needs: 20 were seen, with the page
OWN, A_WORKER = 24, 3  # files of a process with workers, and more for each of them


def refusal() -> str | None:
    """Why no command can start, in one line; None where one can.

    A limit on open files that is only met midway can end a library (the page's) in a
    way that can't be caught.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return "the current folder was removed"
    if line := conflict(here):
        return line
    if (most := open_files()) < LEAST:
        return f"only {most} files may be open at once: {LEAST} are needed (ulimit -n)"
    return None


def open_files() -> int:
    """The limit that ulimit -n shows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def most_workers() -> int:
    """How many workers the limit allows; at least one."""
    return max(1, (open_files() - OWN) // A_WORKER)


def conflict(here: Path) -> str | None:
    """How two copies of the project are mixed up, and what to do; None: they aren't."""
    research, experiments = (_folder_of(name) for name in ("research", "experiments"))
    if research != experiments:
        return (
            f"research is imported from {research}, experiments from {experiments}: "
            "remove one of them (pip uninstall two-tower-ssb), then run make"
        )
    here = here.resolve()
    clones = (folder for folder in (here, *here.parents) if _is_clone(folder))
    clone = next(clones, experiments)
    if clone != experiments:
        return (
            f"{clone} is a clone of the project, but research and experiments are "
            f"imported from {experiments}: run make in {clone} and use its .venv"
        )
    return None


def _folder_of(package: str) -> Path | None:
    """The folder that holds a package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve().parents[1]


def _is_clone(folder: Path) -> bool:
    return all(
        (folder / file).is_file()
        for file in ("experiments/__main__.py", "research/__init__.py")
    )
