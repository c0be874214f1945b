"""The reference figures of MovieLens 100K, reporting phase: data, split, rank, record.

Measured once apart from this code; whoever changes one has changed what every table
means. All of it is exact but EASE's matrix inverse.
"""

import numpy as np
import pytest

from research.baselines import BASELINES, option_values
from research.data import load
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.events import catalogue, fold
from research.types import Ratings, Record

# split, salt of ties, held-out positives, {baseline: (recall@20, ndcg@20)}
RATIO = [
    ("ratio", 0, 5949, {"popularity": (0.1164, 0.0763), "ease": (0.2343, 0.1512)}),
    ("ratio", 1, 5949, {"popularity": (0.1147, 0.0741), "ease": (0.2294, 0.1463)}),
    ("ratio", 2, 5949, {"popularity": (0.1193, 0.0785), "ease": (0.2320, 0.1520)}),
]
LAST = [
    ("last", 0, 942, {"popularity": (0.1401, None), "ease": (0.2367, None)}),
    ("last", 1, 942, {"popularity": (0.1274, None), "ease": (0.2219, None)}),
    ("last", 2, 942, {"popularity": (0.1285, None), "ease": (0.2251, None)}),
]
TOLERANCE = {"popularity": 0.00005, "ease": 0.0005}  # 4 digits; a matrix inverse


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return load("ml-100k")


def recall_and_ndcg(record: Record, k: int) -> tuple[float, float]:
    """Means over users by definition, one user at a time."""
    gain = 1 / np.log2(np.arange(k) + 2)
    recall, ndcg = [], []
    for rank in np.split(record.rank.astype(int), np.cumsum(record.held)[:-1]):
        hits = rank[rank < k]
        recall.append(len(hits) / len(rank))
        ndcg.append(gain[hits].sum() / gain[: len(rank)].sum())
    return float(np.mean(recall)), float(np.mean(ndcg))


@pytest.mark.parametrize(("split", "salt", "held", "expected"), RATIO + LAST)
def test_baselines_of_100k(ratings, split, salt, held, expected):
    phase = fold(catalogue(ratings, tie_seed=salt), split)
    assert len(phase.held_item) == held
    assert len(phase.evaluated) == 942
    seen = seen_items_of(phase)
    for name, (recall, ndcg) in expected.items():
        baseline = BASELINES[name]
        scorer = baseline.fit(phase, option_values(name), 0)
        lists = rank_scores(scorer, phase.fitted.n_items, *seen)
        got = recall_and_ndcg(evaluate(phase, lists), 20)
        assert got[0] == pytest.approx(recall, abs=TOLERANCE[name])
        if ndcg is not None:
            assert got[1] == pytest.approx(ndcg, abs=TOLERANCE[name])
