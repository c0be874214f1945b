"""What a model offers to be ranked: scores for a tile of users and a chunk of items.

Conventions: ``v`` users to be ranked (rows, in the caller's order), ``i`` items of
the catalogue, ``t`` users of a tile, ``c`` items of a chunk. A score of -inf stands
for an item that is never shown.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

__all__ = ["CHUNK", "TILE", "Scorer", "dot_product"]

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

    The serving prior score / temperature + alpha * log q is scale = 1 / temperature
    and bias = alpha * log q. Computed in float32 on matrices of one constant shape
    (TILE users by a chunk of items, zeros where they end), so that neither how many
    users there are nor which of them are asked for together changes a bit.

    Args:
      users: user vectors, [v, d].
      items: item vectors, [i, d].
      bias: added to an item's scores, [i]; none is 0.
      scale: multiplies the dot product.

    >>> score = dot_product(np.array([[1., 2.]]), np.array([[3., 4.], [0., 1.]]))
    >>> score(slice(0, 1), slice(0, 2)).tolist()
    [[11.0, 2.0]]
    """
    n_users, n_items = len(users), len(items)
    chunk = min(CHUNK, -(-n_items // LANES) * LANES)
    # one tile and one chunk beyond the end: a slice from any start has its full size
    padded_users = _pad(users, n_users + TILE)
    padded_items = _pad(items, n_items + chunk)
    padded_bias = _pad(np.zeros(n_items) if bias is None else bias, n_items + chunk)
    factor = np.float32(scale)

    def scores(rows: slice, columns: slice) -> Float32[np.ndarray, "t c"]:
        here = slice(columns.start, columns.start + chunk)
        tile = _tile_scores(
            padded_users[rows.start : rows.start + TILE],
            padded_items[here],
            padded_bias[here],
            factor,
        )
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return np.asarray(tile)[:height, :width]

    return scores


def _pad(array: Array | np.ndarray, rows: int) -> Float32[np.ndarray, "..."]:
    out = np.zeros((rows, *array.shape[1:]), np.float32)
    out[: len(array)] = np.asarray(array)
    return out
