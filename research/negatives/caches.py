"""Sources with a state: a ring of past positives, and the latest vector of each item.

Both hand out stored vectors, so a thousand more negatives cost a product of matrices
and no pass of the item tower. Nothing flows back into what is stored. Until a cache is
warm (it holds enough, and ``warmup`` steps are over) it draws 0 and no column is kept.

A batch waits in the state until the next step's draw, and is written before anything is
read. Then a step has one version of the buffer, which a scan updates in place; written
after the read, there are two, and the compiler copies the whole buffer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from research.config import REFERENCE, Config
from research.negatives.source import Drawn, Hyper, Pool, Source
from research.types import Pairs


class Ring(NamedTuple):
    """The last m positives: vectors, ids, log q at enqueue.

    The fields next_... hold the latest batch, still to be written from slot ``at`` on.
    """

    vectors: Float[Array, "m d"]
    ids: Int[Array, " m"]
    log_q: Float[Array, " m"]
    next_vectors: Float[Array, "b d"]
    next_ids: Int[Array, " b"]
    next_log_q: Float[Array, " b"]
    at: Int[Array, ""]
    steps: Int[Array, ""]
    warmup: Float[Array, ""]


class Latest(NamedTuple):
    """The vector of each item from the last batch with it; held is False before one.

    The latest batch, still to be written, is in next_vectors and next_ids.
    """

    vectors: Float[Array, "i d"]
    held: Bool[Array, " i"]
    next_vectors: Float[Array, "b d"]
    next_ids: Int[Array, " b"]
    steps: Int[Array, ""]
    warmup: Float[Array, ""]


def fifo_cache(draws: int, config: Config = REFERENCE) -> Source:
    """A first-in, first-out bank of the last ``draws`` batch positives, all of them.

    Its contents are past draws from the click share, so q is the current unigram
    [wang2021, eq. 9], and neither 1 / size nor anything flatter: a FIFO adds draws, and
    doesn't change what is drawn from. Differs from the paper: the q of now is used in
    place of the one at enqueue (fifo_cache_stored), as the mixture needs q of any id.
    """

    def init(pool: Pool, hyper: Hyper) -> Ring:
        return Ring(
            vectors=jnp.zeros((draws, config.dim)),
            ids=jnp.zeros(draws, jnp.int32),
            log_q=jnp.zeros(draws),
            next_vectors=jnp.zeros((config.batch, config.dim)),
            next_ids=jnp.zeros(config.batch, jnp.int32),
            next_log_q=jnp.zeros(config.batch),
            at=jnp.int32(draws - config.batch),  # so that the first batch has slot 0
            steps=jnp.int32(0),
            warmup=hyper["warmup"],
        )

    def warm(ring: Ring) -> Bool[Array, ""]:
        full = ring.steps >= -(-draws // config.batch)
        return full & (ring.steps.astype(jnp.float32) >= ring.warmup)

    def draw(key: Key[Array, ""], batch: Pairs, ring: Ring, pool: Pool) -> Drawn:
        ring = _written(ring)
        kept = jnp.broadcast_to(warm(ring), (draws,))
        return Drawn(ring.ids, lax.stop_gradient(ring.vectors), kept)

    def update(
        ring: Ring, batch: Pairs, vectors: Float[Array, "b d"], pool: Pool
    ) -> Ring:
        return _written(ring)._replace(
            next_vectors=lax.stop_gradient(vectors),
            next_ids=batch.candidate,
            next_log_q=pool.log_share[batch.candidate],
            at=(ring.at + batch.candidate.shape[0]) % draws,
            steps=ring.steps + 1,
        )

    return Source(
        name="fifo-cache",
        origin="stored",
        init=init,
        draw=draw,
        draws=lambda ring, pool, batch_size: jnp.where(warm(ring), float(draws), 0.0),
        log_q=lambda ids, ring, pool: pool.log_share[ids],
        update=update,
    )


def fifo_cache_stored(draws: int, config: Config = REFERENCE) -> Source:
    """As fifo_cache, each column corrected by the q it was stored with [wang2021].

    The two differ only where q is estimated while training. The stored q stands for
    one column and says nothing of other ids, so no mixture can be formed with it.
    """
    plain = fifo_cache(draws, config)

    def draw(key: Key[Array, ""], batch: Pairs, ring: Ring, pool: Pool) -> Drawn:
        stored = _written(ring).log_q
        return plain.draw(key, batch, ring, pool)._replace(log_q=stored)

    return plain._replace(name="fifo-cache-stored", draw=draw)


def fifo_cache_by_size(draws: int, config: Config = REFERENCE) -> Source:
    """As fifo_cache, corrected as if it held each item once.

    q = 1 / size of every id, which is right for a cache that holds each item once
    (vector_cache). A FIFO of positives holds an item as often as it was clicked, so
    that this q leaves the popularity of its columns uncorrected: fifo_cache has the
    right one [wang2021, eq. 9]. It is here so that grids can show what that costs.
    """

    def log_q(ids: Int[Array, "..."], ring: Ring, pool: Pool) -> Float[Array, "..."]:
        return jnp.full(ids.shape, -jnp.log(float(draws)))

    return fifo_cache(draws, config)._replace(name="fifo-cache-by-size", log_q=log_q)


def _size(cache: Latest) -> Int[Array, ""]:
    return jnp.sum(cache.held, dtype=jnp.int32)


def _latest(cache: Latest) -> Float[Array, "i d"]:
    # An item twice in a batch has one vector, so it doesn't matter which is kept.
    return cache.vectors.at[cache.next_ids].set(cache.next_vectors)


def vector_cache(draws: int, config: Config = REFERENCE) -> Source:
    """Draws ids evenly from a cache that holds the latest vector of each id.

    q_j = 1 / size for an id it holds, 0 for any other. Unlike a FIFO it draws rare
    items as often as popular ones: mixed negatives [yang2020] with stale vectors.
    Drawing takes a pass over the catalogue's flags, O(I), and none over its vectors.
    """

    def init(pool: Pool, hyper: Hyper) -> Latest:
        n = pool.counts.shape[0]
        return Latest(
            vectors=jnp.zeros((n, config.dim)),
            held=jnp.zeros(n, bool),
            next_vectors=jnp.zeros((config.batch, config.dim)),
            next_ids=jnp.zeros(config.batch, jnp.int32),
            steps=jnp.int32(0),
            warmup=hyper["warmup"],
        )

    def warm(cache: Latest) -> Bool[Array, ""]:
        late = cache.steps.astype(jnp.float32) >= cache.warmup
        return (_size(cache) >= draws) & late

    def draw(key: Key[Array, ""], batch: Pairs, cache: Latest, pool: Pool) -> Drawn:
        upto = jnp.cumsum(cache.held, dtype=jnp.int32)
        nth = jax.random.randint(key, (draws,), 0, jnp.maximum(upto[-1], 1))
        ids = jnp.searchsorted(upto, nth, side="right").astype(jnp.int32)
        ids = jnp.minimum(ids, upto.shape[0] - 1)  # of an empty cache
        vectors = lax.stop_gradient(_latest(cache)[ids])
        return Drawn(ids, vectors, jnp.broadcast_to(warm(cache), (draws,)))

    def update(
        cache: Latest, batch: Pairs, vectors: Float[Array, "b d"], pool: Pool
    ) -> Latest:
        return cache._replace(
            vectors=_latest(cache),
            held=cache.held.at[batch.candidate].set(True),
            next_vectors=lax.stop_gradient(vectors),
            next_ids=batch.candidate,
            steps=cache.steps + 1,
        )

    return Source(
        name="vector-cache",
        origin="stored",
        init=init,
        draw=draw,
        draws=lambda cache, pool, size: jnp.where(warm(cache), float(draws), 0.0),
        log_q=lambda ids, cache, pool: jnp.where(
            cache.held[ids], -jnp.log(_size(cache).astype(jnp.float32)), -jnp.inf
        ),
        update=update,
    )


def _written(ring: Ring) -> Ring:
    """The ring with its waiting batch written to its slots."""
    return ring._replace(
        vectors=_write(ring.vectors, ring.at, ring.next_vectors),
        ids=_write(ring.ids, ring.at, ring.next_ids),
        log_q=_write(ring.log_q, ring.at, ring.next_log_q),
    )


def _write(
    buffer: Shaped[Array, "m *d"], at: Int[Array, ""], rows: Shaped[Array, "b *d"]
) -> Shaped[Array, "m *d"]:
    """The buffer with rows written from slot ``at`` on, around its end if need be.

    In a scan it is updated in place.
    """
    if buffer.shape[0] % rows.shape[0] == 0:  # then a batch never straddles the end
        return lax.dynamic_update_slice_in_dim(buffer, rows, at, axis=0)
    slots = (at + jnp.arange(rows.shape[0], dtype=jnp.int32)) % buffer.shape[0]
    return buffer.at[slots].set(rows)
