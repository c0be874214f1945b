"""Clicks weighted by the inverse of how often their user was shown their item."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.config import Config
from research.exposure import inverse_weights
from research.positives import POSITIVES, Kind, Positives
from research.types import Events

__all__ = ["WEIGHTED", "weighted_kind"]

WEIGHTED = "weighted"  # the kind of positives, registered for one training
_PLAIN = "user-item"


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
