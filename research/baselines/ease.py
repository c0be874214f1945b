"""EASE: a linear item-item model with a closed form, a strong baseline on MovieLens."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.evaluate.scorers import Scorer
from research.types import Fold, InputError

__all__ = ["ease", "item_weights"]


def item_weights(
    clicks: sparse.csr_array, l2: float = 100.0
) -> Float[np.ndarray, "i i"]:
    """The weights B that best rebuild every user's clicks from the user's other clicks.

    B minimises |X - X B|^2 + l2 |B|^2 with diag(B) = 0, X [u, i] the clicks:
    P = (X^T X + l2 I)^-1, B = I - P diag(1 / diag P)  [steck2019, eq. 8]. No
    difference from the paper. Dense in items: 8 i^2 bytes, i^3 operations, float64.

    Args:
      clicks: X, a row a user.
      l2: strength of the ridge penalty, above 0.

    Raises:
      InputError: l2 is not a finite number above 0.

    >>> X = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]]))
    >>> item_weights(X, l2=1.0).round(6).tolist()  # 1 / (2 + l2), 1 / (1 + l2)
    [[0.0, 0.333333], [0.5, 0.0]]
    """
    if not 0 < l2 < np.inf:
        raise InputError(f"l2 = {l2:g}: EASE needs a finite penalty above 0")
    gram = (clicks.T @ clicks).toarray()
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def ease(fold: Fold, l2: float = 100.0) -> Scorer:
    """EASE on the fold's fitted part: score(u, i) = sum of B_ji over u's clicks j.

    On MovieLens, l2 = 100 suits 100K and 300 suits 1M.

    Args:
      fold: the phase; every user of its fitted part is learnt from.
      l2: strength of the ridge penalty, above 0.

    Returns:
      a scorer of fold.evaluated, float64.

    Raises:
      InputError: l2 is not a finite number above 0.
    """
    fitted = fold.fitted
    clicks = sparse.csr_array(
        (np.ones(len(fitted.item)), (fitted.user, fitted.item)),
        shape=(fitted.n_users, fitted.n_items),
    )
    clicks.data[:] = 1.0  # an item clicked twice is clicked
    weights = item_weights(clicks, l2)
    of_evaluated = clicks[fold.evaluated]

    def scores(users: slice, items: slice) -> np.ndarray:
        # sparse by dense adds up each user's rows in turn: no tile changes a bit
        return of_evaluated[users] @ weights[:, items]

    return scores
