"""Models fitted without gradient steps, ranked like any other: a name, a scorer.

scorer = BASELINES["popularity"](fold)
lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
"""

from collections.abc import Callable

from research.baselines.ease import ease
from research.baselines.popularity import popularity
from research.evaluate.scorers import Scorer

__all__ = ["BASELINES", "ease", "popularity"]

BASELINES: dict[str, Callable[..., Scorer]] = {"ease": ease, "popularity": popularity}
