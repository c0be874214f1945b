"""The share of truly best items that a model finds, and models of synthetic clicks.

In synthetic data (research/data/synthetic.py) the truth is known: training sees clicks
alone, and models are judged by the relevance that made them.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.arms import arm
from research.config import Config
from research.types import InputError

ARMS = ("in-batch", "in-batch+logq")
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)
USERS, ITEMS, GROUPS, CLICKS, TOP = 600, 400, 40, 50, 20
ROWS = 256  # users at a time, whose scores stay in the processor's cache
RECIPE: dict[str, Any] = {
    "user_features": (),
    "item_features": ("id",),
    "dim": 32,
    "user_hidden": (64,),
    "item_hidden": (64,),
    "batch": 256,
    "epochs": 12,
    "learning_rate": 3e-3,
}


def recipe(name: str, seed: int, epochs: int | None = None) -> Config:
    """The config of an arm on synthetic data; by default with the epochs of RECIPE."""
    changes = {**RECIPE, "seed": seed}
    if epochs is not None:  # 0 is refused, not the default
        changes["epochs"] = epochs
    return dataclasses.replace(arm(name), **changes)


def best_items(scores: Float[ndarray, "u i"]) -> Bool[ndarray, "u i"]:
    """Marks each user's 20 items of highest score; among equal ones the first count.

    Raises:
      InputError: there are fewer than 20 items.
    """
    if scores.shape[1] < TOP:
        raise InputError(f"{scores.shape[1]} items: the best {TOP} need as many")
    marked = np.empty(scores.shape, bool)
    for start in range(0, len(scores), ROWS):
        rows = scores[start : start + ROWS]
        least = np.partition(rows, -TOP, axis=1)[:, -TOP, None]
        above, level = rows > least, rows == least
        room = TOP - above.sum(axis=1, keepdims=True)
        marked[start : start + ROWS] = above | (
            level & (np.cumsum(level, axis=1) <= room)
        )
    return marked


def recovered(scores: Float[ndarray, "u i"], truth: Bool[ndarray, "u i"]) -> float:
    """The share of each user's 20 most relevant items among its 20 highest scores."""
    return float((best_items(scores) & truth).sum(axis=1).mean() / TOP)
