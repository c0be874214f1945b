"""Sources without memory: the batch, uniform, popularity^alpha, the catalogue."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.negatives.source import Drawn, Source, stateless

__all__ = ["catalogue", "in_batch", "popularity", "uniform", "uniform_per_row"]


def in_batch(draws: int) -> Source:
    """The other rows' positives: B - 1 draws from the click share, at no cost.

    q_j = C_j / sum C, the share of fitted pairs whose candidate is j  [yi2019, 3.2].
    Differs from the paper: q is per draw and not the probability to be in a batch,
    which matches keeping duplicate columns.
    """
    return Source(
        name="in-batch",
        origin="batch",
        own="diagonal",
        init=stateless,
        draw=lambda key, batch, state, pool: Drawn(batch.candidate),
        draws=lambda state, pool, batch_size: jnp.array(batch_size - 1.0),
        log_q=lambda ids, state, pool: pool.log_share[ids],
    )


def uniform(draws: int) -> Source:
    """Draws from the whole library with replacement, shared by all rows  [yang2020]."""

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        return Drawn(jax.random.randint(key, (draws,), 0, pool.counts.shape[0]))

    return Source(
        name="uniform",
        origin="fresh",
        own="none",
        init=stateless,
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=_uniform_log_q,
    )


def uniform_per_row(draws: int) -> Source:
    """As uniform, but each row draws its own: the k negatives of pointwise training."""

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        shape = (batch.candidate.shape[0], draws)
        return Drawn(jax.random.randint(key, shape, 0, pool.counts.shape[0]))

    return uniform(draws)._replace(name="uniform-per-row", draw=draw)


def popularity(draws: int) -> Source:
    """Draws from q_j = C_j^alpha / sum_k C_k^alpha, normalised, shared by all rows.

    alpha is hyper["alpha"]: 0 is uniform over what was ever clicked, 1 the click share.
    State: log q [i] and its cumulative sum. Source: [mikolov2013, section 2.2].
    """

    def init(pool, hyper):  # type: ignore[no-untyped-def]
        seen = pool.counts > 0
        power = hyper["alpha"] * jnp.log(jnp.where(seen, pool.counts, 1.0))
        log_q = jax.nn.log_softmax(jnp.where(seen, power, -jnp.inf))
        floor = jnp.min(pool.log_share)
        return jnp.maximum(log_q, floor), jnp.cumsum(jnp.exp(log_q))

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        cumulative = state[1]
        at = jax.random.uniform(key, (draws,)) * cumulative[-1]
        ids = jnp.searchsorted(cumulative, at, side="right")
        return Drawn(jnp.minimum(ids, len(cumulative) - 1).astype(jnp.int32))

    return Source(
        name="popularity",
        origin="fresh",
        own="none",
        init=init,
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=lambda ids, state, pool: state[0][ids],
    )


def catalogue(draws: int) -> Source:
    """Every candidate once: with it a softmax is exact, and log q is a constant."""
    return Source(
        name="catalogue",
        origin="fresh",
        own="id",
        init=stateless,
        draw=lambda key, batch, state, pool: Drawn(
            jnp.arange(pool.counts.shape[0], dtype=jnp.int32)
        ),
        draws=lambda state, pool, batch_size: jnp.array(float(len(pool.counts))),
        log_q=_uniform_log_q,
    )


def _uniform_log_q(
    ids: Int[Array, "..."], state: object, pool: object
) -> Float[Array, "..."]:
    n = pool.counts.shape[0]  # type: ignore[attr-defined]
    return jnp.full(ids.shape, -jnp.log(float(n)))
