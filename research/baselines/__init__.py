"""Models to beat, fitted apart from the towers and ranked like any other.

values = option_values("ease", BASELINES["ease"], ("l2=200",))
scorer = BASELINES["ease"].fit(fold, values, seed=0)
lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
"""

from research.baselines.entry import Baseline, Option, option_values
from research.baselines.factors import BPR_MF, IALS
from research.baselines.fm import FM
from research.baselines.item2vec import ITEM2VEC
from research.baselines.items import ITEM_KNN, POPULARITY, RECENT_POPULARITY
from research.baselines.linear import EASE, SLIM

__all__ = ["BASELINES", "Baseline", "Option", "option_values"]

BASELINES: dict[str, Baseline] = {
    "popularity": POPULARITY,
    "recent-popularity": RECENT_POPULARITY,
    "item-knn": ITEM_KNN,
    "ease": EASE,
    "slim": SLIM,
    "ials": IALS,
    "bpr-mf": BPR_MF,
    "item2vec": ITEM2VEC,
    "fm": FM,
}
