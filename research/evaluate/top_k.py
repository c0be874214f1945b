"""Exact top-k over the full catalogue, seen items removed, tile by tile.

One mechanism ranks everything: a ``Scorer`` returns scores of a tile of users and a
chunk of items, and the selection keeps each user's best k. The matrix of all users by
all items never exists.

Conventions: ``v`` users, ``i`` items, ``d`` dimensions, ``t`` users of a tile, ``c``
items of a chunk, ``s`` seen items, ``k`` slots of a list.

The selection is made by NumPy on the host: a bound leaves few columns of a row, and
those are sorted, equal scores by index. With AVX-512 that takes a sixth of lax.top_k's
time on two cores (MovieLens 1M, top 100: 0.08 s against 0.5).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from research.compiler import cores
from research.evaluate.formulas import DEPTH
from research.events import items_of
from research.types import Fold

TILE = 256  # users scored at once; with CHUNK, 4 MiB of scores: about a core's cache
CHUNK = 4096  # items scored at once
LANES = 128  # a smaller catalogue is one chunk, padded to a multiple of this

# (rows of users, columns of items) -> scores [t, c], float32 or float64.
Scorer = Callable[[slice, slice], Float[np.ndarray, "t c"]]


@jax.jit
def _tile_scores(
    users: Float32[Array, "t d"],
    items: Float32[Array, "c d"],
    bias: Float32[Array, " c"],
    scale: Float32[Array, ""],
) -> Float32[Array, "t c"]:
    # HIGHEST: an accelerator would otherwise round the factors to fewer bits
    product = jnp.matmul(users, items.T, precision=jax.lax.Precision.HIGHEST)
    return product * scale + bias[None, :]


def dot_product(
    users: Float[Array | np.ndarray, "v d"],
    items: Float[Array | np.ndarray, "i d"],
    bias: Float[Array | np.ndarray, " i"] | None = None,
    scale: float = 1.0,
) -> Scorer:
    """Scores of a two-tower model: score(u, i) = <users_u, items_i> * scale + bias_i.

    With the popularity prior when serving, score / temperature + alpha * log q, scale
    is 1 / temperature and bias is alpha * log q. Computed in float32 on matrices of one
    constant shape (TILE users by a chunk of items, zeros where they end), so that
    neither the number of users nor their grouping into tiles changes a bit. The scorer
    takes the items of one chunk: from a multiple of CHUNK on, at most CHUNK of them.

    >>> score = dot_product(np.array([[1., 2.]]), np.array([[3., 4.], [0., 1.]]))
    >>> score(slice(0, 1), slice(0, 2)).tolist()
    [[11.0, 2.0]]
    """
    n_items = len(items)
    chunk = min(CHUNK, -(-max(n_items, 1) // LANES) * LANES)
    added = np.zeros(n_items) if bias is None else bias
    # on the device once: a program's arguments are copied there each time otherwise
    chunks = [
        (jax.device_put(_pad(items[part], chunk)), _pad(added[part], chunk))
        for part in (slice(n, n + chunk) for n in range(0, n_items, chunk))
    ]
    # one tile beyond the end: a slice from any start has its full size
    padded_users = _pad(users, len(users) + TILE)
    return partial(_scores, padded_users, chunks, np.float32(scale))


def _scores(
    users: Float32[np.ndarray, "v d"],
    chunks: list[tuple[Float32[Array, "c d"], Float32[np.ndarray, " c"]]],
    scale: np.float32,
    rows: slice,
    columns: slice,
) -> Float32[np.ndarray, "t w"]:
    """Scores of a tile of users and a chunk of items, of padded vectors."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    number, within = divmod(columns.start, CHUNK)
    items, bias = chunks[number]
    if within or width > len(items):
        raise ValueError(f"items {columns.start} to {columns.stop}: not one chunk")
    tile = _tile_scores(users[rows.start : rows.start + TILE], items, bias, scale)
    return np.asarray(tile)[:height, :width]


def _pad(array: Array | np.ndarray, rows: int) -> Float32[np.ndarray, "..."]:
    out = np.zeros((rows, *array.shape[1:]), np.float32)
    out[: len(array)] = np.asarray(array)
    return out


GROUPS = 4  # groups of columns per slot of the list
SLABS = 8  # columns of a chunk whose largest score is compared first
DENSE = 16  # as long as at most one in so many columns is looked at afterwards
WAIT = 2  # candidates wait until there are k / WAIT columns of them, then enter
THREADS = 8  # at most; each holds some 15 MB, and matrix products bring their own


def seen_items_of(fold: Fold) -> tuple[Int[np.ndarray, " v1"], Int[np.ndarray, " s"]]:
    """The items that lists leave out: fold.removed, or the fitted positives.

    Returns:
      offsets [v + 1] and items [s]; the v-th evaluated user has seen
      items[offsets[v] : offsets[v + 1]].
    """
    if fold.removed is not None:
        return fold.removed
    return items_of(fold.fitted, fold.evaluated)


