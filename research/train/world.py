"""A fold as device arrays: everything the compiled epoch reads but never writes."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from research.config import Config
from research.features import (
    AGE,
    DEFAULT_ITEM,
    DEFAULT_USER,
    Features,
    available,
    item_content,
    item_features,
    resolve,
    user_features,
)
from research.features.content import check_titles, stamped
from research.features.search import QUERY, VOCABULARY, resolve_search, search_words
from research.features.timed import genre_profile, recent, windows
from research.logits import Known
from research.negatives.source import Pool
from research.positives import USER_USER, candidate_counts, log_share, make_positives
from research.towers.inputs import AGES, HISTORY, WORDS, SideArrays, Timed
from research.types import Events, Fold, InputError, Pairs

__all__ = ["World", "bare", "build_world", "resolve_features"]

MAX_BITS = 1 << 29  # bytes: half a gibibyte holds 160,000 users by 27,000 items


class World(NamedTuple):
    """Events, features and pairs of a fold on the device.

    item [e] and offsets [u + 1] are the events that histories are looked up in: the
    fitted ones, by user, or by half where a half stands for the user. timed is what
    depends on a query's time; known is who has what, empty where no mask needs it.
    """

    item: Int[Array, " e"]
    offsets: Int[Array, " u1"]
    users: SideArrays
    items: SideArrays
    timed: Timed
    pairs: Pairs
    pool: Pool
    known: Known


def resolve_features(config: Config, fold: Fold) -> Config:
    """The config with its features named: those asked for, else what the data set has.

    The user's id is used on demand only: on MovieLens the history says it better. A
    history longer than any user's is cut to the longest: the rest would be empty.

    Raises:
      InputError: a feature is asked for that the data set lacks, a tower is left with
        nothing to go by, or an encoder with nothing to ask by.
    """
    has_user, has_item = available(fold.fitted, config.item_array)
    default = () if config.positives == USER_USER else DEFAULT_USER
    user = resolve(config.user_features, has_user, default, "user")
    item = resolve(config.item_features, has_item, DEFAULT_ITEM, "item")
    told = [name for name in user if name != AGE]
    if not told and (config.encoder == "none" or config.history == 0):
        raise InputError("the user tower has neither a history nor a feature")
    if AGE in user and (config.encoder == "none" or config.history == 0):
        raise InputError(f"user feature '{AGE}' needs a history: there is none")
    if not item:
        raise InputError("the item tower has no feature")
    if config.item_array and "array" not in item:
        raise InputError("item_array names a file: name 'array' in item_features too")
    if "title" in item:
        check_titles(fold.fitted.items)
    if config.encoder == "profile" and not told:
        raise InputError(
            "encoder profile attends by the user's features: there is none"
        )
    if config.encoder not in ("none", "mean") and config.history == 0:
        raise InputError(f"encoder {config.encoder} needs a history: history is 0")
    search = resolve_search(config, fold)
    longest = int(np.diff(fold.fitted.offsets).max())
    return dataclasses.replace(
        config,
        user_features=user,
        item_features=item,
        item_array=stamped(config.item_array),
        search=search,
        history=min(config.history, longest),
        batch_order="time" if "dynamic" in item else config.batch_order,
    )


def build_world(config: Config, fold: Fold) -> tuple[World, dict[str, int]]:
    """The fold on the device, and the number of rows of each embedding table.

    Raises:
      InputError: see resolve_features.
    """
    config = resolve_features(config, fold)
    fitted = fold.fitted
    found, halved = make_positives(config, fitted), config.positives == USER_USER
    counts = candidate_counts(found.pairs, found.candidates)
    users = user_features(fitted.users, config.user_features or ())
    named = config.item_features or ()
    items = item_features(fitted.items, named)
    content = item_content(fitted, named, config.item_array)
    items = items._replace(dense=np.concatenate([items.dense, content], axis=1))
    sizes = {**users.sizes, **items.sizes}
    if config.encoder != "none" and config.history:
        sizes[HISTORY] = fitted.n_items
    if AGE in (config.user_features or ()):
        sizes[AGE] = AGES
    if config.encoder == QUERY:
        sizes[WORDS] = VOCABULARY
    world = World(
        item=jnp.asarray(found.item),
        offsets=jnp.asarray(found.offsets, dtype=jnp.int32),
        users=bare(len(found.offsets) - 1) if halved else _side(users),
        items=_side(items),
        timed=_timed(config, fitted),
        pairs=Pairs(*(jnp.asarray(column) for column in found.pairs)),
        pool=Pool(jnp.asarray(counts, jnp.float32), jnp.asarray(log_share(counts))),
        known=_known(fold, config.mask_user_positives),
    )
    return world, sizes


def bare(rows: int) -> SideArrays:
    """A side of which nothing is known but what its histories tell."""
    return SideArrays({}, jnp.zeros((rows, 0)))


def _side(features: Features) -> SideArrays:
    codes = {name: jnp.asarray(code) for name, code in features.codes.items()}
    return SideArrays(codes, jnp.asarray(features.dense))


def _timed(config: Config, fitted: Events) -> Timed:
    """What depends on time, of width 0 where the config doesn't use it."""
    user, item = config.user_features or (), config.item_features or ()
    seconds, window = np.zeros(0, np.int32), np.zeros(0, np.int32)
    profile = np.zeros((1, 0), np.float32)
    values = np.zeros((1, fitted.n_items, 0), np.float32)
    if AGE in user:
        seconds = (fitted.timestamp - fitted.timestamp.min()).astype(np.int32)
    if config.batch_order == "time":
        window = windows(fitted, config.window_days).astype(np.int32)
    if "genre-profile" in user:
        profile = genre_profile(fitted)
    if "dynamic" in item:
        values = recent(fitted, config.window_days)
    words = np.zeros((1, 0), np.int32)
    if config.search:
        words = search_words(config, fitted)
    parts = (seconds, window, profile, values, words)
    return Timed(*(jnp.asarray(part) for part in parts))


def _known(fold: Fold, needed: bool) -> Known:
    """Who has what: bits where they take at most MAX_BITS bytes, else sorted ids."""
    fitted = fold.fitted
    rows, words = fitted.n_users, -(-fitted.n_items // 32)
    if not needed:
        rows, words = 0, 0
    if rows * words * 4 <= MAX_BITS:
        bits = np.zeros((rows, words), np.uint32)
        if needed:
            word, bit = (
                fitted.item >> 5,
                np.uint32(1) << (fitted.item & 31).astype("u4"),
            )
            np.bitwise_or.at(bits, (fitted.user, word), bit)
        return Known(jnp.asarray(bits), jnp.zeros((rows, 0), jnp.int32))
    n = np.diff(fitted.offsets)
    ids = np.full((rows, int(n.max())), fitted.n_items, np.int32)
    by_item = np.lexsort((fitted.item, fitted.user))
    column = np.arange(len(fitted.item)) - fitted.offsets[fitted.user]
    ids[fitted.user, column] = fitted.item[by_item]
    return Known(jnp.zeros((rows, 0), jnp.uint32), jnp.asarray(ids))
