"""The union of sources as one candidate set, and the log q of that union."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.negatives.source import Pool, Source, State


def total_draws(
    sources: tuple[Source, ...], states: tuple[State, ...], pool: Pool, batch_size: int
) -> Float[Array, ""]:
    """N, the number of draws that a row sees over all sources; 1 where there is none.

    Only cold caches draw nothing, and then no column is kept: any finite log will do.
    """
    return jnp.maximum(jnp.sum(_draws(sources, states, pool, batch_size)), 1.0)


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
    counts draws, not the size of what is drawn from: a cache that isn't warm has n_b 0
    and no weight. An id that no source can draw has the pool's floor.

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
    sources: tuple[Source, ...],
    states: tuple[State, ...],
    pool: Pool,
    batch_size: int,
) -> Float[Array, "..."]:
    """log P(j is drawn at least once) = log(1 - prod_b (1 - q_b(j))^n_b).

    For one source 1 - (1 - q)^n, the probability of [yi2019, section 3.2] to be in
    a batch. It corrects columns of which each id is there once: 1 / P weighs a distinct
    column as Horvitz and Thompson do [horvitz1952], where 1 / (n q) weighs a draw.

    Raises:
      ValueError: a source doesn't know its q.
    """
    share = _draws(sources, states, pool, batch_size)
    never = [
        share[b] * jnp.log1p(-jnp.exp(part))
        for b, part in enumerate(_log_q(ids, sources, states, pool))
    ]
    total = jnp.log(-jnp.expm1(jnp.sum(jnp.stack(never), axis=0)))
    return jnp.where(jnp.isfinite(total), total, pool.floor)


def _log_q(
    ids: Int[Array, "..."],
    sources: tuple[Source, ...],
    states: tuple[State, ...],
    pool: Pool,
) -> list[Float[Array, "..."]]:
    parts = []
    for source, state in zip(sources, states, strict=True):
        if source.log_q is None:
            raise ValueError(f"{source.name}: q is unknown")
        parts.append(source.log_q(ids, state, pool))
    return parts


def _draws(
    sources: tuple[Source, ...], states: tuple[State, ...], pool: Pool, batch_size: int
) -> Float[Array, " n"]:
    return jnp.stack(
        [
            s.draws(state, pool, batch_size)
            for s, state in zip(sources, states, strict=True)
        ]
    )
