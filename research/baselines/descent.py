"""Adam over index arrays, for the baselines that learn by steps of their own."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

__all__ = ["descend", "in_batches"]

Params = dict[str, Array]


def in_batches(columns: tuple[np.ndarray, ...], batch: int) -> tuple[np.ndarray, ...]:
    """Each column [n, ...] as [steps, batch, ...]; a tail that fills none is dropped.

    A batch larger than n is one of n.
    """
    n = len(columns[0])
    batch = min(batch, n)
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
    """Params after a step of Adam [kingma2015] for each row of each epoch's columns.

    Args:
      loss: (params, columns of a batch, *fixed) -> what is to fall.
      params: where it starts.
      epochs: columns [steps, batch, ...] of each epoch, all of one shape.
      learning_rate: size of a step.
      fixed: arrays that the loss reads and nothing moves.
    """
    with jax.numpy_dtype_promotion("standard"):
        carry = (params, optax.scale_by_adam().init(params))
    for columns in epochs:
        carry = _epoch(loss, carry, columns, jnp.float32(learning_rate), fixed)
    return {name: np.asarray(value) for name, value in carry[0].items()}


@functools.partial(jax.jit, static_argnums=0)
def _epoch(
    loss: Callable[..., Any], carry: Any, columns: Any, rate: Array, fixed: Any
) -> Any:
    """A scan over the epoch's batches, compiled once a loss and shape."""

    def step(carry: Any, batch: Any) -> tuple[Any, None]:
        params, state = carry
        grads = jax.grad(loss)(params, batch, *fixed)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optax.scale_by_adam().update(grads, state)
        moved = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return (moved, state), None

    return jax.lax.scan(step, carry, columns)[0]
