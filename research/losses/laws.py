"""What every loss is held to: the laws that it declares, and what needs no declaring.

Each check raises Broken with numbers; ``verdict`` runs them all (research/laws.py).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.laws import Broken, Verdict, broken
from research.logits.correction import logits
from research.logits.reducers import Dense
from research.losses import entry
from research.losses.context import Context
from research.losses.entry import MASK, NEGATIVES, ORDER, SHIFT, UNIFORM_Q, Loss
from research.losses.top_k import Thresholds

B, C, D = 4, 6, 3
TEMPERATURE, ITEMS = 0.5, 20.0
EXTREMES = (-1e4, 0.0, 1e4)

_draw = np.random.default_rng(0)
POSITIVE = _draw.normal(0, 1.5, B).astype(np.float32)
Z = _draw.normal(0, 1.5, (B, C)).astype(np.float32)
KEEP = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1], [1] * 6, [0, 0, 1, 0, 0, 0]])
KEEP = KEEP.astype(bool)
QUERY, ITEM = _draw.normal(0, 1, (2, B, D)).astype(np.float32)
CATALOGUE = _draw.normal(0, 1.5, (B, int(ITEMS))).astype(np.float32)
THRESHOLD = _draw.uniform(-1, 1, B).astype(np.float32)

Array = np.ndarray | jax.Array
Check = Callable[[Loss], None]


def hyper_of(loss: Loss) -> dict[str, jax.Array]:
    """What reaches a loss, at its defaults."""
    values = {name: default for name, (default, _) in loss.hyper.items()}
    values |= loss.trainable | {"temperature": TEMPERATURE, "items": ITEMS}
    return {name: jnp.float32(value) for name, value in values.items()}


def losses(
    loss: Loss,
    positive: Array = POSITIVE,
    z: Array = Z,
    keep: Array = KEEP,
    catalogue: Array = CATALOGUE,
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
    keep: Array = KEEP,
    catalogue: Array = CATALOGUE,
) -> jax.Array:
    """What ``losses`` compiles."""
    negatives = Dense(z, jnp.asarray(keep))
    hardness = Dense(jnp.sin(z - positive[:, None]), negatives.keep)
    state = Thresholds(jnp.asarray(THRESHOLD), jnp.zeros((B, 0), jnp.int32))
    vectors = jnp.asarray(QUERY), jnp.asarray(ITEM)
    context = Context(*vectors, jnp.asarray(catalogue), state, hardness)
    found: jax.Array = loss(positive, negatives, hyper_of(loss), context)
    return found


def _close(found: Array, wanted: Array, where: str, near: float = 2e-5) -> None:
    """Holds values of rows to be the same.

    Raises:
      Broken: naming the row that differs most.
    """
    one, other = np.asarray(found, float), np.asarray(wanted, float)
    if one.shape != other.shape:
        raise Broken(f"{list(one.shape)} values in place of {list(other.shape)}")
    off = np.abs(one - other)
    wrong = ~(off <= near * (1 + np.abs(other)))  # of NaN, too
    if wrong.any():
        row = np.unravel_index(np.where(wrong, off, -1).argmax(), off.shape)
        raise Broken(
            f"row {row[-1]}: {one[row]:.6g} in place of {other[row]:.6g}, {where}"
        )


def shift(loss: Loss) -> None:
    """A constant on all of a row's logits changes nothing, and its own for each row.

    All are those of the catalogue, too, among which some losses rank.
    """
    by = np.array([-3.0, 0.5, 2.0, 7.0], np.float32)
    wide = by[:, None]
    moved = losses(loss, POSITIVE + by, Z + wide, catalogue=CATALOGUE + wide)
    _close(moved, losses(loss), f"with {by.tolist()} added to the rows' logits")


def order(loss: Loss) -> None:
    """The order of the columns doesn't matter."""
    for seed in range(3):
        to = np.random.default_rng(seed).permutation(C)
        other = losses(loss, z=Z[:, to], keep=KEEP[:, to])
        _close(other, losses(loss), f"with the columns in the order {to.tolist()}")


