"""A fold as device arrays: everything the compiled epoch reads but never writes."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from research.batches import window_days
from research.config import Config
from research.features import (
    CLICK_TIMES,
    ITEM,
    PER_EVENT,
    PER_WINDOW,
    USER,
    Feature,
    Features,
    choose_features,
    make_features,
    static_features,
)
from research.features.search import VOCABULARY, search_words
from research.features.timed import windows
from research.logits.masks import UserPositives
from research.negatives import entries_of
from research.negatives.source import Pool, UserItems
from research.positives import POSITIVES, Positives, log_share
from research.registry import entry_name
from research.towers import takes_words, uses_history
from research.towers.inputs import AGES, CLICK_AGE, HISTORY, WORDS, SideArrays, Timed
from research.types import Events, Fold, InputError, Pairs

MAX_BITS = 1 << 29  # bytes: half a gibibyte holds 160,000 users by 27,000 items


class World(NamedTuple):
    """Events, features and pairs of a fold on the device.

    item [e] and offsets [u + 1] are the events that histories are looked up in: the
    fitted ones, by user, or by half where a half stands for the user. timed holds
    inputs that depend on a query's time; known the items of each user, empty where no
    mask needs them.
    """

    item: Int[Array, " e"]
    offsets: Int[Array, " u1"]
    users: SideArrays
    items: SideArrays
    timed: Timed
    pairs: Pairs
    pool: Pool
    known: UserPositives


def build_world(
    config: Config, fold: Fold, positives: Positives
) -> tuple[World, dict[str, int]]:
    """The fold on the device, and the number of rows of each embedding table."""
    fitted = fold.fitted
    candidate, n = positives.pairs.candidate, positives.candidates
    counts = np.bincount(candidate, minlength=n)
    chosen = {side: choose_features(side, fitted, config) for side in (USER, ITEM)}
    users, items = (
        static_features(side, features, fitted, config)
        for side, features in chosen.items()
    )
    timed = _timed(config, fitted, chosen)
    sizes = {**users.sizes, **items.sizes}
    if uses_history(config):
        sizes[HISTORY] = fitted.n_items
    if timed.seconds.shape[0]:
        sizes[CLICK_AGE] = AGES
    if takes_words(config):
        sizes[WORDS] = VOCABULARY
    alone = POSITIVES.choose(config.positives).history_alone
    world = World(
        item=jnp.asarray(positives.item),
        offsets=jnp.asarray(positives.offsets, dtype=jnp.int32),
        users=bare(len(positives.offsets) - 1) if alone else side_arrays(users),
        items=side_arrays(items),
        timed=timed,
        pairs=Pairs(*(jnp.asarray(column) for column in positives.pairs)),
        pool=Pool(
            jnp.asarray(counts, jnp.float32),
            jnp.asarray(log_share(counts)),
            _owned(config, fitted),
        ),
        known=_known(fold, config.mask_user_positives),
    )
    return world, sizes


def _owned(config: Config, fitted: Events) -> UserItems | None:
    """The items of each user, None where no source draws by user.

    Raises:
      InputError: a user has every item, so that nothing could be drawn.
    """
    if not any(n.entry.by_user for n in entries_of(config.negatives, config)):
        return None
    n = fitted.n_items
    pairs = np.unique(fitted.user.astype(np.int64) * n + fitted.item)
    offsets = np.searchsorted(pairs, n * np.arange(fitted.n_users + 1, dtype=np.int64))
    item = (pairs % n).astype(np.int32)
    if (np.diff(offsets) == n).any():
        user = fitted.users.names[int(np.argmax(np.diff(offsets) == n))]
        raise InputError(
            f"user {user} has all {n} items: no negative is outside them for "
            f"{' '.join(config.negatives)}"
        )
    return UserItems(jnp.asarray(item), jnp.asarray(offsets, jnp.int32))


def bare(rows: int) -> SideArrays:
    """A side without features, known by its histories alone."""
    return SideArrays({}, jnp.zeros((rows, 0)))


def side_arrays(features: Features) -> SideArrays:
    """A side's static features on the device."""
    codes = {name: jnp.asarray(code) for name, code in features.codes.items()}
    return SideArrays(codes, jnp.asarray(features.dense))


def _timed(
    config: Config, fitted: Events, chosen: dict[str, dict[str, Feature]]
) -> Timed:
    """Inputs that depend on time, of width 0 where the config doesn't use them."""

    def made(gives: str, side: str) -> list[np.ndarray]:
        return [*make_features(gives, side, chosen[side], fitted, config).values()]

    seconds, profiles = made(CLICK_TIMES, USER), made(PER_EVENT, USER)
    values = made(PER_WINDOW, ITEM) or [np.zeros((1, fitted.n_items, 0), np.float32)]
    window, words = np.zeros(0, np.int32), np.zeros((1, 0), np.int32)
    if entry_name(config.batch_order) == "time":
        window = windows(fitted, window_days(config)).astype(np.int32)
    if takes_words(config):
        words = search_words(config, fitted)
    parts = (
        seconds[0] if seconds else np.zeros(0, np.int32),
        window,
        np.concatenate(profiles or [np.zeros((1, 0), np.float32)], axis=1),
        np.concatenate(values, axis=2),
        words,
    )
    return Timed(*(jnp.asarray(part) for part in parts))


def _known(fold: Fold, needed: bool) -> UserPositives:
    """The items of each user: bits if they take at most MAX_BITS bytes, else ids."""
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
        return UserPositives(jnp.asarray(bits), jnp.zeros((rows, 0), jnp.int32))
    n = np.diff(fitted.offsets)
    ids = np.full((rows, int(n.max())), fitted.n_items, np.int32)
    by_item = np.lexsort((fitted.item, fitted.user))
    column = np.arange(len(fitted.item)) - fitted.offsets[fitted.user]
    ids[fitted.user, column] = fitted.item[by_item]
    return UserPositives(jnp.zeros((rows, 0), jnp.uint32), jnp.asarray(ids))
