"""A model's health: a few numbers per epoch, on its last batch; a collapse shows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from research.evaluate.metrics import CUTOFF
from research.losses.square import log_uniformity
from research.towers.towers import normalise
from research.train.model import Model, Params, serve_pairs
from research.train.world import World

COLLAPSED = 0.99  # mean pairwise cosine of users above which all get the same list
DISTINCT = 0.05  # share of distinct lists below which most get one of a few
ROWS = 512


class Health(NamedTuple):
    """Measures of a sample of pairs; all but norms and scores are of unit vectors.

    user_norm, item_norm: mean length. alignment: mean squared distance of a pair;
    user_uniformity, item_uniformity: log mean of exp(-2 |x - x'|^2)  [wang2020].
    user_cosine: mean over pairs of users. score_spread: standard deviation of a user's
    scores over the items, a mean over users. distinct_lists: of the lists of 20 among
    the sample's items, the share that no earlier pair has; no seen item is removed, so
    one ranking for all gives 1 / b. An item of several pairs has several places in a
    list; distinct_by_item counts it once.
    """

    user_norm: Float[Array, ""]
    item_norm: Float[Array, ""]
    alignment: Float[Array, ""]
    user_uniformity: Float[Array, ""]
    item_uniformity: Float[Array, ""]
    user_cosine: Float[Array, ""]
    score_spread: Float[Array, ""]
    distinct_lists: Float[Array, ""]


def health(
    model: Model, params: Params, world: World, index: Int[np.ndarray, " b"]
) -> dict[str, float]:
    """The measures of at most 512 of the pairs with these indices, as when serving.

    Users are taken just before the pair's event, without dropout.
    """
    n = min(len(index), ROWS)
    # One shape for every batch size, so that serving and this share a compilation.
    users, items = serve_pairs(model, params, world, np.resize(index[:n], ROWS))
    found = jax.device_get(_measured(users, items, n))
    return {name: float(value) for name, value in found._asdict().items()}


def measure(users: Float[Array, "b d"], items: Float[Array, "b d"]) -> Health:
    """The measures of pairs of vectors."""
    unit, other = normalise(users), normalise(items)
    b = users.shape[0]
    scores = users @ items.T
    cosines = jnp.sum(jnp.sum(unit, axis=0) ** 2) - jnp.sum(unit * unit)
    return Health(
        user_norm=jnp.mean(jnp.linalg.norm(users, axis=1)),
        item_norm=jnp.mean(jnp.linalg.norm(items, axis=1)),
        alignment=jnp.mean(jnp.sum((unit - other) ** 2, axis=1)),
        user_uniformity=log_uniformity(unit),
        item_uniformity=log_uniformity(other),
        user_cosine=cosines / max(b * (b - 1), 1),
        score_spread=jnp.mean(jnp.std(scores, axis=1)),
        distinct_lists=_distinct(jax.lax.top_k(scores, min(CUTOFF, b))[1]),
    )


def _distinct(lists: Int[Array, "b k"]) -> Float[Array, ""]:
    """Share of rows that equal no earlier row."""
    same = jnp.all(lists[:, None, :] == lists[None, :, :], axis=2)
    return 1 - jnp.mean(jnp.any(jnp.tril(same, -1), axis=1).astype(jnp.float32))


@functools.partial(jax.jit, static_argnums=2)
def _measured(users: Float[Array, "b d"], items: Float[Array, "b d"], n: int) -> Health:
    return measure(users[:n], items[:n])


def distinct_by_item(
    model: Model, params: Params, world: World, index: Int[np.ndarray, " b"]
) -> float:
    """Share of users' lists of 20 among the pairs' items that no earlier user has.

    Each user and each item of the pairs counts once.
    """
    index = index[:ROWS]
    users, items = serve_pairs(model, params, world, np.resize(index, ROWS))
    pairs = world.pairs
    user, item = (
        np.unique(np.asarray(ids)[index], return_index=True)[1]
        for ids in (pairs.query, pairs.candidate)
    )
    scores = np.asarray(users)[user] @ np.asarray(items)[item].T
    lists = np.argsort(-scores, axis=1, kind="stable")[:, :CUTOFF]
    return len(np.unique(lists, axis=0)) / len(lists)


def collapse(row: dict[str, float], by_item: Callable[[], float]) -> str | None:
    """A warning where most users have nearly the same vector or list, else None.

    >>> row = {"epoch": 3.0, "user_cosine": 0.5, "distinct_lists": 0.01}
    >>> collapse(row, lambda: 0.9) is None
    True
    """
    after = f"collapsed: after epoch {row['epoch']:.0f}"
    if row["user_cosine"] > COLLAPSED:
        return (
            f"{after} the mean cosine of two users is {row['user_cosine']:.3f}: "
            "everyone gets the same list"
        )
    if row["distinct_lists"] < DISTINCT and (share := by_item()) < DISTINCT:
        return (
            f"{after} {share:.1%} of the users' lists are distinct: "
            "most users get the same few"
        )
    return None
