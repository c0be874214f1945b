"""The registry entry of a loss: its function, its needs, and the laws it obeys."""

from collections.abc import Callable
from typing import Any, NamedTuple

from research.entries import Value
from research.marks import HYPER

# Laws, tested over the registry.
SHIFT = "shift invariant"
ORDER = "permutation invariant"
MASK = "a masked column is absent"
UNIFORM_Q = "a constant log q changes nothing"

# Needs, compared with a config before any training (check_loss).
NEGATIVES = "negatives"  # at least one per row
DENSE = "dense"  # logits held whole, not in blocks
SQUARE = "square batch"  # the batch against itself, and nothing else
ONE_TEMPERATURE = "one temperature"  # common to all rows and columns of a step
# Needs of a Context as a fourth argument, each with the fields that it asks for.
VECTORS = "vectors"  # query and positive
CATALOGUE = "catalogue"  # catalogue: the rows' logits of all candidates
STATE = "state"  # state: what the loss keeps of the rows' users (Loss.init)
OPPONENT = "opponent"  # hardness: the opponent's scores of the columns (Loss.opponent)
CONTEXT = frozenset({VECTORS, CATALOGUE, STATE, OPPONENT})


class Loss(NamedTuple):
    """An entry of the registry of losses.

    Attributes:
      fn: (positive [b], negatives, hyper) -> [b], with a Context
        (research/losses/context.py) as a fourth argument where needs asks for one.
        hyper holds, beside the entry's own values, temperature (the run's) and items
        (the size of the catalogue).
      hyper: values that may be set and swept without compiling anew: name -> (default,
        help).
      trainable: values learned with the towers: name -> initial value, unless one
        stands behind the loss's name; they reach fn through hyper.
      needs: what a run must offer, of those above.
      laws: those of tests/losses that it obeys: each declared one is tested to hold,
        each other to be violated.
      one_pass: whether its gradient is in proportion to a softmax over the positive and
        the negatives, so that one pass over blocks of logits is enough
        (research/logits/one_pass.py).
      project: (learned before a step, after it, hyper) -> the learned values within
        their bounds; None where they have none.
      due: (hyper, epoch from 0) -> whether an epoch's steps observe, or are the
        opponent's.
      init: (items [e], offsets [u + 1]) of the users' training parts -> state of the
        users: a tree of arrays [u, ...].
      observe: (state of the rows' users, StepScores, hyper) -> that state after a step
        of an epoch that is due (research/losses/context.py).
      opponent: (key, users, items, dim) -> tables [users, d] and [items, d] of another
        pair of towers, whose cosines are the hardness of the columns. In an epoch that
        is due they alone move, raising the loss, at the rate hyper["opponent_rate"].
    """

    fn: Callable[..., Any]
    hyper: dict[str, tuple[float, str]] = {}  # noqa: RUF012 - never written to
    trainable: dict[str, float] = {}  # noqa: RUF012
    needs: frozenset[str] = frozenset({NEGATIVES})
    laws: frozenset[str] = frozenset()
    one_pass: bool = False
    project: Callable[[Any, Any, Any], Any] | None = None
    due: Callable[[Any, Any], Any] | None = None
    init: Callable[[Any, Any], Any] | None = None
    observe: Callable[[Any, Any, Any], Any] | None = None
    opponent: Callable[[Any, int, int, int], Any] | None = None

    @property
    def values(self) -> dict[str, Value]:
        """What may stand behind its name: what is set, and the start of the learned."""
        defaults = {name: default for name, (default, _) in self.hyper.items()}
        both = {**defaults, **self.trainable}
        return {name: Value(float(value), None, HYPER) for name, value in both.items()}

    def __call__(self, positive: Any, negatives: Any, hyper: Any, context: Any) -> Any:
        """The loss of each row.

        Returns:
          [b].
        """
        if self.needs & CONTEXT:
            return self.fn(positive, negatives, hyper, context)
        return self.fn(positive, negatives, hyper)
