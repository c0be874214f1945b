"""Laws of losses, each a check that raises AssertionError where it is broken.

A loss declares those it obeys; test_laws holds it to them, and to breaking the others.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from research.logits.correction import logits
from research.logits.reducers import Dense
from research.losses import MASK, ORDER, SHIFT, UNIFORM_Q, Loss
from research.losses.context import Context
from research.losses.top_k import Thresholds

B, C, D = 4, 6, 3
TEMPERATURE, ITEMS = 0.5, 20.0

_draw = np.random.default_rng(0)
POSITIVE = _draw.normal(0, 1.5, B).astype(np.float32)
Z = _draw.normal(0, 1.5, (B, C)).astype(np.float32)
KEEP = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1], [1] * 6, [0, 0, 1, 0, 0, 0]])
KEEP = KEEP.astype(bool)
QUERY, ITEM = _draw.normal(0, 1, (2, B, D)).astype(np.float32)
CATALOGUE = _draw.normal(0, 1.5, (B, int(ITEMS))).astype(np.float32)
THRESHOLD = _draw.uniform(-1, 1, B).astype(np.float32)


def hyper_of(loss: Loss) -> dict[str, jax.Array]:
    """What reaches a loss, at its defaults."""
    values = {name: default for name, (default, _) in loss.hyper.items()}
    values |= loss.trainable | {"temperature": TEMPERATURE, "items": ITEMS}
    return {name: jnp.float32(value) for name, value in values.items()}


def losses(
    loss: Loss,
    positive: np.ndarray | jax.Array = POSITIVE,
    z: np.ndarray | jax.Array = Z,
    keep: np.ndarray | jax.Array = KEEP,
    catalogue: np.ndarray | jax.Array = CATALOGUE,
) -> jax.Array:
    """The loss of each row, [b].

    The vectors behind the logits are always the same, and so is the users' state; the
    hardness of a column goes by its logit, so that it moves with it.
    """
    if id(loss) not in _compiled:
        _compiled[id(loss)] = loss, jax.jit(functools.partial(eager, loss))
    return _compiled[id(loss)][1](*map(jnp.asarray, (positive, z, keep, catalogue)))


# By the entry's identity, as it has no hash; the entry beside it is kept alive.
_compiled: dict[int, tuple[Loss, Callable[..., jax.Array]]] = {}


def eager(
    loss: Loss,
    positive: jax.Array,
    z: jax.Array,
    keep: np.ndarray | jax.Array = KEEP,
    catalogue: np.ndarray | jax.Array = CATALOGUE,
) -> jax.Array:
    """What ``losses`` compiles."""
    negatives = Dense(z, jnp.asarray(keep))
    hardness = Dense(jnp.sin(z - positive[:, None]), negatives.keep)
    state = Thresholds(jnp.asarray(THRESHOLD), jnp.zeros((B, 0), jnp.int32))
    vectors = jnp.asarray(QUERY), jnp.asarray(ITEM)
    context = Context(*vectors, jnp.asarray(catalogue), state, hardness)
    return loss(positive, negatives, hyper_of(loss), context)


def close(one: jax.Array, other: jax.Array) -> None:
    np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def shift(loss: Loss) -> None:
    """A constant on all of a row's logits changes nothing, and its own for each row.

    All are those of the catalogue, too, among which some losses rank.
    """
    by = np.array([-3.0, 0.5, 2.0, 7.0], np.float32)
    wide = by[:, None]
    close(
        losses(loss, POSITIVE + by, Z + wide, catalogue=CATALOGUE + wide), losses(loss)
    )


def order(loss: Loss) -> None:
    """The order of the columns doesn't matter."""
    for seed in range(3):
        to = np.random.default_rng(seed).permutation(C)
        close(losses(loss, z=Z[:, to], keep=KEEP[:, to]), losses(loss))


def mask(loss: Loss) -> None:
    """A column that isn't kept is as if it weren't there; nothing flows back to it."""
    whole = losses(loss)
    for b in (0, 3):
        there = np.flatnonzero(KEEP[b])
        alone = losses(loss, z=Z[:, there], keep=np.ones_like(KEEP[:, there]))
        close(alone[b], whole[b])
    wild = np.where(KEEP, Z, np.float32(1e4) * np.sign(Z))
    np.testing.assert_array_equal(losses(loss, z=wild), whole)
    grad = jax.grad(lambda z: jnp.sum(losses(loss, z=z)))
    for z in (Z, wild):
        assert (np.asarray(grad(jnp.asarray(z)))[~KEEP] == 0).all()


def uniform_q(loss: Loss) -> None:
    """Through the logits: where q is the same everywhere, it changes nothing."""
    found = []
    for strength in (0.0, 1.0):
        t, s, log_q = jnp.float32(TEMPERATURE), jnp.float32(strength), -np.log(50.0)
        own = logits(jnp.asarray(POSITIVE), t, s, jnp.full(B, log_q))
        z = logits(jnp.asarray(Z), t, s, jnp.full((1, C), log_q))
        found.append(losses(loss, own, z))
    close(found[1], found[0])


LAWS: dict[str, Callable[[Loss], None]] = {
    SHIFT: shift,
    ORDER: order,
    MASK: mask,
    UNIFORM_Q: uniform_q,
}
