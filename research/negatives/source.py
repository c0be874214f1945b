"""The contract of a source of negatives, and log q of the union of sources."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from research.types import UNSEEN, Hyper, Pairs

SourceState = Any  # a tree of arrays
SourceStates = tuple[SourceState, ...]


class Pool(NamedTuple):
    """What sources draw from: how often each candidate stands in the fitted pairs.

    log_share is log q of one draw from the pairs: exact, or as estimated so far
    (research/negatives/frequency.py).
    """

    counts: Float[Array, " i"]
    log_share: Float[Array, " i"]

    @property
    def floor(self) -> Float[Array, ""]:
        """log(.3 / n): the log q of what n pairs never held, so that it is finite."""
        return jnp.log(UNSEEN / jnp.sum(self.counts))


class Drawn(NamedTuple):
    """Negatives of one source: ids [c] shared by the rows, or [b, k] of each row's own.

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
        all queries [u, d] and candidates [i, d]; None where a source doesn't use them.
    """

    name: str
    origin: Literal["batch", "fresh", "stored"]
    own: Literal["diagonal", "id", "none"]
    init: Callable[[Pool, Hyper], SourceState]
    draw: Callable[[Key[Array, ""], Pairs, SourceState, Pool], Drawn]
    draws: Callable[[SourceState, Pool, int], Float[Array, ""]]
    log_q: Callable[[Int[Array, "..."], SourceState, Pool], Float[Array, "..."]] | None
    update: Callable[[SourceState, Pairs, Float[Array, "b d"], Pool], SourceState] = (
        lambda state, batch, vectors, pool: state
    )
    refresh: Callable[[SourceState, Array, Array], SourceState] | None = None


def stateless(pool: Pool, hyper: Hyper) -> SourceState:
    """The empty state of a source that needs none."""
    return ()


Sources = tuple[Source, ...]


def total_draws(
    sources: Sources, states: SourceStates, pool: Pool, batch_size: int
) -> Float[Array, ""]:
    """N, the number of draws that a row sees over all sources; 1 where there is none.

    Only cold caches draw nothing, and then no column is kept: any finite log will do.
    Arguments are as in ``union_log_q``.
    """
    return jnp.maximum(jnp.sum(_draws(sources, states, pool, batch_size)), 1.0)


def union_log_q(
    ids: Int[Array, "..."],
    sources: Sources,
    states: SourceStates,
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log Q'(j) = log sum_b (n_b / N) q_b(j), for the draws n_b of each source b.

    The mixture of [yang2020], which names it without printing it: every column is
    corrected by the union's q, whichever source it came from, as the deterministic
    mixture of multiple importance sampling (the balance heuristic) [veach1995]. n_b
    counts draws, not the size of what is drawn from: a cache that isn't warm has n_b 0
    and no weight. An id that no source can draw has the pool's floor.

    Args:
      ids: any, of any shape.
      sources: of the union.
      states: the sources' states.
      pool: what the sources draw from.
      batch_size: rows of a step.

    Raises:
      ValueError: a source doesn't know its q.
    """
    share = _draws(sources, states, pool, batch_size)
    weight = jnp.log(share) - jnp.log(total_draws(sources, states, pool, batch_size))
    parts = _log_q(ids, sources, states, pool)
    total = jax.nn.logsumexp(
        jnp.stack([weight[b] + part for b, part in enumerate(parts)]), axis=0
    )
    return jnp.where(jnp.isfinite(total), total, pool.floor)


def union_log_inclusion(
    ids: Int[Array, "..."],
    sources: Sources,
    states: SourceStates,
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log P(j is drawn at least once) = log(1 - prod_b (1 - q_b(j))^n_b).

    For one source 1 - (1 - q)^n, the probability of [yi2019, section 3.2] to be in
    a batch. It corrects columns of which each id is there once: 1 / P weighs a distinct
    column as Horvitz and Thompson do [horvitz1952], where 1 / (n q) weighs a draw.
    Arguments and exceptions are as in ``union_log_q``.
    """
    share = _draws(sources, states, pool, batch_size)
    never = [
        share[b] * jnp.log1p(-jnp.exp(part))
        for b, part in enumerate(_log_q(ids, sources, states, pool))
    ]
    total = jnp.log(-jnp.expm1(jnp.sum(jnp.stack(never), axis=0)))
    return jnp.where(jnp.isfinite(total), total, pool.floor)


def _log_q(
    ids: Int[Array, "..."], sources: Sources, states: SourceStates, pool: Pool
) -> list[Float[Array, "..."]]:
    parts = []
    for source, state in zip(sources, states, strict=True):
        if source.log_q is None:
            raise ValueError(f"{source.name}: q is unknown")
        parts.append(source.log_q(ids, state, pool))
    return parts


def _draws(
    sources: Sources, states: SourceStates, pool: Pool, batch_size: int
) -> Float[Array, " n"]:
    both = zip(sources, states, strict=True)
    return jnp.stack([source.draws(state, pool, batch_size) for source, state in both])
