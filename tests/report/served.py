"""Results with lists behind them, ranked by made scores instead of a trained model."""

import functools

import numpy as np

from research.config import Config
from research.evaluate.record import evaluate
from research.evaluate.top_k import dot_product, rank_scores, seen_items_of
from research.prepare import Prepared, prepare
from research.report.records import RunResult, Served
from tests.world import made_fold


@functools.cache
def prepared() -> Prepared:
    """The reference recipe on the made data, ready but not trained."""
    return prepare(Config(batch=128), made_fold())


def served_result(
    arm: str, seed: int = 0, liking: float = 0.0, popularity: float = 0.0
) -> RunResult:
    """A run that ranks by noise, the truth and popularity.

    Args:
      arm: its name.
      seed: of the noise.
      liking: weight of the held-out items.
      popularity: weight of log clicks.
    """
    run = prepared()
    fold = run.task.fold
    draw = np.random.default_rng(seed)
    truth = np.zeros((len(fold.evaluated), fold.fitted.n_items))
    truth[np.searchsorted(fold.evaluated, fold.held_user), fold.held_item] = 1.0
    users = truth * liking + draw.normal(size=truth.shape)
    items = np.eye(fold.fitted.n_items)
    scorer = dot_product(users, items, popularity * np.log1p(fold.fitted.item_counts))
    lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
    record = evaluate(fold, lists, scorer=scorer)
    return RunResult(arm, {}, seed, record, served=Served(run, lists))
