from collections import Counter

import numpy as np

from research.baselines.items import DAY, popularity, recent_popularity
from research.evaluate.top_k import rank_scores, seen_items_of
from tests.evaluate.made import fold_of, random_fold

GENRES = np.ones((5, 1), bool)


def test_lists_fall_in_count_then_rise_in_index_and_hold_nothing_seen():
    fold = random_fold()
    clicks = Counter(fold.fitted.item.tolist())
    offsets, seen = seen_items_of(fold)
    lists = rank_scores(popularity(fold, {}), fold.fitted.n_items, offsets, seen, k=60)
    for v, shown in enumerate(lists.tolist()):
        own = set(seen[offsets[v] : offsets[v + 1]].tolist())
        left = sorted(set(range(150)) - own, key=lambda i: (-clicks[i], i))
        assert shown == left[:60]


def test_recent_clicks_alone_count_and_all_clicks_settle_ties():
    fold = fold_of([(0, 0), (0, 1), (1, 0), (1, 2), (1, 3)], [(0, 3)], 2, GENRES)
    days = np.array([0, 9, 1, 8, 10])
    fold = fold._replace(fitted=fold.fitted._replace(timestamp=days * DAY))
    scores = recent_popularity(fold, {"days": 3.0})(slice(0, 1), slice(0, 5))[0]
    # within 3 days of day 10: items 1, 2 and 3 once each; item 0 twice, but long ago
    assert np.argsort(-scores, kind="stable").tolist() == [1, 2, 3, 0, 4]
    whole = recent_popularity(fold, {"days": 11.0})(slice(0, 1), slice(0, 5))[0]
    assert np.argmax(whole) == 0
    assert scores[4] == 0
