"""The inputs of the towers: one type for each, and neither can hold the other side."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from research.rng import mix32, stream


class Words(NamedTuple):
    """The words of a search, as table rows; ``there`` is False for padding."""

    rows: Float[Array, "b n d"]
    there: Bool[Array, "b n"]


class UserInput(NamedTuple):
    """A user at a position: table rows of its history and codes, and dense features.

    The history comes latest first; keep is True in its first columns, as many as there
    are clicks. words are those of its search, None where there are no searches.
    """

    history: Float[Array, "b l d"]
    keep: Bool[Array, "b l"]
    rows: dict[str, Float[Array, "b _"]]
    dense: Float[Array, "b f"]
    words: Words | None = None

    def without(self, name: str) -> "UserInput":
        """The same without a row of that name, if there is one."""
        return self._replace(rows={n: r for n, r in self.rows.items() if n != name})


class ItemInput(NamedTuple):
    """Items: rows of their codes, dense features."""

    rows: dict[str, Float[Array, "c _"]]
    dense: Float[Array, "c g"]


def profile(user: UserInput) -> Float[Array, "b p"]:
    """The user's codes and dense features side by side: all but history and words."""
    parts = [user.rows[name] for name in sorted(user.rows)]
    return jnp.concatenate([*parts, user.dense], axis=1)


SHORT = 32  # columns that are looked up one at a time


def rows_of(
    table: Float[Array, "rows d"], ids: Int[Array, "..."]
) -> Float[Array, "... d"]:
    """The table's rows of the ids."""
    if ids.ndim != 2 or not 0 < ids.shape[1] <= SHORT:
        return table[ids]
    columns = [table[ids[:, at]] for at in range(ids.shape[1])]
    return jnp.stack(columns, axis=1)


@jax.custom_vjp
def pooled(
    weight: Float[Array, "b l"], history: Float[Array, "b l d"]
) -> Float[Array, "b d"]:
    """Sum over l of weight * history.

    >>> pooled(jnp.array([[1.0, 2.0]]), jnp.array([[[3.0], [4.0]]])).tolist()
    [[11.0]]
    """
    if not 0 < history.shape[1] <= SHORT:
        return jnp.einsum("bl,bld->bd", weight, history)
    total = weight[:, :1] * history[:, 0]
    for at in range(1, history.shape[1]):
        total = total + weight[:, at, None] * history[:, at]
    return total


def _forward(weight: Array, history: Array) -> tuple[Array, tuple[Array, Array]]:
    return pooled(weight, history), (weight, history)


def _backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    # By hand, as autodiff would sum an array as large as the history for each column.
    weight, history = saved
    to_weight = jnp.einsum("bd,bld->bl", cotangent, history)
    return to_weight, weight[:, :, None] * cotangent[:, None, :]


pooled.defvjp(_forward, _backward)


CODE_DIM = 16  # width of the tables of codes with few values
HISTORY = "history"
WORDS = "words"
CLICK_AGE = "history-age"
_WIDE = ("user", "item", HISTORY, CLICK_AGE, WORDS)  # tables of width dim
AGES = 32  # buckets of the age of a click: the number of bits of its seconds

Rows = dict[str, Float[Array, "..."]]


class SideArrays(NamedTuple):
    """One side's features on the device: codes[name] [n] and dense [n, f]."""

    codes: dict[str, Int[Array, " n"]]
    dense: Float[Array, "n f"]


class Timed(NamedTuple):
    """Inputs that depend on the time of a query; of width 0 where a run has none.

    seconds [e] and window [e] are the time of each fitted event and its window.
    profile has a row for each event of a user and one for the user's end, at position +
    user. recent[w] is what queries in window w know of items, from the window before;
    its last row is for serving. words holds the table rows of the words of each event's
    search, and of the search at a user's end, at position + user; 0 is no word.
    """

    seconds: Int[Array, " e"]
    window: Int[Array, " w"]
    profile: Float[Array, "p g"]
    recent: Float[Array, "w1 i f"]
    words: Int[Array, "p n"]


class HistoryLookup(NamedTuple):
    """The table rows of users' histories and codes, by table; their other inputs."""

    ids: dict[str, Int[Array, "..."]]
    keep: Bool[Array, "b l"]
    dense: Float[Array, "b f"]


