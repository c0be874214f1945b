"""The row that needs no training: what most people click, for everyone."""

import numpy as np

from research.evaluate.scorers import Scorer
from research.types import Fold

__all__ = ["popularity"]


def popularity(fold: Fold) -> Scorer:
    """Scores an item by its clicks in the fitted part, the same for every user.

    Equal counts are ranked by index, which is a hash of the item: neither age nor
    place in a file decides.

    Returns:
      a scorer of fold.evaluated; float64, since counts above 2^24 aren't exact in less.
    """
    counts = np.bincount(fold.fitted.item, minlength=fold.fitted.n_items)
    clicks = counts.astype(np.float64)

    def scores(users: slice, items: slice) -> np.ndarray:
        return np.tile(clicks[items], (users.stop - users.start, 1))

    return scores