def mask(loss: Loss) -> None:
    """A column that isn't kept is as if it weren't there; nothing flows back to it."""
    whole = losses(loss)
    for b in (0, 3):
        there = np.flatnonzero(KEEP[b])
        alone = losses(loss, z=Z[:, there], keep=np.ones_like(KEEP[:, there]))
        _close(alone[b : b + 1], whole[b : b + 1], "with its masked columns cut off")
    wild = np.where(KEEP, Z, np.float32(1e4) * np.sign(Z))
    _close(losses(loss, z=wild), whole, "with other logits behind the mask", 0.0)
    grad = jax.grad(lambda z: jnp.sum(losses(loss, z=z)))
    for z in (Z, wild):
        if (most := np.abs(np.asarray(grad(jnp.asarray(z)))[~KEEP]).max()) != 0:
            raise Broken(f"a masked logit has the gradient {most:.6g}")


def uniform_q(loss: Loss) -> None:
    """Through the logits: where q is the same everywhere, it changes nothing."""
    found = []
    for strength in (0.0, 1.0):
        t, s, log_q = jnp.float32(TEMPERATURE), jnp.float32(strength), -np.log(50.0)
        own = logits(jnp.asarray(POSITIVE), t, s, jnp.full(B, log_q))
        z = logits(jnp.asarray(Z), t, s, jnp.full((1, C), log_q))
        found.append(losses(loss, own, z))
    _close(found[1], found[0], "with log q = -log 50 of every item subtracted")


LAWS: dict[str, Check] = {
    SHIFT: shift,
    ORDER: order,
    MASK: mask,
    UNIFORM_Q: uniform_q,
}


def one_value_a_row(loss: Loss) -> None:
    """A finite value for each row, which no other row moves."""
    values = losses(loss)
    if values.shape != (B,) or not np.isfinite(values).all():
        raise Broken(f"{values.tolist()} for {B} rows")
    z, positive = Z.copy(), POSITIVE.copy()
    z[1:] += 3.0
    positive[1:] -= 2.0
    moved = losses(loss, positive, z)[:1]
    _close(moved, values[:1], "with other logits in the other rows")


def compiled(loss: Loss) -> None:
    """Compiled it is as it is step by step, and mapped over batches as in a loop."""
    many = jnp.asarray(np.random.default_rng(1).normal(0, 2, (3, B, C + 1)), "float32")

    def one(x: jax.Array) -> jax.Array:
        return eager(loss, x[:, 0], x[:, 1:])

    loop = jnp.stack([one(x) for x in many])
    _close(jax.jit(jax.vmap(one))(many), loop, "mapped over batches")
    _close(jax.jit(one)(many[0]), loop[0], "compiled")


def extremes(loss: Loss) -> None:
    """Huge logits in all combinations have finite losses and gradients.

    A row without negatives has loss and gradient 0 where the loss needs some.
    """

    @jax.jit
    def both(positive: jax.Array, z: jax.Array, keep: jax.Array) -> Any:
        def total(p: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
            rows = losses(loss, p, z, keep)
            return jnp.sum(rows), rows

        return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(positive, z)

    mixed = np.resize(np.array(EXTREMES, np.float32), (B, C))
    none = np.zeros((B, C), bool)
    for own in EXTREMES:
        positive = np.full(B, own, np.float32)
        for z in (mixed, *(np.full((B, C), x, np.float32) for x in EXTREMES)):
            for keep in (KEEP, none):
                (_, rows), grads = both(positive, z, keep)
                where = f"at a positive of {own:g} and negatives of {np.unique(z)}"
                for what, values in (("loss", rows), *(("gradient", g) for g in grads)):
                    if not np.isfinite(values).all():
                        raise Broken(f"{what} not finite, {where}")
                    if keep is none and NEGATIVES in loss.needs and np.any(values != 0):
                        most = np.abs(values).max()
                        raise Broken(f"{what} {most:.6g} without negatives, {where}")


OTHERS: dict[str, Check] = {
    "a value a row": one_value_a_row,
    "compiled as step by step": compiled,
    "extreme logits": extremes,
}


def constant(law: str) -> str:
    """The name of a law in research.losses, by which an entry declares it."""
    (name,) = (key for key, value in vars(entry).items() if value is law)
    return name


def verdict(name: str, loss: Loss) -> Verdict:
    """The loss's checks: a declared law must hold, and another must be broken."""
    found = []
    for law, check in LAWS.items():
        told = broken(check, loss)
        if law in loss.laws and told:
            found.append(f"{constant(law)} ({law}) is declared and broken: {told}")
        elif law not in loss.laws and not told:
            found.append(f"{constant(law)} ({law}) holds: declare it in laws")
    others = {name: broken(check, loss) for name, check in OTHERS.items()}
    found += [f"{name}: {told}" for name, told in others.items() if told]
    return Verdict(tuple(found))
