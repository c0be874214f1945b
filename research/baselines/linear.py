"""Models of items alone: a user's score is a sum of weights over what it clicked."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.evaluate.scorers import Scorer
from research.types import Fold

__all__ = ["clicks_of", "sum_over_clicks"]


def clicks_of(fold: Fold) -> sparse.csr_array:
    """X [users, items], float64: 1 where the user clicked the item, once or often."""
    fitted = fold.fitted
    clicks = sparse.csr_array(
        (np.ones(len(fitted.item)), (fitted.user, fitted.item)),
        shape=(fitted.n_users, fitted.n_items),
    )
    clicks.data[:] = 1.0
    return clicks


def sum_over_clicks(
    fold: Fold, weights: Float[np.ndarray, "i i"] | sparse.csc_array
) -> Scorer:
    """score(u, i) = sum of weights[j, i] over u's clicks j, for fold.evaluated.

    Args:
      fold: the phase; its fitted part is what users clicked.
      weights: [items, items], from the clicked to the scored one.
    """
    clicks = clicks_of(fold)[fold.evaluated]

    def scores(users: slice, items: slice) -> Float[np.ndarray, "t c"]:
        # sparse by dense adds up each user's rows in turn: no tile changes a bit
        found = clicks[users] @ weights[:, items]
        return found.toarray() if sparse.issparse(found) else found

    return scores
