"""How one touched row of a table moves: the rules of the row-sparse optimisers."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["LAZY_ADAM", "ROWWISE_ADAGRAD", "RowRule"]

EPSILON = 1e-8
FIRST, SECOND = 0.9, 0.999  # decay of adam's moments

Rows = Float[Array, "r _"]


class RowRule(NamedTuple):
    """How a touched row moves.

    Its memory has width(d) numbers for a row of d. move takes the gradients and the
    memories of rows and the number of steps so far, this one included; it returns the
    memories and the updates, to be multiplied by the learning rate and subtracted.
    """

    width: Callable[[int], int]
    move: Callable[[Rows, Rows, Int[Array, ""]], tuple[Rows, Rows]]


def _adam(grads: Rows, memory: Rows, count: Int[Array, ""]) -> tuple[Rows, Rows]:
    first, second = jnp.split(memory, 2, axis=1)
    first = FIRST * first + (1 - FIRST) * grads
    second = SECOND * second + (1 - SECOND) * jnp.square(grads)
    steps = count.astype(jnp.float32)
    mean, square = first / (1 - FIRST**steps), second / (1 - SECOND**steps)
    update = mean / (jnp.sqrt(square) + EPSILON)
    return jnp.concatenate([first, second], axis=1), update


def _adagrad(grads: Rows, memory: Rows, _: Int[Array, ""]) -> tuple[Rows, Rows]:
    memory = memory + jnp.mean(jnp.square(grads), axis=1, keepdims=True)
    return memory, grads / (jnp.sqrt(memory) + EPSILON)


LAZY_ADAM = RowRule(lambda d: 2 * d, _adam)
"""Adam [kingma2015] on touched rows; moments of the others stay as they are.

Bias is corrected by the number of steps of the run, as in TensorFlow Addons' LazyAdam,
so where every row is touched in every step this is AdamW.
"""

ROWWISE_ADAGRAD = RowRule(lambda d: 1, _adagrad)
"""Adagrad with one sum of squares a row, their mean over it [lerer2019].

It starts from 0, and a row that isn't touched would not move in the dense form either.
"""
