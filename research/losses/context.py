"""What some losses read beside logits."""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from research.logits.reducers import Dense


class Context(NamedTuple):
    """Inputs of a loss beside logits; a field is None unless one of its needs names it.

    Attributes:
      query: vectors of the queries; row b is one pair.
      positive: vectors of the positives.
      catalogue: logits of all candidates, without log q and without a gradient.
      state: what the loss keeps of the rows' users, a tree of arrays [b, ...].
      hardness: the opponent's scores of the negatives' columns.
    """

    query: Float[Array, "b d"]
    positive: Float[Array, "b d"]
    catalogue: Float[Array, "b i"] | None = None
    state: Any = None
    hardness: Dense | None = None


class StepScores(NamedTuple):
    """Scores of a step's rows with the parameters after it, without a temperature.

    Attributes:
      scores: of the rows' queries with all candidates.
      negatives: those of the columns that were drawn.
    """

    scores: Float[Array, "b i"]
    negatives: Dense
