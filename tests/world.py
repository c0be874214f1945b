"""A small synthetic data set: a few dozen users and items, with tastes to learn."""

import numpy as np

from research.events import catalogue, fold
from research.types import (
    CATEGORIES,
    CATEGORY,
    NUMBER,
    TEXT,
    Column,
    Fold,
    Ratings,
    Table,
)


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
    return Ratings(
        name="made",
        user=np.array(user, np.int32)[order],
        item=np.array(item, np.int32)[order],
        rating=draw.integers(3, 6, n).astype(np.float32),
        timestamp=draw.integers(0, 500, n).astype(np.int64),
        users=Table(np.arange(users) * 3 + 5, made_users(users)),
        items=Table(np.arange(items) * 7 + 2, made_items(items)),
        digest="0" * 64,
    )


def made_users(n: int) -> dict[str, Column]:
    """The columns of MovieLens' user table."""
    at = np.arange(n)
    return {
        "gender": Column(CATEGORY, np.array(["M", "F"])[at % 2]),
        "age": Column(NUMBER, 20 + at % 40),
        "occupation": Column(CATEGORY, np.array(["a", "b", "c"])[at % 3]),
        "zip": Column(CATEGORY, np.array([f"{u % 10}0000" for u in range(n)])),
    }


def made_items(n: int) -> dict[str, Column]:
    """The columns of MovieLens' item table; every ninth year is missing."""
    at, genres = np.arange(n), np.eye(4, dtype=bool)
    return {
        "genres": Column(CATEGORIES, genres[at % 4], ("A", "B", "C", "D")),
        "year": Column(NUMBER, np.where(at % 9 == 0, np.nan, 1950 + at % 50)),
        "title": Column(TEXT, np.array([f"Film {i}" for i in range(n)])),
    }


def with_columns(table: Table, **columns: Column | None) -> Table:
    """The table with other columns of these names; without one that is None."""
    changed = {**table.columns, **columns}
    return table._replace(columns={n: c for n, c in changed.items() if c is not None})


def made_fold(split: str = "ratio", fit_on: str = "train+validation") -> Fold:
    """A phase of the synthetic data set."""
    return fold(catalogue(made_ratings()), split, fit_on)
