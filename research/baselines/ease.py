"""EASE: a linear item-item model with a closed form, a strong baseline on MovieLens."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.baselines.entry import Baseline, Option, Values
from research.baselines.linear import clicks_of, sum_over_clicks
from research.evaluate.scorers import Scorer
from research.types import Fold, InputError

__all__ = ["EASE", "ease", "item_weights"]


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


def ease(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """EASE on the fold's fitted part: score(u, i) = sum of B_ji over u's clicks j.

    Args:
      fold: the phase; every user of its fitted part is learnt from.
      options: l2, the strength of the ridge penalty.
      seed: not used.

    Returns:
      a scorer of fold.evaluated, float64.

    Raises:
      InputError: l2 is not a finite number above 0.
    """
    weights = item_weights(clicks_of(fold), options["l2"])
    return sum_over_clicks(fold, weights)


EASE = Baseline(ease, {"l2": Option(100.0, "ridge penalty", above=True, large=300.0)})
