"""How far a model pushes away what its users will turn out to like.

A held-out positive is unknown in training: a loss that draws it as a negative pushes
it off. Its place among *all* that the user hasn't seen shows that below the cut-offs
of any list, too.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from research.evaluate.scorers import CHUNK, TILE, Scorer
from research.evaluate.top_k import THREADS, seen_items_of
from research.types import Fold

__all__ = ["repulsion"]


def repulsion(fold: Fold, scorer: Scorer) -> Float[np.ndarray, " v"]:
    """Mean over a user's held-out positives of the share of unseen items above them.

    share = (#{j: s_j > s_i} + 1/2 #{j != i: s_j = s_i}) / (n - 1), over the n unseen
    items j, which are all but the user's fitted positives: 0 is the top, 1 the bottom,
    and equal scores for all give 1/2. One minus it is the user's area under the ROC
    curve, with the user's other held-out positives among the negatives.

    Args:
      fold: the phase; the rows of the scorer are fold.evaluated.
      scorer: scores of the users for the whole catalogue.

    Returns:
      [v], NaN for a user with fewer than two unseen items.
    """
    n_items = fold.fitted.n_items
    offsets, seen = seen_items_of(fold)
    judged = np.isin(fold.held_user, fold.evaluated)
    item = fold.held_item[judged]
    user = np.searchsorted(fold.evaluated, fold.held_user[judged])
    starts = np.searchsorted(user, np.arange(len(fold.evaluated) + 1))

    def of_tile(first: int) -> Float[np.ndarray, " t"]:
        rows = slice(first, min(first + TILE, len(fold.evaluated)))
        scores = _scores(scorer, rows, n_items)
        shares = np.full(len(scores), np.nan)
        for n, v in enumerate(range(rows.start, rows.stop)):
            held = scores[n, item[starts[v] : starts[v + 1]]]
            others = np.delete(scores[n], seen[offsets[v] : offsets[v + 1]])
            if len(others) < 2:
                continue
            above = (others > held[:, None]).sum(axis=1)
            level = (others == held[:, None]).sum(axis=1) - 1  # itself is no other
            shares[n] = np.mean((above + level / 2) / (len(others) - 1))
        return shares

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        tiles = list(pool.map(of_tile, range(0, len(fold.evaluated), TILE)))
    return np.concatenate([np.empty(0), *tiles])


def _scores(scorer: Scorer, rows: slice, n_items: int) -> Float[np.ndarray, "t i"]:
    """A tile's scores for the whole catalogue, chunk after chunk."""
    chunks = [
        scorer(rows, slice(start, min(start + CHUNK, n_items)))
        for start in range(0, n_items, CHUNK)
    ]
    return np.concatenate(chunks, axis=1)
