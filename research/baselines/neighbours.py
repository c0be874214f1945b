"""Item-kNN: items are alike if the same users clicked them; cosine with shrinkage."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.baselines.entry import Baseline, Option, Values
from research.baselines.linear import clicks_of, sum_over_clicks
from research.evaluate.scorers import Scorer
from research.types import Fold

__all__ = ["ITEM_KNN", "item_knn", "neighbour_weights"]


def neighbour_weights(
    clicks: sparse.csr_array, shrink: float, neighbours: int
) -> Float[np.ndarray, "i i"]:
    """Each item's nearest others under n_ij / (sqrt(n_i n_j) + shrink).

    n_ij users clicked both. Own library: implicit has the cosine, but no shrinkage,
    without which an item with one click is as sure of its neighbours as one with many
    [sarwar2001; dacrema2019, section 3.2]. Dense in items: 8 i^2 bytes.

    Args:
      clicks: X [users, items], 0 or 1.
      shrink: pulls the likeness of rare items towards 0.
      neighbours: how many others an item keeps; equally near ones by lower index.

    Returns:
      weights [clicked item, scored item]: column i holds the neighbours of i.

    >>> X = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    >>> neighbour_weights(X, shrink=1.0, neighbours=1).round(3).tolist()
    [[0.0, 0.667, 0.414], [0.667, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    both = (clicks.T @ clicks).toarray()
    norm = np.sqrt(np.diag(both))
    # an item without a click has no neighbour, so what it is divided by is no matter
    alike = both / np.maximum(np.outer(norm, norm) + shrink, 1e-12)
    np.fill_diagonal(alike, 0.0)
    if neighbours < len(alike):
        nearest = np.argsort(-alike, axis=0, kind="stable")[:neighbours]
        kept = np.zeros(alike.shape, bool)
        np.put_along_axis(kept, nearest, True, axis=0)
        alike = np.where(kept, alike, 0.0)
    return alike


def item_knn(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """score(u, i) = sum of i's likeness to those of its neighbours that u clicked.

    Args:
      fold: the phase.
      options: shrink and neighbours.
      seed: not used.
    """
    shrink, neighbours = options["shrink"], int(options["neighbours"])
    return sum_over_clicks(fold, neighbour_weights(clicks_of(fold), shrink, neighbours))


ITEM_KNN = Baseline(
    item_knn,
    {
        "shrink": Option(0.0, "added to the norms"),
        "neighbours": Option(20, "neighbours of an item", least=1, whole=True),
    },
)
