"""What holds for every baseline: what it ranks for whom, its seed, its options."""

import functools

import numpy as np
import pytest

from research.baselines import BASELINES, option_values
from research.evaluate.top_k import rank_scores, seen_items_of
from research.types import Fold, InputError
from tests.world import made_fold

SMALL = {
    "ials": ("factors=4", "alpha=5", "regularization=1"),
    "bpr-mf": ("factors=8", "learning_rate=0.05"),
    "item2vec": ("epochs=150", "dim=8", "learning_rate=0.02"),
    "fm": ("epochs=12", "dim=8"),
}
SHARED = ("popularity", "recent-popularity")  # the same list for everyone
TASTELESS = ("random", *SHARED)
NAMES = sorted(BASELINES)
SEEDED = [name for name in NAMES if BASELINES[name].seeded]


def fitted(name: str, fold: Fold, seed: int = 0):
    baseline = BASELINES[name]
    values = option_values(",".join([name, *SMALL.get(name, ())]))
    return baseline.fit(fold, values, seed)


@functools.cache
def scores_of(name: str, seed: int = 0) -> np.ndarray:
    fold = made_fold()
    return fitted(name, fold, seed)(*everything(fold))


def everything(fold: Fold) -> tuple[slice, slice]:
    return slice(0, len(fold.evaluated)), slice(0, fold.fitted.n_items)


@pytest.mark.parametrize("name", NAMES)
def test_users_get_items_of_their_own_taste(name):
    """Users and items alternate between two tastes: who is swapped gets the other's."""
    fold = made_fold()
    scores = scores_of(name)
    assert scores.shape == (len(fold.evaluated), fold.fitted.n_items)
    assert np.isfinite(scores).all()
    taste = (fold.fitted.items.id - 2) // 7 % 2
    own = taste[None, :] == ((fold.fitted.users.id - 5) // 3 % 2)[fold.evaluated, None]
    rank = scores.argsort(axis=1).argsort(axis=1)
    gain = rank[own].mean() - rank[~own].mean()
    assert abs(gain) < 1 if name in TASTELESS else gain > 5


@pytest.mark.parametrize("name", NAMES)
def test_nothing_seen_is_shown(name):
    fold = made_fold()
    offsets, seen = seen_items_of(fold)
    n_items = fold.fitted.n_items
    lists = rank_scores(lambda u, i: scores_of(name)[u, i], n_items, offsets, seen, 20)
    for v, shown in enumerate(lists):
        assert not set(shown.tolist()) & set(seen[offsets[v] : offsets[v + 1]].tolist())


@pytest.mark.parametrize("name", NAMES)
def test_the_held_out_part_is_not_looked_at_and_no_tile_changes_a_bit(name):
    fold = made_fold()
    other = fold._replace(held_item=fold.held_item[::-1].copy())
    again, n_items = fitted(name, other), fold.fitted.n_items
    for rows in (slice(3, 5), slice(4, 5)):
        tile = again(rows, slice(0, n_items))
        np.testing.assert_array_equal(tile, scores_of(name)[rows])
    np.testing.assert_array_equal(again(*everything(fold)), scores_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_is_another_run_where_there_is_one(name):
    same = np.array_equal(scores_of(name, 1), scores_of(name))
    assert same is (name not in SEEDED)


REFUSED = {
    "ease": (("l2=0", "above 0"), ("l2=-1", "above 0"), ("l2=nan", "finite")),
    "item-knn": (("neighbours=0", "at least 1"), ("neighbours=2.5", "whole number")),
    "item2vec": (("dim=0.5", "at least 1"), ("window=-1", "at least 0")),
    "fm": (("lerning_rate=1", "nearest: learning_rate"), ("l2", "l2 has no value")),
    "popularity": (("days=3", "popularity takes no values"),),
}


@pytest.mark.parametrize(
    ("name", "word", "part"),
    [(n, *pair) for n, pairs in REFUSED.items() for pair in pairs],
)
def test_an_option_that_cant_be_meant_is_refused_in_one_line(name, word, part):
    with pytest.raises(InputError) as raised:
        option_values(f"{name},{word}")
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_option_that_is_given_counts_on_large_data_too():
    assert option_values("ease", large=True) == {"l2": 300}
    assert option_values("ease,l2=100", large=True) == {"l2": 100}
    assert option_values("ease") == {"l2": 100}
