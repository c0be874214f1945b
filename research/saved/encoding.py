"""Vectors of users, who need not be in the training part."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from research.config import Config
from research.features import (
    CLICK_TIMES,
    USER,
    Feature,
    feature_of,
    make_features,
    static_features,
)
from research.features.search import words_per_search
from research.logits.masks import UserPositives
from research.negatives.source import Pool
from research.saved.model import SavedModel
from research.towers import takes_words
from research.towers.inputs import Timed
from research.train.model import Params, make_model, serve_side
from research.train.world import World, bare, side_arrays
from research.types import Events, InputError, Pairs, Table


def encode_events(
    model: SavedModel, events: Events, timed: bool
) -> Float[np.ndarray, "v d"]:
    """Vectors of all users of the events, each at the end of its history.

    Raises:
      InputError: a feature needs the times of clicks, and there are none.
    """
    world, coded = _world(model, events, timed)
    tables = {**model.params["tables"]}
    for name in coded:  # a value that training never saw has the mean of all rows
        table = tables[name]
        tables[name] = np.concatenate([table, table.mean(axis=0, keepdims=True)])
    params: Params = jax.tree.map(jnp.asarray, {**model.params, "tables": tables})
    users = jnp.arange(events.n_users, dtype=jnp.int32)
    towers = make_model(model.config).to_serve()
    return np.asarray(serve_side(towers, "user", params, world, users))


def _world(
    model: SavedModel, events: Events, timed: bool
) -> tuple[World, tuple[str, ...]]:
    """The events on the device, and the tables of the users' codes."""
    config, clicks = model.config, len(events.user)
    features = _user_features(config, model.users)
    arguments = USER, features, events, config, model.users
    static = static_features(*arguments)
    seconds = np.zeros(0, np.int32)
    if times := make_features(CLICK_TIMES, *arguments):
        if not timed:
            raise InputError(
                f"user feature '{next(iter(times))}' needs a timestamp of each click"
            )
        seconds = np.append(next(iter(times.values())), 0).astype(np.int32)
    none = jnp.zeros(0, jnp.int32)
    words = words_per_search(config) if takes_words(config) else 0
    return World(
        # One event more than there are, as nothing can be looked up in an empty array.
        item=jnp.asarray(np.append(events.item, 0), jnp.int32),
        offsets=jnp.asarray(events.offsets, jnp.int32),
        users=side_arrays(static),
        items=bare(0),
        timed=Timed(
            seconds=jnp.asarray(seconds),
            window=none,
            profile=jnp.zeros((1, 0)),
            recent=jnp.zeros((1, 0, 0)),
            words=jnp.zeros((clicks + events.n_users, words), jnp.int32),
        ),
        pairs=Pairs(none, none, none, jnp.zeros(0)),
        pool=Pool(jnp.zeros(0), jnp.zeros(0)),
        known=UserPositives(
            jnp.zeros((0, 0), jnp.uint32), jnp.zeros((0, 0), jnp.int32)
        ),
    ), tuple(static.codes)


def _user_features(config: Config, users: Table) -> dict[str, Feature]:
    """The features that the user tower reads, by name.

    Raises:
      InputError: a feature is no longer registered.
    """
    features = {}
    for name in config.user_features or ():
        feature = feature_of(users, name, USER)
        if feature is None:
            raise InputError(f"the model reads user feature '{name}': it is unknown")
        features[name] = feature
    return features
