"""Made data with a column ``part``, as published splits have it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def given_folder(folder: Path, untested: int = 0, chance: Any = 0.2) -> Path:
    """Made interactions with a part column; the first users have no test item."""
    draw = np.random.default_rng(0)
    users, items = np.nonzero(draw.random((40, 120)) < chance)
    part = np.where(draw.random(len(users)) < 0.2, "test", "train")
    part[users < untested] = "train"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"user": users, "item": items, "part": part})
    frame.to_csv(folder / "interactions.csv", index=False)
    return folder.parent
