"""The contract of a source of negatives, and what all sources are drawn from."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from research.types import UNSEEN, Hyper

State = Any


class Batch(NamedTuple):
    """One step's pairs on the device, [b] each (see positives.Pairs)."""

    query: Int[Array, " b"]
    position: Int[Array, " b"]
    candidate: Int[Array, " b"]
    weight: Float[Array, " b"]


class Pool(NamedTuple):
    """What sources draw from: how often each candidate stands in the fitted pairs.

    log_share is log q of one draw from the pairs: exact, or as estimated so far
    (research/negatives/frequency.py).
    """

    counts: Float[Array, " i"]
    log_share: Float[Array, " i"]

    @property
    def floor(self) -> Float[Array, ""]:
        """log(UNSEEN / n): the log q of what none of n pairs holds, which is finite."""
        return jnp.log(UNSEEN / jnp.sum(self.counts))


class Drawn(NamedTuple):
    """One block of negatives: ids [c], shared by all rows, or [b, k], each row its own.

    vectors is None where the candidate tower is still to encode them. kept, [c] or
    [b, c], is False for a column that can't be used in this step (a cache that isn't
    warm); None: all can. log_q is None where the columns are corrected by the union's
    q, as they should be; a cache that stored its q at enqueue gives that, [c].
    """

    ids: Int[Array, "..."]
    vectors: Float[Array, "... d"] | None = None
    kept: Bool[Array, "..."] | None = None
    log_q: Float[Array, " c"] | None = None


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
      draws(state, pool, batch_size): number of draws that a row sees, for the mixture;
        0 while a cache isn't warm.
      log_q(ids, state, pool): log of the probability that one draw gives the id, for
        any ids; None where nobody knows it (hard negatives).
      update(state, batch, vectors, pool): the state after a step that encoded the
        batch's positives as these vectors.
      refresh(state, users, items): the state before an epoch, given the vectors of
        all queries and candidates; None where a source has no use for them.
    """

    name: str
    origin: Literal["batch", "fresh", "stored"]
    own: Literal["diagonal", "id", "none"]
    init: Callable[[Pool, Hyper], State]
    draw: Callable[[Key[Array, ""], Batch, State, Pool], Drawn]
    draws: Callable[[State, Pool, int], Float[Array, ""]]
    log_q: Callable[[Int[Array, "..."], State, Pool], Float[Array, "..."]] | None
    update: Callable[[State, Batch, Float[Array, "b d"], Pool], State] = (
        lambda state, batch, vectors, pool: state
    )
    refresh: (
        Callable[[State, Float[Array, "u d"], Float[Array, "i d"]], State] | None
    ) = None


def stateless(pool: Pool, hyper: Hyper) -> State:
    """The empty state of a source that remembers nothing."""
    return ()
