"""Item2Vec: skip-gram with negative sampling over histories instead of sentences.

Own code: gensim implements the algorithm for words, with its own vocabulary, text
format and threads; here histories are arrays.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from research.baselines import Values
from research.baselines.factors import descend, in_batches
from research.evaluate.top_k import Scorer, dot_product
from research.rng import generator
from research.types import UNSEEN, Events, Fold, InputError

BATCH = 2048
SCALE = 0.1  # of the initial values, over the square root of the length


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
    draw = generator(seed, "item2vec")
    scale = SCALE / np.sqrt(dim)
    start = {
        name: jnp.asarray(draw.normal(0.0, scale, (fitted.n_items, dim)), jnp.float32)
        for name in ("input", "output")
    }
    noise = _noise(fitted, options["power"])
    epochs = _epochs(fitted, options, noise, seed)
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


def _epochs(
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
        yield in_batches(tuple(c.astype(np.int32) for c in columns), BATCH)


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
