"""What each user was shown, as a source of negatives and as weights of clicks.

Both are entries that are registered for one training.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy import ndarray

from research.config import Config
from research.exposure import inverse_weights
from research.negatives import SourceEntry
from research.negatives.source import Drawn, Pool, Source, SourceState
from research.positives import POSITIVES, Kind, Positives
from research.types import Events, Pairs

SHOWN = "shown"  # the source of negatives
WEIGHTED = "weighted"  # the kind of positives
_PLAIN = "user-item"


def shown_entry(shown: Float[ndarray, "u i"]) -> SourceEntry:
    """A source of negatives that each row draws from what its user was shown.

    A softmax over them, uncorrected, learns log p(i|u) less the log of how often u was
    shown i: relevance, if p is relevance times exposure. The arrays are its state, so
    that trainings which differ in them are one program.

    Args:
      shown: of each item to each user, [u, i].
    """
    upto = np.cumsum(shown, axis=1).astype(np.float32)

    def make(draws: int, config: Config) -> Source:
        def draw(
            key: Key[Array, ""], batch: Pairs, state: SourceState, pool: Pool
        ) -> Drawn:
            rows = state[batch.query]
            at = jax.random.uniform(key, (len(rows), draws)) * rows[:, -1:]
            find = jax.vmap(functools.partial(jnp.searchsorted, side="right"))
            last = jnp.int32(rows.shape[1] - 1)
            return Drawn(jnp.minimum(find(rows, at).astype(jnp.int32), last))

        return Source(
            name=SHOWN,
            origin="fresh",
            own="none",
            init=lambda pool, hyper: jnp.asarray(upto),
            draw=draw,
            draws=lambda state, pool, batch_size: jnp.array(float(draws)),
            log_q=None,  # it differs by row, and is not to be corrected
        )

    return SourceEntry(make, knows_q=False, per_row=True)


def weighted_kind(shown: Float[ndarray, "u i"], power: float) -> Kind:
    """Pairs of users and items, weighted by inverse propensity [schnabel2016].

    Where impressions are known for each item alone, the field ``ips`` does the same.

    Args:
      shown: of each item to each user, [u, i].
      power: of the inverse.
    """

    def make(config: Config, fitted: Events) -> Positives:
        made = POSITIVES[_PLAIN].make(config, fitted)
        log_shown = np.log(shown)[made.pairs.query, made.pairs.candidate]
        weight = inverse_weights(log_shown, power)
        return made._replace(pairs=made.pairs._replace(weight=weight))

    return POSITIVES[_PLAIN]._replace(make=make)
