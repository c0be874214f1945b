"""Sources without a state: the batch, uniform, popularity^alpha, the catalogue."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import REFERENCE, Config
from research.negatives.source import Drawn, Hyper, Pool, Source, stateless


def in_batch(draws: int, config: Config = REFERENCE) -> Source:
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


def in_batch_part(draws: int, config: Config = REFERENCE) -> Source:
    """A random part of the batch's columns: fewer negatives from as many rows.

    Each row sees exactly ``draws`` of the other rows' positives, those at as many
    distinct distances around the batch, drawn anew each step: one [b, b] mask over
    scores that are there anyway. q is that of in-batch.
    """

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        b = batch.candidate.shape[0]
        distance = 1 + jax.random.permutation(key, b - 1)[:draws]
        chosen = jnp.zeros(b, bool).at[distance].set(True)
        row = jnp.arange(b, dtype=jnp.int32)
        kept = chosen[(row[None, :] - row[:, None]) % b]
        return Drawn(batch.candidate, kept=kept)

    return in_batch(0, config)._replace(
        name="in-batch-part",
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
    )


def uniform(draws: int, config: Config = REFERENCE) -> Source:
    """Draws from the catalogue with replacement, shared by all rows  [yang2020]."""

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


def uniform_per_row(draws: int, config: Config = REFERENCE) -> Source:
    """As uniform, but each row draws its own: the k negatives of pointwise training."""

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        shape = (batch.candidate.shape[0], draws)
        return Drawn(jax.random.randint(key, shape, 0, pool.counts.shape[0]))

    return uniform(draws)._replace(name="uniform-per-row", draw=draw)


def popularity(draws: int, config: Config = REFERENCE) -> Source:
    """Draws from q_j = C_j^alpha / sum_k C_k^alpha, normalised, shared by all rows.

    alpha is hyper["alpha"]: 0 is uniform over what was ever clicked, 1 the click share.
    State: log q [i] and its cumulative sum. Source: [mikolov2013, section 2.2].
    """
    return Source(
        name="popularity",
        origin="fresh",
        own="none",
        init=_powers,
        draw=lambda key, batch, state, pool: Drawn(_power_draw(key, state[1], draws)),
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=lambda ids, state, pool: state[0][ids],
    )


def extra(draws: int, config: Config = REFERENCE) -> Source:
    """Columns each uniform with probability m, else from popularity^alpha.

    q_j = m / I + (1 - m) C_j^alpha / sum_k C_k^alpha, with m = hyper["mix"]: the
    sampling distribution of mixed negatives as one traced number  [yang2020].
    Differs from the paper: there m is 1.
    State: that of popularity, and m.
    """

    def draw(key, batch, state, pool):  # type: ignore[no-untyped-def]
        one, two, which = jax.random.split(key, 3)
        flat = jax.random.randint(one, (draws,), 0, pool.counts.shape[0])
        powers = _power_draw(two, state[1], draws)
        return Drawn(
            jnp.where(jax.random.bernoulli(which, state[2], (draws,)), flat, powers)
        )

    def log_q(ids, state, pool):  # type: ignore[no-untyped-def]
        seen = jnp.where(pool.counts[ids] > 0, state[0][ids], -jnp.inf)
        flat = jnp.log(state[2]) + _uniform_log_q(ids, state, pool)
        return jnp.logaddexp(flat, jnp.log1p(-state[2]) + seen)

    return Source(
        name="extra",
        origin="fresh",
        own="none",
        init=lambda pool, hyper: (*_powers(pool, hyper), hyper["mix"]),
        draw=draw,
        draws=lambda state, pool, batch_size: jnp.array(float(draws)),
        log_q=log_q,
    )


def _powers(pool: Pool, hyper: Hyper) -> tuple[Float[Array, " i"], Float[Array, " i"]]:
    """log q of popularity^alpha, finite also where it is 0, and its cumulative sum."""
    seen = pool.counts > 0
    power = hyper["alpha"] * jnp.log(jnp.where(seen, pool.counts, 1.0))
    log_q = jax.nn.log_softmax(jnp.where(seen, power, -jnp.inf))
    # Only what is never drawn is floored: with alpha 2 a rare item lies below it.
    return jnp.where(seen, log_q, pool.floor), jnp.cumsum(jnp.exp(log_q))


def _power_draw(
    key: Key[Array, ""], cumulative: Float[Array, " i"], draws: int
) -> Int[Array, " c"]:
    at = jax.random.uniform(key, (draws,)) * cumulative[-1]
    ids = jnp.searchsorted(cumulative, at, side="right")
    return jnp.minimum(ids, len(cumulative) - 1).astype(jnp.int32)


def catalogue(draws: int, config: Config = REFERENCE) -> Source:
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
