"""Hard negatives: items that the model itself ranks high, whose q is unknown.

A hard negative is drawn because of its score, so the probability of drawing it depends
on the row and on the model, and any log q for it would be made up. The sources here
have no log_q, and a run that asks for a correction too is refused.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from research.config import REFERENCE, Config
from research.negatives.source import Drawn, Hyper, Pool, Source, SourceState
from research.types import Pairs


def rank_band(
    draws: int, config: Config = REFERENCE, low: int = 101, high: int = 500
) -> Source:
    """Draws ``draws`` items for each row from ranks low to high of its list.

    Offline hard negatives: ranks 101 to 500 of the current model, with 100 easy
    negatives to each hard one  [huang2020]. State: the band of each query [u, w],
    ranked anew before each epoch. Differs from the paper: a query's list is that at the
    end of its fitted events, whichever of its events a row is about.
    """

    def init(pool: Pool, hyper: Hyper) -> SourceState:
        return jnp.zeros((0, 0), jnp.int32)  # until refreshed: ranking needs a model

    def draw(
        key: Key[Array, ""], batch: Pairs, bands: Int[Array, "u w"], pool: Pool
    ) -> Drawn:
        shape = (batch.query.shape[0], draws)
        at = jax.random.randint(key, shape, 0, bands.shape[1])
        return Drawn(bands[batch.query[:, None], at])

    return Source(
        name="rank-band",
        init=init,
        draw=draw,
        draws=lambda bands, pool, batch_size: jnp.array(float(draws)),
        log_q=None,
        refresh=lambda bands, users, items: rank_bands(users, items, low, high),
    )


@functools.partial(jax.jit, static_argnums=(2, 3))
def rank_bands(
    users: Float[Array, "u d"], items: Float[Array, "i d"], low: int, high: int
) -> Int[Array, "u w"]:
    """Items of ranks low to high (from 1, ends included) of each user by dot product.

    A block of users is ranked at a time, so that no [u, i] array is held.

    >>> items = jnp.array([[1.0], [3.0], [2.0], [0.0]])
    >>> rank_bands(jnp.ones((1, 1)), items, 2, 3).tolist()
    [[2, 0]]
    """
    high = min(high, items.shape[0])

    def one(user: Float[Array, " d"]) -> Int[Array, " w"]:
        return lax.top_k(items @ user, high)[1][low - 1 :].astype(jnp.int32)

    return lax.map(one, users, batch_size=min(256, users.shape[0]))
