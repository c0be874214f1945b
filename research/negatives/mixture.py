"""The union of sources as one candidate set, and the log q of that union."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.negatives.source import Pool, Source, State

__all__ = ["total_draws", "union_log_q"]


def total_draws(
    sources: tuple[Source, ...], states: tuple[State, ...], pool: Pool, batch_size: int
) -> Float[Array, ""]:
    """N, the number of draws that a row sees over all sources."""
    return jnp.sum(_draws(sources, states, pool, batch_size))


def union_log_q(
    ids: Int[Array, "..."],
    sources: tuple[Source, ...],
    states: tuple[State, ...],
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log Q'(j) = log sum_b (n_b / N) q_b(j), for the draws n_b of each source b.

    The mixture of [yang2020], which names it without printing it: every column is
    corrected by the union's q, whichever source it came from, as the deterministic
    mixture of multiple importance sampling (the balance heuristic) [veach1995]. n_b
    counts draws, not the size of what is drawn from.

    Raises:
      ValueError: a source doesn't know its q.
    """
    share = _draws(sources, states, pool, batch_size)
    weight = jnp.log(share) - jnp.log(jnp.sum(share))
    parts = []
    for b, (source, state) in enumerate(zip(sources, states, strict=True)):
        if source.log_q is None:
            raise ValueError(f"{source.name}: q is unknown")
        parts.append(weight[b] + source.log_q(ids, state, pool))
    return jax.nn.logsumexp(jnp.stack(parts), axis=0)


def _draws(
    sources: tuple[Source, ...], states: tuple[State, ...], pool: Pool, batch_size: int
) -> Float[Array, " n"]:
    return jnp.stack(
        [
            s.draws(state, pool, batch_size)
            for s, state in zip(sources, states, strict=True)
        ]
    )
