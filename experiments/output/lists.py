"""The lists of two users: kept in a run's folder, gathered for the page of a grid."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from experiments.output.folders import serving_folder
from experiments.output.plan import is_done, locate
from experiments.resolve import Cell
from research.evaluate.metrics import CUTOFF
from research.files import read_json, write_csv, write_json
from research.report.html.users import shown_users
from research.types import TEXT, Fold, InputError

LISTS = "lists.csv"  # in a run's folder
COLUMNS = ("user", "id", "place", "item", "title", "held_out")


def write_lists(folder: Path, fold: Fold, lists: Int[np.ndarray, "v k"]) -> Path:
    """Writes the first 20 places of two users' lists into a run's folder.

    Columns: user, the row of lists; id, the user's own; place, from 1; item, its id;
    title, or its id again where items have none; held_out, 1 for a held-out item.
    """
    judged = np.isin(fold.held_user, fold.evaluated)
    row_of = np.searchsorted(fold.evaluated, fold.held_user[judged])
    items, held_item = fold.fitted.items, fold.held_item[judged]
    texts = items.of_kind(TEXT)
    titles = texts[0].values if texts else items.names
    rows = []
    for user in shown_users(np.bincount(row_of, minlength=len(lists))):
        held = set(held_item[row_of == user].tolist())
        listed = lists[user, :CUTOFF]
        for place, item in enumerate(listed[listed < len(items.id)].tolist(), start=1):
            row = {"user": user, "id": fold.fitted.users.names[fold.evaluated[user]]}
            row |= {"place": place, "item": items.names[item], "title": titles[item]}
            rows.append({**row, "held_out": int(item in held)})
    return write_csv(folder / LISTS, rows)


def gathered_path(out: Path, records: Path) -> Path:
    """Where the lists of the runs in a file of records are gathered."""
    return out / "runs" / records.parent.name / f"{records.stem}-lists.json"


def gather_lists(
    cells: Sequence[Cell], grid: str, out: Path, digest: str, records: Path
) -> Path:
    """Writes the lists of a grid's runs to one file, in the order of its records."""
    lists: dict[str, Any] = {}
    for row, cell in enumerate(cells):
        folder = locate(cell, grid, out, digest)[1]
        path = serving_folder(folder, cell.config) / LISTS
        if is_done(cell.config, folder) and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                lists[str(row)] = [*csv.DictReader(file)]
    return write_json(gathered_path(out, records), lists)


def gathered_lists(out: Path, records: Path) -> dict[str, list[dict[str, str]]]:
    """The lists that ``gather_lists`` wrote; none where it did not.

    Raises:
      InputError: the file is damaged.
    """
    path = gathered_path(out, records)
    lists = read_json(path) if path.exists() else {}
    for row, places in lists.items():
        if not (
            row.isdecimal() and isinstance(places, list) and all(map(_is_place, places))
        ):
            raise InputError(
                f"{path}: row {row!r} isn't a list of {', '.join(COLUMNS)}"
            )
    return lists


def _is_place(place: Any) -> bool:
    return (
        isinstance(place, dict)
        and {*COLUMNS} <= {*place}
        and all(isinstance(value, str) for value in place.values())
    )
