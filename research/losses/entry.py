"""What the registry keeps of a loss, and what the tests may ask of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

# Laws, tested over the registry.
SHIFT = "shift invariant"
ORDER = "permutation invariant"
MASK = "a masked column is absent"
UNIFORM_Q = "a constant log q changes nothing"

# Needs, compared with a config before any training (checks.py).
NEGATIVES = "negatives"  # at least one a row
DENSE = "dense"  # logits held whole, not in blocks
VECTORS = "vectors"  # PairVectors as a fourth argument
SQUARE = "square batch"  # the batch against itself, and nothing else


class Loss(NamedTuple):
    """An entry of the registry of losses.

    Attributes:
      fn: (positive [b], negatives, hyper) -> [b], with PairVectors as a fourth argument
        where needs has "vectors". hyper holds, beside the entry's own values,
        temperature (the run's) and items (the size of the catalogue).
      hyper: what may be set and swept without compiling anew: name -> (default, help).
      trainable: what is learned with the towers: name -> initial value; it reaches fn
        through hyper.
      needs: what a run must offer, of the four above.
      laws: those of tests/losses that it obeys: each declared one is tested to hold,
        each other to be violated.
      one_pass: its gradient is in proportion to a softmax over the positive and the
        negatives, so that blocks of logits are seen once only (one_pass.py).
    """

    fn: Callable[..., Any]
    hyper: dict[str, tuple[float, str]] = {}  # noqa: RUF012 - never written to
    trainable: dict[str, float] = {}  # noqa: RUF012
    needs: frozenset[str] = frozenset({NEGATIVES})
    laws: frozenset[str] = frozenset()
    one_pass: bool = False

    def __call__(self, positive: Any, negatives: Any, hyper: Any, pair: Any) -> Any:
        """The loss of each row.

        Args:
          positive: logits of the rows' positives, [b].
          negatives: their negatives (research/logits/reducers.py).
          hyper: scalars by name, traced.
          pair: PairVectors, which go only to an entry that needs them.

        Returns:
          [b].
        """
        if VECTORS in self.needs:
            return self.fn(positive, negatives, hyper, pair)
        return self.fn(positive, negatives, hyper)
