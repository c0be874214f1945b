"""Vectors fitted by gradient descent: Item2Vec, and a factorisation machine.

Own code: gensim implements Item2Vec's algorithm for words, with its own vocabulary,
text format and threads; here histories are arrays. The maintained packages of
factorisation machines score one (user, item) row at a time, which is too slow to rank a
catalogue; here ids and features make a dot product.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32, Int

from research.baselines import Values
from research.config import REFERENCE
from research.evaluate.top_k import Scorer, dot_product
from research.features import ITEM, USER, available, static_features
from research.rng import generator
from research.types import TEXT, UNSEEN, Events, Fold, InputError

BATCH = 2048
SCALE = 0.1  # of the initial values, over the square root of the length

Params = dict[str, Array]


def initial(draw: np.random.Generator, rows: Mapping[str, int], dim: int) -> Params:
    """Tables of normal values by name, with so many rows each."""
    scale = SCALE / np.sqrt(dim)
    return {
        name: jnp.asarray(draw.normal(0.0, scale, (n, dim)), jnp.float32)
        for name, n in rows.items()
    }


def in_batches(columns: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Each column [n, ...] as [steps, BATCH, ...], without an incomplete last batch.

    Fewer rows than BATCH are one batch.
    """
    n = len(columns[0])
    batch = min(BATCH, n)
    steps = n // batch
    return tuple(
        c[: steps * batch].reshape(steps, batch, *c.shape[1:]) for c in columns
    )


def descend(
    loss: Callable[..., Float[Array, ""]],
    params: Params,
    epochs: Iterable[tuple[np.ndarray, ...]],
    learning_rate: float,
    *fixed: Any,
) -> dict[str, np.ndarray]:
    """Parameters after one step of Adam [kingma2015] per batch of each epoch.

    Returns:
      the parameters by name, as NumPy arrays.
    """
    with jax.numpy_dtype_promotion("standard"):
        carry = (params, optax.adam(learning_rate).init(params))
    for columns in epochs:
        carry = _epoch(loss, carry, columns, jnp.float32(learning_rate), fixed)
    return {name: np.asarray(value) for name, value in carry[0].items()}


@functools.partial(jax.jit, static_argnums=0)
def _epoch(
    loss: Callable[..., Any], carry: Any, columns: Any, rate: Array, fixed: Any
) -> Any:
    """Scans over the epoch's batches; compiled once per loss and shape."""

    def step(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        grads = jax.grad(loss)(params, batch, *fixed)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optax.adam(rate).update(grads, state)
            return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, carry, columns)[0]