def top_k(
    users: Float[Array | np.ndarray, "v d"],
    items: Float[Array | np.ndarray, "i d"],
    bias: Float[Array | np.ndarray, " i"] | None,
    seen_offsets: Int[np.ndarray, " v1"],
    seen_items: Int[np.ndarray, " s"],
    k: int = DEPTH,
    scale: float = 1.0,
) -> Int[np.ndarray, "v k"]:
    """Each user's k best unseen items under <user, item> * scale + bias, best first.

    See ``dot_product`` for the score and ``rank_scores`` for the rest.

    Raises:
      ValueError: seen_offsets does not fit the users, or as in ``rank_scores``.

    >>> items = np.array([[1.0], [3.0], [3.0], [2.0]])
    >>> seen_offsets, seen_items = np.array([0, 1]), np.array([3])
    >>> top_k(np.ones((1, 1)), items, None, seen_offsets, seen_items, k=4).tolist()
    [[1, 2, 0, 4]]
    """
    if len(seen_offsets) != len(users) + 1:
        raise ValueError(
            f"{len(seen_offsets)} offsets of seen items for {len(users)} users:"
            f" expected {len(users) + 1}"
        )
    score = dot_product(users, items, bias, scale)
    return rank_scores(score, len(items), seen_offsets, seen_items, k)


def by_tile(
    function: Callable[[slice], np.ndarray], n_users: int, empty: np.ndarray
) -> np.ndarray:
    """Results for tiles of users, computed by several threads and concatenated.

    NumPy releases the interpreter's lock while it sorts and compares, so threads help;
    each holds one tile, and no tile depends on another.
    """
    tiles = [slice(n, min(n + TILE, n_users)) for n in range(0, n_users, TILE)]
    with ThreadPoolExecutor(max_workers=min(len(cores()), THREADS)) as pool:
        return np.concatenate([empty, *pool.map(function, tiles)])


def rank_scores(
    scorer: Scorer,
    n_items: int,
    seen_offsets: Int[np.ndarray, " v1"],
    seen_items: Int[np.ndarray, " s"],
    k: int = DEPTH,
) -> Int[np.ndarray, "v k"]:
    """Each user's k best unseen items under a scorer, best first.

    Exact; equal scores go to the lower index. Where a user has fewer than k items left
    (unseen, and scored above -inf), the remaining slots hold n_items.

    Raises:
      ValueError: k is below 1, or a score is not a number.
    """
    if k < 1:
        raise ValueError(f"k = {k}: a list has at least one slot")
    of_tile = partial(_rank_tile, scorer, n_items, seen_offsets, seen_items, k)
    return by_tile(of_tile, len(seen_offsets) - 1, np.empty((0, k), np.int32))


def _rank_tile(
    scorer: Scorer,
    n_items: int,
    seen_offsets: Int[np.ndarray, " v1"],
    seen_items: Int[np.ndarray, " s"],
    k: int,
    rows: slice,
) -> Int[np.ndarray, "t k"]:
    """The lists of a tile of users; see ``rank_scores``."""
    height = rows.stop - rows.start
    bounds = seen_offsets[rows.start : rows.stop + 1]
    seen_row = np.repeat(np.arange(height), np.diff(bounds))
    seen_column = seen_items[bounds[0] : bounds[-1]]
    best = np.empty((height, 0), np.float32)
    ids = np.empty((height, 0), np.int32)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, n_items, CHUNK):
        stop = min(start + CHUNK, n_items)
        scores = np.asarray(scorer(rows, slice(start, stop)))
        here = (seen_column >= start) & (seen_column < stop)
        if here.any():
            scores = np.array(scores)
            scores[seen_row[here], seen_column[here] - start] = -np.inf
        columns, values = _better(scores, best, k)
        # a score of -inf is no candidate: its slot is empty
        columns = np.where(values > -np.inf, columns + np.int32(start), n_items)
        waiting.append((values, columns.astype(np.int32)))
        if sum(v.shape[1] for v, _ in waiting) >= k // WAIT or stop == n_items:
            best, ids = _merged(best, ids, waiting, k)
            waiting = []
    empty = np.full((height, k - ids.shape[1]), n_items, np.int32)
    return np.concatenate([ids, empty], axis=1)


def _merged(
    best: Float[np.ndarray, "t m"],
    ids: Int[np.ndarray, "t m"],
    waiting: list[tuple[np.ndarray, np.ndarray]],
    k: int,
) -> tuple[Float[np.ndarray, "t n"], Int[np.ndarray, "t n"]]:
    """The k best of lists and of what waits to enter them, with their items."""
    best = np.concatenate([best, *(values for values, _ in waiting)], axis=1)
    ids = np.concatenate([ids, *(columns for _, columns in waiting)], axis=1)
    # Earlier chunks stand first: equal scores stay in order of index.
    order = _descending(best)[:, :k]
    return np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)


