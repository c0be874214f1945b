"""A small made world: a few dozen users and items, enough structure to learn from."""

import numpy as np

from research.events import catalogue, fold
from research.types import Fold, Items, Ratings, Users


def made_ratings(users: int = 60, items: int = 130, seed: int = 0) -> Ratings:
    """Users of two tastes over items of Zipf popularity; raw ids aren't contiguous."""
    draw = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, items + 1)
    taste = np.arange(items) % 2
    user, item = [], []
    for u in range(users):
        q = weight * np.where(taste == u % 2, 3.0, 1.0)
        chosen = draw.choice(items, size=30, replace=False, p=q / q.sum())
        user += [u] * len(chosen)
        item += list(chosen)
    order = np.lexsort((item, user))
    n = len(user)
    genres = np.eye(4, dtype=bool)[np.arange(items) % 4]
    return Ratings(
        name="made",
        user=np.array(user, np.int32)[order],
        item=np.array(item, np.int32)[order],
        rating=draw.integers(3, 6, n).astype(np.float32),
        timestamp=draw.integers(0, 500, n).astype(np.int64),
        users=Users(
            id=np.arange(users) * 3 + 5,
            gender=np.array(["M", "F"])[np.arange(users) % 2],
            age=20 + np.arange(users) % 40,
            occupation=np.array(["a", "b", "c"])[np.arange(users) % 3],
            zip=np.array([f"{u % 10}0000" for u in range(users)]),
        ),
        items=Items(
            id=np.arange(items) * 7 + 2,
            title=np.array([f"Film {i}" for i in range(items)]),
            year=np.where(np.arange(items) % 9 == 0, 0, 1950 + np.arange(items) % 50),
            genres=genres,
            genre_names=("A", "B", "C", "D"),
        ),
        digest="0" * 64,
    )


def made_fold(split: str = "ratio", fit_on: str = "train+validation") -> Fold:
    """A phase of the made world."""
    return fold(catalogue(made_ratings()), split, fit_on)
