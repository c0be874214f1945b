"""A factorisation machine over ids and features, as a dot product for retrieval.

Own code: the maintained packages of factorisation machines score one (user, item) row
at a time, which is too slow to rank a catalogue.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from research.baselines import Values
from research.baselines.factors import descend, in_batches
from research.config import REFERENCE
from research.evaluate.top_k import Scorer, dot_product
from research.features import ITEM, USER, available, static_features
from research.rng import generator
from research.types import TEXT, Fold

BATCH = 2048
SCALE = 0.1  # of the initial values, over the square root of the length


class Sides(NamedTuple):
    """Features of each user and item besides the id: multi-hot, [n, f]."""

    users: Float32[Array, "u f"]
    items: Float32[Array, "i g"]


def factorisation_machine(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Factorisation machine: y = <w, x> + sum_(f < g) <v_f, v_g> x_f x_g.

    x holds the ids and features of the user and the item [rendle2010, eq. 1]. Terms of
    the user alone are the same for all items, so y ranks like the dot product of two
    sums of vectors plus a bias of the item: see machine_vectors. Fitted with Adam by
    pairwise ranking against items drawn uniformly [rendle2009]. Differs from the paper:
    that loss, in which draws that the user has clicked have weight 0.

    Returns:
      a scorer of fold.evaluated.
    """
    fitted, dim = fold.fitted, int(options["dim"])
    sides = _sides(fold)
    draw = generator(seed, "fm")
    scale = SCALE / np.sqrt(dim)
    rows = {
        "user": fitted.n_users,
        "user_features": sides.users.shape[1],
        "item": fitted.n_items,
        "item_features": sides.items.shape[1],
    }
    start = {
        name: jnp.asarray(draw.normal(0.0, scale, (n, dim)), jnp.float32)
        for name, n in rows.items()
    }
    start |= {f"{n}_bias": jnp.zeros(rows[n]) for n in ("item", "item_features")}
    epochs = _epochs(fold, options, seed)
    l2 = jnp.float32(options["l2"])
    params = descend(pairwise_loss, start, epochs, options["learning_rate"], sides, l2)
    every = np.arange(fitted.n_items)
    return dot_product(*machine_vectors(params, sides, fold.evaluated, every))


@jax.jit
def machine_vectors(
    params: Mapping[str, Array | np.ndarray],
    sides: Sides,
    user: Int[Array | np.ndarray, " b"],
    item: Int[Array | np.ndarray, " c"],
) -> tuple[Float[Array, "b d"], Float[Array, "c d"], Float[Array, " c"]]:
    """Vectors U, I and a bias with y = <U, I> + bias + a constant of the user.

    U and I are the sums of a side's vectors. The bias holds the item's first-order
    terms and the pairs of its own features, (|I|^2 - sum_g |v_g|^2 x_g^2) / 2
    [rendle2010, lemma 3.1].
    """
    of_user, of_item = sides.users[user], sides.items[item]
    rows = {name: jnp.asarray(value) for name, value in params.items()}
    item_id, table = rows["item"][item], rows["item_features"]
    users = rows["user"][user] + of_user @ rows["user_features"]
    items = item_id + of_item @ table
    squares = jnp.sum(item_id**2, axis=1) + of_item**2 @ jnp.sum(table**2, axis=1)
    first = rows["item_bias"][item] + of_item @ rows["item_features_bias"]
    return users, items, first + (jnp.sum(items**2, axis=1) - squares) / 2.0


def pairwise_loss(
    params: dict[str, Array],
    batch: tuple[Int[Array, " b"], Int[Array, " b"], Int[Array, " b"], Array],
    sides: Sides,
    l2: Float[Array, ""],
) -> Float[Array, ""]:
    """Mean of -weight log sigmoid(y_ui - y_uj) plus an L2 penalty."""
    user, item, negative, weight = batch
    users, ours, our_bias = machine_vectors(params, sides, user, item)
    _, theirs, their_bias = machine_vectors(params, sides, user, negative)
    gap = jnp.sum(users * (ours - theirs), axis=1) + our_bias - their_bias
    size = jnp.sum(users**2 + ours**2 + theirs**2, axis=1) + our_bias**2 + their_bias**2
    return jnp.mean(weight * jax.nn.softplus(-gap) + l2 * size)


def _epochs(fold: Fold, options: Values, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Shuffled batches of each epoch: every click with its draws, and their weights."""
    fitted, times = fold.fitted, int(options["negatives"])
    user, item = np.tile(fitted.user, times), np.tile(fitted.item, times)
    clicked = np.unique(fitted.user.astype(np.int64) * fitted.n_items + fitted.item)
    for epoch in range(int(options["epochs"])):
        draw = generator(seed, "fm epochs", epoch)
        order = draw.permutation(len(user))
        negative = draw.integers(0, fitted.n_items, len(user))
        pair = user[order].astype(np.int64) * fitted.n_items + negative
        place = np.minimum(np.searchsorted(clicked, pair), len(clicked) - 1)
        weight = (clicked[place] != pair).astype(np.float32)
        columns = (user[order], item[order], negative.astype(np.int32), weight)
        yield in_batches(columns, BATCH)


def _sides(fold: Fold) -> Sides:
    """The features of all columns but texts, as rows of numbers."""
    sides = []
    for side in (USER, ITEM):
        features = available(side, fold.fitted, REFERENCE)
        plain = {n: f for n, f in features.items() if f.kind not in ("", TEXT)}
        codes, sizes, dense = static_features(side, plain, fold.fitted, REFERENCE)
        flags = [np.eye(sizes[n], dtype=np.float32)[code] for n, code in codes.items()]
        sides.append(jnp.asarray(np.concatenate([dense, *flags], axis=1)))
    return Sides(*sides)