def _descending(scores: Float[np.ndarray, "t m"]) -> Int[np.ndarray, "t m"]:
    """The order of each row by descending score, equal scores by place."""
    if scores.dtype != np.float32:
        return np.argsort(-scores, axis=1, kind="stable")
    # The bits of a float, those of a negative one flipped, are in the order of floats:
    # with the place below them they are sorted as one number, five times as fast.
    bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0
    bits ^= (bits >> 31) & np.int32(2**31 - 1)
    keys = (~bits).astype(np.int64) << 32 | np.arange(scores.shape[1])
    keys.sort(axis=1)
    return keys & (2**32 - 1)


def _better(
    scores: Float[np.ndarray, "t c"], best: Float[np.ndarray, "t m"], k: int
) -> tuple[Int[np.ndarray, "t n"], Float[np.ndarray, "t n"]]:
    """Columns that may enter lists whose scores so far are ``best``, in column order.

    Into a full list only a score above its last one can enter, as an equal one has a
    higher index; far into a catalogue those are few. Where they are many or lists
    aren't full, the columns are those of ``_candidates``.

    Returns:
      the columns and their scores, as from ``_candidates``.
    """
    height, width = scores.shape
    if best.shape[1] == k:
        flat = _above(scores, best[:, -1:])
        if len(flat) <= GROUPS * k * height:
            if np.isnan(scores.ravel()[flat]).any():
                raise ValueError("a score is not a number")
            return _by_row(scores, flat)
    return _candidates(scores, min(k, width))


def _above(
    scores: Float[np.ndarray, "t c"], bounds: Float[np.ndarray, "t 1"]
) -> Int[np.ndarray, " n"]:
    """Ascending flat indices of scores above their row's bound, or not a number.

    Where few are, most of the time goes into reading all scores: of a full chunk the
    largest of every SLABS are taken first, as a maximum is faster than a comparison.
    """
    height, width = scores.shape
    if width % SLABS == 0:
        size = width // SLABS
        tops = scores.reshape(height, SLABS, size).max(axis=1)
        cells = np.flatnonzero(~(tops <= bounds))  # not >, so that NaN is among them
        if len(cells) * SLABS <= height * width // DENSE:
            row, column = np.divmod(cells, size)
            first = row * width + column
            flat = (first[:, None] + np.arange(0, width, size)).ravel()
            reached = ~(scores.ravel()[flat] <= np.repeat(bounds[row, 0], SLABS))
            return np.sort(flat[reached])
    return np.flatnonzero(~(scores <= bounds))


def _candidates(
    scores: Float[np.ndarray, "t c"], k: int
) -> tuple[Int[np.ndarray, "t m"], Float[np.ndarray, "t m"]]:
    """Columns that hold each row's k largest scores above -inf, in column order.

    The k-th largest of the maxima of groups of columns is a bound that k columns reach
    and, with many groups, few others do; columns that tie with it are among them.

    Returns:
      the columns, and their scores: -inf where a row has fewer than the others.
    """
    width = scores.shape[1]
    size = max(width // (GROUPS * k), 1)
    groups = width // size
    tops = scores[:, :groups].copy()
    for n in range(1, size):
        np.maximum(tops, scores[:, n * groups : (n + 1) * groups], out=tops)
    if np.isnan(tops).any() or np.isnan(scores[:, size * groups :]).any():
        raise ValueError("a score is not a number")
    bound = np.partition(tops, groups - k, axis=1)[:, groups - k, None]
    reached = scores >= bound
    if np.isneginf(bound).any():
        reached &= scores > -np.inf
    return _by_row(scores, np.flatnonzero(reached))  # thrice as fast as nonzero


def _by_row(
    scores: Float[np.ndarray, "t c"], flat: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "t m"], Float[np.ndarray, "t m"]]:
    """Columns and scores of ascending flat indices, in one padded row per user."""
    height, width = scores.shape
    starts = np.searchsorted(flat, np.arange(height + 1) * width)
    counts = np.diff(starts)
    columns = np.zeros((height, counts.max(initial=0)), np.int32)
    values = np.full(columns.shape, -np.inf, scores.dtype)
    # where each goes: its number among all, plus the padding of the rows before it
    lacking = np.arange(height) * columns.shape[1] - starts[:-1]
    place = np.arange(len(flat)) + np.repeat(lacking, counts)
    columns.ravel()[place] = flat - np.repeat(np.arange(height) * width, counts)
    values.ravel()[place] = scores.ravel()[flat]
    return columns, values
