"""A factorisation machine over ids and features, as a recall model: a dot product.

Own code: the kept libraries of factorisation machines score one (user, item) row at a
time, which ranks no catalogue.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from research.baselines.entry import Baseline, Option, Values
from research.baselines.factors import descend, in_batches
from research.config import REFERENCE
from research.evaluate.top_k import Scorer, dot_product
from research.features import ITEM, USER
from research.features.sides import Features, available, static_features
from research.rng import generator
from research.types import TEXT, Fold

__all__ = ["FM", "Sides", "factorisation_machine", "machine_vectors", "pairwise_loss"]

BATCH = 2048
SCALE = 0.1  # of the initial values, over the square root of the length


class Sides(NamedTuple):
    """What is known of each user and item beside its id: multi-hot [n, f]."""

    users: Float32[Array, "u f"]
    items: Float32[Array, "i g"]


def factorisation_machine(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """y = <w, x> + sum over f < g of <v_f, v_g> x_f x_g [rendle2010, eq. 1], ranked.

    x holds the user's id and features and the item's id and features. What only the
    user's part makes up is the same for all items, so y ranks as the dot product of
    two sums of vectors plus a bias of the item: machine_vectors. Fitted by pairwise
    ranking against items drawn uniformly [rendle2009], by Adam. Differs from the paper
    in that loss, and in the draws that the user has clicked, which weigh nothing.

    Args:
      fold: the phase.
      options: see FM.
      seed: of initial values, order and draws.

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
    found = descend(pairwise_loss, start, epochs, options["learning_rate"], sides, l2)
    every = np.arange(fitted.n_items)
    users, items, bias = machine_vectors(found, sides, fold.evaluated, every)
    return dot_product(users, items, bias)


@jax.jit
def machine_vectors(
    params: Mapping[str, Array | np.ndarray],
    sides: Sides,
    user: Int[Array | np.ndarray, " b"],
    item: Int[Array | np.ndarray, " c"],
) -> tuple[Float[Array, "b d"], Float[Array, "c d"], Float[Array, " c"]]:
    """U, I and bias: y of a user and an item is <U, I> + bias + what no item changes.

    U and I are the sums of the side's vectors. bias is the item's first-order terms
    and its pairs among themselves, (|I|^2 - sum of |v_g|^2 x_g^2) / 2 [rendle2010,
    lemma 3.1].
    """
    known_user, known_item = sides.users[user], sides.items[item]
    own = jnp.asarray(params["item"])[item]
    table = jnp.asarray(params["item_features"])
    users = jnp.asarray(params["user"])[user]
    users = users + known_user @ jnp.asarray(params["user_features"])
    items = own + known_item @ table
    squares = jnp.sum(own**2, axis=1) + known_item**2 @ jnp.sum(table**2, axis=1)
    first = jnp.asarray(params["item_bias"])[item]
    first = first + known_item @ jnp.asarray(params["item_features_bias"])
    return users, items, first + (jnp.sum(items**2, axis=1) - squares) / 2.0


def pairwise_loss(
    params: dict[str, Array],
    batch: tuple[Int[Array, " b"], Int[Array, " b"], Int[Array, " b"], Array],
    sides: Sides,
    l2: Float[Array, ""],
) -> Float[Array, ""]:
    """Mean of -weight log sigmoid(y_ui - y_uj), and l2 times the squares used.

    Args:
      params: of the machine.
      batch: user, its item, an item drawn against it, 0 where that is the user's too.
      sides: features.
      l2: strength of the penalty on the vectors and biases of the items at hand.
    """
    user, item, drawn, weight = batch
    users, ours, our_bias = machine_vectors(params, sides, user, item)
    _, theirs, their_bias = machine_vectors(params, sides, user, drawn)
    gap = jnp.sum(users * (ours - theirs), axis=1) + our_bias - their_bias
    size = jnp.sum(users**2 + ours**2 + theirs**2, axis=1) + our_bias**2 + their_bias**2
    return jnp.mean(weight * jax.nn.softplus(-gap) + l2 * size)


def _epochs(fold: Fold, options: Values, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Of each epoch: each click with so many draws against it, shuffled, in batches."""
    fitted, times = fold.fitted, int(options["negatives"])
    user, item = np.tile(fitted.user, times), np.tile(fitted.item, times)
    clicked = np.unique(fitted.user.astype(np.int64) * fitted.n_items + fitted.item)
    for epoch in range(int(options["epochs"])):
        draw = generator(seed, "fm epochs", epoch)
        order = draw.permutation(len(user))
        drawn = draw.integers(0, fitted.n_items, len(user))
        pair = user[order].astype(np.int64) * fitted.n_items + drawn
        place = np.minimum(np.searchsorted(clicked, pair), len(clicked) - 1)
        weight = (clicked[place] != pair).astype(np.float32)
        columns = (user[order], item[order], drawn.astype(np.int32), weight)
        yield in_batches(columns, BATCH)


def _sides(fold: Fold) -> Sides:
    """The features of all columns but texts."""
    sides = []
    for side in (USER, ITEM):
        features = available(side, fold.fitted, REFERENCE)
        plain = {n: f for n, f in features.items() if f.kind not in ("", TEXT)}
        made = static_features(side, plain, fold.fitted, REFERENCE)
        sides.append(_multi_hot(made))
    return Sides(*sides)


def _multi_hot(features: Features) -> Float32[Array, "n f"]:
    blocks = [features.dense]
    for name, code in features.codes.items():
        blocks.append(np.eye(features.sizes[name], dtype=np.float32)[code])
    return jnp.asarray(np.concatenate(blocks, axis=1))


FM = Baseline(
    factorisation_machine,
    {
        "dim": Option(64, "length of a vector", least=1, whole=True),
        "epochs": Option(20, "passes over the clicks", least=1, whole=True),
        "negatives": Option(4, "draws against a click", least=1, whole=True),
        "learning_rate": Option(0.003, "size of a step", above=True),
        "l2": Option(0.003, "penalty on what a batch uses"),
    },
    seeded=True,
)
