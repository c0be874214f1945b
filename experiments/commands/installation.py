"""Which copy of the project is imported: the clone at hand, or an installed one."""

from importlib.util import find_spec
from pathlib import Path


def conflict(here: Path) -> str | None:
    """Describes in one line how two copies of the project are mixed up.

    Returns:
        What is imported from where and what to do about it, or None where a single
        copy is in use.
    """
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
