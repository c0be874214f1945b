"""Random lists: every item as likely in every place, and nothing else decides."""

import numpy as np

from research.baselines.items import uniform
from research.evaluate.metrics import summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from tests.evaluate.made import fold_of


def even_fold(n_users=2000, n_items=40):
    """Each user has seen two items and holds out two others."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(n_users) for i in rng.permutation(n_items)[:4]]
    genres = np.ones((n_items, 1), bool)
    seen = [rows[n] for n in range(len(rows)) if n % 4 < 2]
    held = [rows[n] for n in range(len(rows)) if n % 4 >= 2]
    return fold_of(seen, held, n_users, genres)


def test_recall_is_the_share_of_unseen_items_that_a_list_shows():
    """38 unseen items, two held out: k / 38 of them are found, whatever is popular."""
    fold = even_fold()
    scorer = uniform(fold, {})
    lists = rank_scores(scorer, 40, *seen_items_of(fold))
    found = summary(evaluate(fold, lists, (10, 20, 38), scorer=scorer))
    for k in (10, 20, 38):
        # the standard error of a mean over 4,000 positives is at most 0.008
        assert abs(found["recall"][k] - k / 38) < 0.03
        assert found["coverage"][k] == 1
    assert abs(found["repulsion"][20] - 0.5) < 0.03
    assert found["gini"][20] < 0.06
    shown = np.bincount(lists[:, 0], minlength=40)  # 50 each, give or take 7
    assert 20 < shown.min() <= shown.max() < 80


def test_users_and_seeds_have_lists_of_their_own():
    fold = even_fold(n_users=30)
    every = slice(0, 30), slice(0, 40)
    scores = uniform(fold, {}, 0)(*every)
    assert len(np.unique(scores)) == scores.size
    other = uniform(fold, {}, 1)(*every)
    assert abs(np.corrcoef(scores.ravel(), other.ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(scores)[0, 1:]).max() < 0.7
