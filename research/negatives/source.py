"""The contract of a source of negatives, and what all sources are drawn from."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from jaxtyping import Array, Float, Int, Key

__all__ = ["Batch", "Drawn", "Pool", "Source"]

State = Any
Hyper = dict[str, Float[Array, ""]]


class Batch(NamedTuple):
    """One step's pairs on the device, [b] each (see positives.Pairs)."""

    query: Int[Array, " b"]
    position: Int[Array, " b"]
    candidate: Int[Array, " b"]
    weight: Float[Array, " b"]


class Pool(NamedTuple):
    """What sources draw from: how often each candidate stands in the fitted pairs."""

    counts: Float[Array, " i"]
    log_share: Float[Array, " i"]


class Drawn(NamedTuple):
    """One block of negatives: ids [c], shared by all rows, or [b, k], each row its own.

    vectors is None where the candidate tower is still to encode them.
    """

    ids: Int[Array, "..."]
    vectors: Float[Array, "... d"] | None = None


class Source(NamedTuple):
    """A source: a pure draw with explicit state, and its own log q for any id.

    Attributes:
      name: as in the registry.
      origin: where vectors come from: "batch" (the positives' own), "fresh" (encoded
        in this step) or "stored" (kept from earlier steps, no gradient).
      own: which column of a row is the row's positive itself and never a negative:
        "diagonal", "id" (wherever the id stands) or "none".
      init(pool, hyper): the state before the first step.
      draw(key, batch, state, pool): the block.
      draws(state, pool, batch_size): number of draws that a row sees, for the mixture.
      log_q(ids, state, pool): log of the probability that one draw gives the id, for
        any ids; None where nobody knows it (hard negatives).
      update(state, batch, vectors): the state after a step.
    """

    name: str
    origin: Literal["batch", "fresh", "stored"]
    own: Literal["diagonal", "id", "none"]
    init: Callable[[Pool, Hyper], State]
    draw: Callable[[Key[Array, ""], Batch, State, Pool], Drawn]
    draws: Callable[[State, Pool, int], Float[Array, ""]]
    log_q: Callable[[Int[Array, "..."], State, Pool], Float[Array, "..."]] | None
    update: Callable[[State, Batch, Float[Array, "b d"]], State] = (
        lambda state, batch, vectors: state
    )


def stateless(pool: Pool, hyper: Hyper) -> State:
    """The empty state of a source that remembers nothing."""
    return ()
