"""What the registry keeps of a loss, and what the tests may ask of it."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from research.logits.reducers import Negatives

__all__ = [
    "DENSE",
    "MASK",
    "NEGATIVES",
    "ORDER",
    "SHIFT",
    "SQUARE",
    "UNIFORM_Q",
    "VECTORS",
    "Hyper",
    "Loss",
    "PairVectors",
]

Hyper = dict[str, Float[Array, ""]]

# Laws, tested over the registry.
SHIFT = "shift invariant"
ORDER = "permutation invariant"
MASK = "a masked column is absent"
UNIFORM_Q = "a constant log q changes nothing"

# Needs, compared with a config before any training (checks.py).
NEGATIVES = "negatives"  # at least one a row
DENSE = "dense"  # logits held whole, not in blocks
VECTORS = "vectors"  # a PairVectors as a fourth argument
SQUARE = "square batch"  # the batch against itself, and nothing else


class PairVectors(NamedTuple):
    """Vectors behind the logits, for the entries that need them: row b is a pair."""

    query: Float[Array, "b d"]
    positive: Float[Array, "b d"]


class Loss(NamedTuple):
    """A registry entry.

    Attributes:
      fn: (positive [b], negatives, hyper) -> [b], with a PairVectors behind where needs
        has "vectors". hyper holds, beside the entry's own, temperature (the run's) and
        items (the size of the library).
      hyper: what may be set and swept without compiling anew: name -> (default, help).
      trainable: what is learned with the towers: name -> initial value; it reaches fn
        through hyper.
      needs: what a run must offer, of the four above.
      laws: those of tests/losses that it obeys: each declared one is tested to hold,
        each other to be violated.
      one_pass: its gradient is in proportion to a softmax over the positive and the
        negatives, so that blocks of logits are seen once only (one_pass.py).
    """

    fn: Callable[..., Float[Array, " b"]]
    hyper: dict[str, tuple[float, str]] = {}  # noqa: RUF012 - never written to
    trainable: dict[str, float] = {}  # noqa: RUF012
    needs: frozenset[str] = frozenset({NEGATIVES})
    laws: frozenset[str] = frozenset()
    one_pass: bool = False

    def __call__(
        self,
        positive: Float[Array, " b"],
        negatives: Negatives,
        hyper: Hyper,
        context: PairVectors,
    ) -> Float[Array, " b"]:
        """The loss of each row; the context goes only to an entry that needs it."""
        if VECTORS in self.needs:
            return self.fn(positive, negatives, hyper, context)
        return self.fn(positive, negatives, hyper)
