"""A small data set whose items differ in popularity and whose users differ in taste."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.studies.trade_off import config_at
from experiments.study import StudyOptions
from research.config import Config

GROUPS = 4


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
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"user": user, "item": item, "part": part})
    frame.to_csv(folder / "interactions.csv", index=False)
    return folder


def small_config(options: StudyOptions, temperature: float, seed: int = 0) -> Config:
    """The config of a run that learns these tastes within seconds."""
    config = config_at(options, temperature, seed)
    return dataclasses.replace(config, batch=32, learning_rate=0.02, epochs=4)