class ItemLookup(NamedTuple):
    """The table rows that a set of items needs, by table, and its other inputs."""

    ids: dict[str, Int[Array, "*c"]]
    dense: Float[Array, "*c g"]


def init_tables(
    key: Key[Array, ""], sizes: dict[str, int], dim: int, scale: float
) -> dict[str, Float[Array, "rows _"]]:
    """Embedding tables of normal values: of width dim for ids and words, else 16."""
    tables = {}
    for name, rows in sizes.items():
        width = dim if name in _WIDE else CODE_DIM
        deviation = scale or math.sqrt(2.0 / (rows + width))
        tables[name] = deviation * jax.random.normal(stream(key, name), (rows, width))
    return tables


def history_lookup(
    side: SideArrays,
    item: Int[Array, " e"],
    offsets: Int[Array, " u1"],
    entity: Int[Array, " b"],
    position: Int[Array, " b"],
    length: int,
    shuffled: bool = False,
    timed: Timed | None = None,
) -> HistoryLookup:
    """The last ``length`` items before position, latest first, and the user's codes."""
    back = jnp.arange(1, length + 1, dtype=position.dtype)
    at = position[:, None] - back[None, :]
    keep = at >= offsets[entity][:, None]
    if shuffled:
        # Absent events have the largest hash, so that they stay last.
        mixed = _mixed(at, position[:, None])
        order = jnp.argsort(jnp.where(keep, mixed, jnp.uint32(2**32 - 1)), axis=1)
        at = jnp.take_along_axis(at, order, axis=1)
    ids = {name: code[entity] for name, code in side.codes.items()}
    at = jnp.where(keep, at, 0)
    if length:
        ids[HISTORY] = item[at]
    dense = side.dense[entity]
    if timed is not None and timed.profile.shape[1]:
        known = timed.profile[position + entity]
        dense = jnp.concatenate([dense, known], axis=1)
    if timed is not None and timed.seconds.shape[0]:
        # Counted from the latest click, as the data lacks the time of the request.
        latest = timed.seconds[jnp.maximum(position - 1, 0)]
        age = jnp.maximum(latest[:, None] - timed.seconds[at], 0)
        ids[CLICK_AGE] = 32 - jax.lax.clz(age)
    if timed is not None and timed.words.shape[1]:
        ids[WORDS] = timed.words[position + entity]
    return HistoryLookup(ids=ids, keep=keep, dense=dense)


def _mixed(at: Int[Array, "b l"], position: Int[Array, "b 1"]) -> UInt32[Array, "b l"]:
    """A hash below 2^32 - 1 for each event of a position's history."""
    x = at.astype(jnp.uint32) * jnp.uint32(0x9E3779B1) + position.astype(jnp.uint32)
    mixed: Array = mix32(x) >> 1
    return mixed


def item_lookup(
    side: SideArrays,
    ids: Int[Array, "*c"],
    timed: Timed | None = None,
    position: Int[Array, " b"] | None = None,
) -> ItemLookup:
    """The codes and dense features of the items."""
    dense = side.dense[ids]
    if timed is not None and timed.recent.shape[2]:
        last = timed.recent.shape[0] - 1
        row = last if position is None else jnp.min(timed.window[position])
        dense = jnp.concatenate([dense, timed.recent[row][ids]], axis=1)
    return ItemLookup({n: code[ids] for n, code in side.codes.items()}, dense)


def look_up(tables: Rows, ids: dict[str, Int[Array, "..."]]) -> Rows:
    """The rows, by table."""
    return {name: rows_of(tables[name], index) for name, index in ids.items()}


def user_input(rows: Rows, lookup: HistoryLookup, dim: int) -> UserInput:
    """The user tower's input, from looked-up rows."""
    apart = (HISTORY, CLICK_AGE, WORDS)
    others = {name: row for name, row in rows.items() if name not in apart}
    history = rows.get(HISTORY, jnp.zeros((lookup.keep.shape[0], 0, dim)))
    if CLICK_AGE in rows:
        history = history + rows[CLICK_AGE]
    words = Words(rows[WORDS], lookup.ids[WORDS] > 0) if WORDS in rows else None
    return UserInput(history, lookup.keep, others, lookup.dense, words)


def item_input(rows: Rows, lookup: ItemLookup) -> ItemInput:
    """The item tower's input, from looked-up rows."""
    return ItemInput(rows, lookup.dense)
