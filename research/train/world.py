"""A fold as device arrays: everything the compiled epoch reads but never writes."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from research.config import Config
from research.features import (
    CLICK_TIMES,
    ITEM,
    PER_EVENT,
    PER_WINDOW,
    USER,
    Feature,
)
from research.features.content import stamped
from research.features.search import QUERY, VOCABULARY, resolve_search, search_words
from research.features.sides import (
    Features,
    choose_features,
    made_features,
    resolve_sides,
    static_features,
)
from research.features.timed import windows
from research.logits.corrections import Known
from research.negatives.source import Batch, Pool
from research.positives import USER_USER, candidate_counts, log_share, make_positives
from research.towers.inputs import (
    AGES,
    CLICK_AGE,
    HISTORY,
    WORDS,
    SideArrays,
    Timed,
)
from research.types import Events, Fold, InputError

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
    pairs: Batch
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
    if config.positives == USER_USER and config.user_features is None:
        config = dataclasses.replace(config, user_features=())
    with_history = config.encoder != "none" and config.history > 0
    users, items = resolve_sides(config, fold.fitted, with_history)
    beside = [f for f in users.values() if f.gives != CLICK_TIMES]
    if config.encoder == "profile" and not beside:
        raise InputError(
            "encoder profile attends by the user's features: there is none"
        )
    if config.encoder not in ("none", "mean") and config.history == 0:
        raise InputError(f"encoder {config.encoder} needs a history: history is 0")
    search = resolve_search(config, fold)
    longest = int(np.diff(fold.fitted.offsets).max())
    in_time = any(f.gives == PER_WINDOW for f in items.values())
    return dataclasses.replace(
        config,
        user_features=tuple(users),
        item_features=tuple(items),
        item_array=stamped(config.item_array),
        search=search,
        history=min(config.history, longest),
        batch_order="time" if in_time else config.batch_order,
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
    chosen = {side: choose_features(side, fitted, config) for side in (USER, ITEM)}
    users, items = (
        static_features(side, features, fitted, config)
        for side, features in chosen.items()
    )
    timed = _timed(config, fitted, chosen)
    sizes = {**users.sizes, **items.sizes}
    if config.encoder != "none" and config.history:
        sizes[HISTORY] = fitted.n_items
    if timed.seconds.shape[0]:
        sizes[CLICK_AGE] = AGES
    if config.encoder == QUERY:
        sizes[WORDS] = VOCABULARY
    world = World(
        item=jnp.asarray(found.item),
        offsets=jnp.asarray(found.offsets, dtype=jnp.int32),
        users=bare(len(found.offsets) - 1) if halved else _side(users),
        items=_side(items),
        timed=timed,
        pairs=Batch(*(jnp.asarray(column) for column in found.pairs)),
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


def _timed(
    config: Config, fitted: Events, chosen: dict[str, dict[str, Feature]]
) -> Timed:
    """What depends on time, of width 0 where the config doesn't use it."""

    def made(gives: str, side: str) -> list[np.ndarray]:
        return [*made_features(gives, side, chosen[side], fitted, config).values()]

    seconds, profiles = made(CLICK_TIMES, USER), made(PER_EVENT, USER)
    values = made(PER_WINDOW, ITEM) or [np.zeros((1, fitted.n_items, 0), np.float32)]
    window, words = np.zeros(0, np.int32), np.zeros((1, 0), np.int32)
    if config.batch_order == "time":
        window = windows(fitted, config.window_days).astype(np.int32)
    if config.search:
        words = search_words(config, fitted)
    parts = (
        seconds[0] if seconds else np.zeros(0, np.int32),
        window,
        np.concatenate(profiles or [np.zeros((1, 0), np.float32)], axis=1),
        np.concatenate(values, axis=2),
        words,
    )
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
