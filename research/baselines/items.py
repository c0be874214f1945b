"""Baselines from counts: popularity, recent popularity and nearest items."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from research.baselines.entry import Values
from research.baselines.linear import clicks_of, sum_over_clicks
from research.evaluate.top_k import Scorer
from research.types import Fold

DAY = 86_400  # seconds


def popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the training part, the same for every user.

    Equal counts are ranked by index, which is a hash of the item, so neither age nor
    place in a file decides.

    Args:
      fold: the phase.
      options: empty.
      seed: not used.

    Returns:
      a scorer of fold.evaluated; float64, as float32 is not exact above 2^24.
    """
    return _same_for_all(_counts(fold, np.ones(len(fold.fitted.item), bool)))


def recent_popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the last days of the training part [ji2020].

    Items with equally many are ranked by all their clicks. All users share one window,
    which ends with the last training click of any user; with a per-user split that is
    later than most users' last click.

    Args:
      fold: the phase.
      options: days, the length of the window in days.
      seed: not used.
    """
    time = fold.fitted.timestamp
    recent = time > time.max() - options["days"] * DAY
    every = _counts(fold, np.ones(len(time), bool))
    # less than one recent click, so it only settles ties
    return _same_for_all(_counts(fold, recent) + every / (every.sum() + 1.0))


def _counts(fold: Fold, keep: np.ndarray) -> Float[np.ndarray, " i"]:
    counts = np.bincount(fold.fitted.item[keep], minlength=fold.fitted.n_items)
    return counts.astype(np.float64)


def _same_for_all(value: Float[np.ndarray, " i"]) -> Scorer:
    def scores(users: slice, items: slice) -> Float[np.ndarray, "t c"]:
        return np.tile(value[items], (users.stop - users.start, 1))

    return scores


def neighbour_weights(
    clicks: sparse.csr_array, shrink: float, neighbours: int
) -> Float[np.ndarray, "i i"]:
    """Similarities n_ij / (sqrt(n_i n_j) + shrink) of each item's nearest neighbours.

    n_ij users clicked both. Own code: implicit has the cosine without shrinkage, which
    makes an item with one click as similar to its neighbours as one with many
    [sarwar2001; dacrema2019, section 3.2]. Dense in items: 8 i^2 bytes.

    Args:
      clicks: X [users, items], 0 or 1.
      shrink: shrinks the similarities of rare items towards 0, in clicks.
      neighbours: neighbours per item; ties go to the lower index.

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
    """Item-kNN: the summed similarity of i to those of its neighbours that u clicked.

    Args:
      fold: the phase.
      options: shrink and neighbours.
      seed: not used.
    """
    shrink, neighbours = options["shrink"], int(options["neighbours"])
    return sum_over_clicks(fold, neighbour_weights(clicks_of(fold), shrink, neighbours))
