"""Grids and studies by name, for every command that takes one."""

from pathlib import Path

from experiments.grid import Grid
from experiments.grids import GRIDS
from experiments.studies import STUDIES
from experiments.study import Study
from research.types import InputError, choose


def experiments() -> dict[str, Grid | Study]:
    """Every grid and every study by its name, those added from outside included."""
    return {**GRIDS, **STUDIES}


def find(name: str) -> Grid | Study:
    """The grid or the study of that name.

    Raises:
      InputError: there is none; the line names the choices and the nearest. Or there is
        one of each, or it is registered under another name than its own.
    """
    found = choose(name, experiments(), "grid")
    if name in GRIDS and name in STUDIES:
        raise InputError(f"'{name}' is a grid and a study: rename the one that is new")
    if found.name != name:
        raise InputError(f"'{name}' is registered, but calls itself '{found.name}'")
    return found


def find_by_file(records: Path) -> Grid | Study:
    """The grid or the study of a file that is named after it, perhaps with a split.

    Raises:
      InputError: there is none.

    >>> find_by_file(Path("records/ml-100k/questions-time.npz")).name
    'questions'
    """
    stem = records.stem
    names = [n for n in experiments() if stem == n or stem.startswith(f"{n}-")]
    try:
        return find(max(names, key=len, default=stem))
    except InputError as error:
        raise InputError(f"{records}: {error}") from None
