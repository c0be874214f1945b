"""Data sets that are made, and the page of a study from records that are made."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.arms import arm
from experiments.studies import STUDIES
from experiments.study import StudyOptions, report_study
from research.config import Config
from research.report.records import Stored, load_stored, save_stored

GROUPS = 4


def _write(folder: Path, **columns: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    pd.DataFrame(columns).to_csv(folder / "interactions.csv", index=False)
    return folder


def given_folder(folder: Path, untested: int = 0, chance: Any = 0.2) -> Path:
    """Made interactions with a part column; the first users have no test item."""
    draw = np.random.default_rng(0)
    users, items = np.nonzero(draw.random((40, 120)) < chance)
    part = np.where(draw.random(len(users)) < 0.2, "test", "train")
    part[users < untested] = "train"
    return _write(folder, user=users, item=items, part=part).parent


def write_tastes(folder: Path, users: int = 300, items: int = 160, even=False) -> Path:
    """A folder with made interactions, a fifth of them test.

    Args:
      folder: made here.
      users: how many.
      items: how many; each group of users likes one group of them.
      even: whether test items are drawn evenly from the catalogue.
    """
    draw = np.random.default_rng(0)
    popularity = 0.9 * (1 + np.arange(items)) ** -0.4
    same = np.arange(users)[:, None] % GROUPS == np.arange(items) % GROUPS
    user, item = np.nonzero(
        draw.random(same.shape) < popularity * np.where(same, 1, 0.2)
    )
    clicks = np.bincount(item, minlength=items)
    chance = 0.2 * len(item) / items / clicks[item] if even else 0.2
    part = np.where(draw.random(len(item)) < np.minimum(chance, 0.7), "test", "train")
    return _write(folder, user=user, item=item, part=part)


def small_arm(options: StudyOptions, name: str, **changes: Any) -> Config:
    """The config of an arm that learns these tastes within seconds."""
    changes |= {"batch": 32, "learning_rate": 0.02, "epochs": 4}
    return dataclasses.replace(arm(name, options.config()), **changes)


def page_of(records: Stored | Path, out: Path) -> str:
    """The text of the page that is written with the tables and figures of records."""
    if isinstance(records, Stored):
        path = out / "made.npz"
        records = save_stored(path, records.header, records.arrays, **records.content)
    name = load_stored(records).header["grid"]
    written = report_study(STUDIES[name], records, out)
    assert {path.suffix for path in written} == {".csv", ".md", ".png"}
    (page,) = (path for path in written if path.name == f"{name}.md")
    return page.read_text()