def item2vec(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Item2Vec vectors; a user is the mean vector of the last items.

    Training raises log sigmoid(v_i w_j) for partners i, j of one history and lowers it
    for j drawn from p_n, clicks^power [mikolov2013, eq. 4; barkan2016]. At the optimum
    v_i w_j = log p(j | i) - log(k p_n(j)), so that score(u, j) = mean of v_i w_j over
    u's last items + prior * log p_n(j) ranks by log p(j | i) at prior 1. Differs from
    the paper, which ranks by the cosine of v_i and v_j, subsamples frequent items,
    takes all pairs of a set and draws from clicks to the power 3/4: here each click
    draws equally many partners, at most ``window`` places away, because all pairs of a
    history would weight users by the square of its length, and the power is 1.

    Returns:
      a scorer of fold.evaluated.
    """
    fitted, dim = fold.fitted, int(options["dim"])
    rows = {"input": fitted.n_items, "output": fitted.n_items}
    start = initial(generator(seed, "item2vec"), rows, dim)
    noise = _noise(fitted, options["power"])
    epochs = _partner_epochs(fitted, options, noise, seed)
    vectors = descend(skip_gram_loss, start, epochs, options["learning_rate"])
    users = _mean_of_last(vectors["input"], fold, int(options["history"]))
    return dot_product(users, vectors["output"], options["prior"] * np.log(noise))


def skip_gram_loss(
    params: dict[str, Float[Array, "i d"]],
    batch: tuple[Int[Array, " b"], Int[Array, " b"], Int[Array, "b k"]],
) -> Float[Array, ""]:
    """Skip-gram loss: mean over b of -log sigmoid(v w) - sum_k log sigmoid(-v w_k)."""
    item, partner, noise = batch
    vector = params["input"][item]
    positive = jnp.sum(vector * params["output"][partner], axis=1)
    negatives = jnp.einsum("bd,bkd->bk", vector, params["output"][noise])
    losses = jax.nn.softplus(-positive) + jax.nn.softplus(negatives).sum(axis=1)
    return jnp.mean(losses)


def partners(
    fitted: Events, window: int, draw: np.random.Generator
) -> tuple[Int[np.ndarray, " e"], Bool[np.ndarray, " e"]]:
    """Draws a partner for each event, evenly from the user's other events in a window.

    Returns:
      the partner's index, and whether there is one: a user's only event has none.
    """
    at = np.arange(len(fitted.user))
    low, high = fitted.offsets[fitted.user], fitted.offsets[fitted.user + 1]
    if window:
        low, high = np.maximum(low, at - window), np.minimum(high, at + window + 1)
    others = high - low - 1
    place = low + (draw.random(len(at)) * others).astype(np.int64)
    place += place >= at  # the event itself is left out
    return np.where(others > 0, place, at), others > 0


def _partner_epochs(
    fitted: Events, options: Values, noise: Float[np.ndarray, " i"], seed: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Shuffled batches of each epoch: items, partners and negative draws."""
    edges, k = np.cumsum(noise), int(options["negatives"])
    for epoch in range(int(options["epochs"])):
        draw = generator(seed, "item2vec epochs", epoch)
        item, partner = [], []
        for _ in range(int(options["partners"])):
            other, has = partners(fitted, int(options["window"]), draw)
            item.append(fitted.item[has])
            partner.append(fitted.item[other[has]])
        if not any(map(len, item)):
            raise InputError("item2vec: no user has two fitted positives")
        order = draw.permutation(sum(map(len, item)))
        noise_items = np.searchsorted(edges, draw.random((len(order), k)) * edges[-1])
        ids = (np.concatenate(column)[order] for column in (item, partner))
        columns = (*ids, noise_items)
        yield in_batches(tuple(c.astype(np.int32) for c in columns))


def _noise(fitted: Events, power: float) -> Float[np.ndarray, " i"]:
    """Probability of each item in a draw; one without clicks has UNSEEN."""
    weight = np.maximum(fitted.item_counts, UNSEEN) ** power
    return weight / weight.sum()


def _mean_of_last(
    vectors: Float[np.ndarray, "i d"], fold: Fold, history: int
) -> Float[np.ndarray, "v d"]:
    """Mean vector of each evaluated user's last ``history`` items; 0 means all."""
    fitted = fold.fitted
    starts, ends = fitted.offsets[fold.evaluated], fitted.offsets[fold.evaluated + 1]
    if history:
        starts = np.maximum(starts, ends - history)
    sums = np.concatenate((np.zeros((1, vectors.shape[1])), vectors[fitted.item]))
    sums = np.cumsum(sums, axis=0, dtype=np.float64)
    return (sums[ends] - sums[starts]) / (ends - starts)[:, None]


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
    rows = {
        "user": fitted.n_users,
        "user_features": sides.users.shape[1],
        "item": fitted.n_items,
        "item_features": sides.items.shape[1],
    }
    start = initial(generator(seed, "fm"), rows, dim)
    start |= {f"{n}_bias": jnp.zeros(rows[n]) for n in ("item", "item_features")}
    epochs = click_epochs(fold, options, seed)
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


def click_epochs(
    fold: Fold, options: Values, seed: int
) -> Iterator[tuple[np.ndarray, ...]]:
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
        yield in_batches(columns)


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
