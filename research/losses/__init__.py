"""The registry of losses: adding one is a function and one entry here."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from research.losses.pointwise import binary_nce, sigmoid
from research.losses.softmax import sampled_softmax

__all__ = ["LOSSES", "Loss"]


class Loss(NamedTuple):
    """A registry entry.

    fn(positive [b], negatives, hyper) -> [b]; hyper is what may be swept, as name ->
    (default, help); trainable what is learned with the towers, as name -> initial
    value, and reaches fn through hyper too; laws are those of tests/losses that it
    obeys: each declared one is tested to hold, each other to be violated.
    """

    fn: Callable[..., Float[Array, " b"]]
    hyper: dict[str, tuple[float, str]] = {}  # noqa: RUF012 - never written to
    trainable: dict[str, float] = {}  # noqa: RUF012
    laws: frozenset[str] = frozenset()


SHIFT = "shift invariant"
ORDER = "permutation invariant"
MASK = "a masked column is absent"
UNIFORM_Q = "a constant log q changes nothing"

LOSSES: dict[str, Loss] = {
    "sampled-softmax": Loss(
        sampled_softmax, laws=frozenset({SHIFT, ORDER, MASK, UNIFORM_Q})
    ),
    "sigmoid": Loss(sigmoid, trainable={"bias": 0.0}, laws=frozenset({ORDER, MASK})),
    "binary-nce": Loss(
        binary_nce, trainable={"bias": 0.0}, laws=frozenset({ORDER, MASK})
    ),
}
