"""Rows that need no training: what most people click, ever or lately, for all."""

import numpy as np
from jaxtyping import Float

from research.baselines.entry import Baseline, Option, Values
from research.evaluate.scorers import Scorer
from research.types import Fold

__all__ = ["POPULARITY", "RECENT_POPULARITY", "popularity", "recent_popularity"]

DAY = 86_400  # seconds


def popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the fitted part, the same for every user.

    Equal counts are ranked by index, which is a hash of the item: neither age nor
    place in a file decides.

    Args:
      fold: the phase.
      options: there are none.
      seed: not used.

    Returns:
      a scorer of fold.evaluated; float64, since counts above 2^24 aren't exact in less.
    """
    return _same_for_all(_counts(fold, np.ones(len(fold.fitted.item), bool)))


def recent_popularity(fold: Fold, options: Values, seed: int = 0) -> Scorer:
    """Scores an item by its clicks in the last days of the fitted part [ji2020].

    Items with equally many are ranked by all their clicks. One window for all users,
    ending with the last fitted click of anyone; where a split cuts each user's own
    history, that is later than most users' last click.

    Args:
      fold: the phase.
      options: days, the length of the window.
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


POPULARITY = Baseline(popularity, {})
RECENT_POPULARITY = Baseline(
    recent_popularity, {"days": Option(180.0, "length of the window", above=True)}
)
