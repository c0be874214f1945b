"""A small model, trained once, its run, and its histories as a file."""

import functools

import numpy as np

from research.config import Config
from research.events import catalogue, fold
from research.prepare import prepare
from research.saved.model import saved_model
from research.train.loop import train_together
from tests.world import made_ratings

SMALL = {
    "dim": 8,
    "user_hidden": (8,),
    "item_hidden": (8,),
    "batch": 128,
    "epochs": 3,
    "history": 6,
    "logq": 1.0,
}

# In two modules, so that on all ratings they share a compiled epoch.
IDS = {"user_features": ("id", "age", "history-age", "zip")}


def part_of(users=lambda raw: raw >= 0, items=lambda raw: raw >= 0):
    """The phase of the made ratings by these users on these items."""
    ratings = made_ratings()
    user, item = ratings.users.id[ratings.user], ratings.items.id[ratings.item]
    keep = users(user) & items(item)
    columns = ("user", "item", "rating", "timestamp")
    kept = {name: getattr(ratings, name)[keep] for name in columns}
    return fold(catalogue(ratings._replace(**kept)))


@functools.cache
def trained(**changes):
    """The run, what came of it, and its model."""
    run = prepare(Config(**{**SMALL, **changes}), part_of())
    (result,) = train_together([run])
    return run, result, saved_model(run, result, {"dataset": "made"})


def write_histories(path, fitted, users=None):
    """The fitted clicks in random order, with a header."""
    at = np.arange(len(fitted.user))
    if users is not None:
        at = at[np.isin(fitted.user, users)]
    user, item = fitted.users.id[fitted.user], fitted.items.id[fitted.item]
    rows = [f"{user[n]},{item[n]},{fitted.timestamp[n]}" for n in at]
    np.random.default_rng(0).shuffle(rows)
    path.write_text("\n".join(["user,item,timestamp", *rows, ""]))
    return path
