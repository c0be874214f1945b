"""Interest expansion and repulsion, in small worlds counted by hand."""

import numpy as np
import pytest

from research.evaluate.record import evaluate, unfamiliar_topics
from research.evaluate.top_k import dot_product, rank_scores, seen_items_of
from research.events import fold
from research.splits import SplitRules
from research.types import Column, Events, Table
from tests.evaluate.made import fold_of, random_fold

# Items 0 to 19 are drama, 20 is comedy, 21 comedy and war, 22 war, 23 drama and war,
# 24 has no genre.
DRAMA, COMEDY, WAR = 0, 1, 2
GENRES = np.zeros((25, 3), bool)
GENRES[:20, DRAMA] = GENRES[[20, 21], COMEDY] = GENRES[[21, 22, 23], WAR] = True
GENRES[23, DRAMA] = True


def world():
    """User 0: 19 drama, 1 comedy (5 % of 20). User 1: 18 drama, 2 comedy, 1 war."""
    fitted = [(0, i) for i in (*range(19), 20)]
    fitted += [(1, i) for i in (*range(18), 20, 21)]
    held = [(0, i) for i in (19, 21, 22, 23, 24)] + [(1, 22), (1, 23)]
    return fold_of(fitted, held, 2, GENRES)


def lists_of(fold, *shown):
    n_items = fold.fitted.n_items
    lists = np.full((len(shown), n_items), n_items, np.int32)
    for row, items in zip(lists, shown, strict=True):
        row[: len(items)] = items
    return lists


def test_a_genre_of_five_per_cent_is_the_users_own_and_less_is_foreign():
    foreign = unfamiliar_topics(world())
    # 1 of 20 is 5 %; war is 1 of user 1's 21 genre counts
    assert foreign.tolist() == [[False, False, True], [False, False, True]]


@pytest.mark.parametrize("rules", [{"left_out": "train"}, {"judged_from": 5}])
def test_genres_are_those_of_all_fitted_clicks_whatever_lists_leave_out(rules):
    """The last fitted click, of validation or rated 4, is the only one of genre 0."""
    topics = np.eye(3, dtype=bool)[[1, 1, 1, 2, 2, 2, 2, 2, 0, 0]]
    rating = np.array([5, 5, 5, 5, 5, 5, 5, 5, 4, 5], np.float32)
    if "left_out" in rules:
        rating[:] = 5
    items = Table(np.arange(10), {"genres": Column("categories", topics, (*"abc",))})
    each, users = np.arange(10), Table(np.arange(1), {})
    clicks = np.zeros(10, int), each, rating, each, each, np.array([0, 10])
    made = fold(
        Events(*clicks, users, items),
        "ratio",
        "train+validation",
        SplitRules(**rules),
    )
    assert set(made.fitted.item) == {*range(9)}
    assert len(seen_items_of(made)[1]) < 9
    assert not unfamiliar_topics(made).any()


def test_expansion_asks_that_every_genre_is_foreign():
    fold = world()
    record = evaluate(fold, lists_of(fold, [22, 24, 19], [23]), ks=(1, 3))
    # user 0: 22 is war alone; 21 and 23 hold a genre of the user's, 24 has none
    assert record.columns["item"].tolist() == [19, 21, 22, 23, 24, 22, 23]
    assert record.columns["expansion"].tolist() == [0, 0, 1, 0, 0, 1, 0]
    assert record.rank.tolist() == [2, 500, 0, 500, 1, 500, 0]


def test_outside_counts_genres_slot_by_slot():
    fold = world()
    record = evaluate(fold, lists_of(fold, [21, 22, 24, 19], [24]), ks=(1,))
    # comedy and war, war, none, drama: two of four; then a list without any genre
    np.testing.assert_array_equal(record.columns["outside_genres"], [2 / 4, np.nan])


def test_without_genres_they_are_absent():
    fold = fold_of([(0, 0)], [(0, 1)], 1, np.zeros((3, 2), bool))
    record = evaluate(fold, lists_of(fold, [1, 2]), ks=(1,))
    # neither expansion and outside_genres nor repulsion, since no scorer is at hand
    measured = {"ild", "novelty", "train_count", "recall_item", "distinct"}
    assert set(record.columns) == {"item", *measured}
    assert record.columns["distinct"].tolist() == [1]


def scorer_of(rows):
    """A scorer of given scores: one-hot users times a matrix of items."""
    scores = np.asarray(rows, np.float32)
    return dot_product(np.eye(len(scores)), scores.T)


def repulsion(fold, scorer):
    """The column, which depends on the scores and not on the lists."""
    lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
    return evaluate(fold, lists, ks=(1,), scorer=scorer).columns["repulsion"]


def test_repulsion_by_hand():
    genres = np.zeros((6, 1), bool)
    fold = fold_of([(0, 5), (1, 0)], [(0, 0), (0, 3), (1, 1)], 2, genres)
    scorer = scorer_of([[6, 5, 4, 3, 2, 9], [9, 1, 2, 1, 1, 1]])
    # user 0, item 5 seen: of 4 others none above item 0, three above item 3.
    # user 1, item 0 seen: one above item 1 and three level with it.
    expected = [(0 / 4 + 3 / 4) / 2, (1 + 3 / 2) / 4]
    np.testing.assert_allclose(repulsion(fold, scorer), expected)


def test_pushing_a_held_out_item_down_raises_it_by_the_items_that_pass():
    genres = np.zeros((6, 1), bool)
    fold = fold_of([(0, 5)], [(0, 0)], 1, genres)
    for above, score in enumerate([10, 4.5, 3.5, 2.5, 1.5]):
        values = repulsion(fold, scorer_of([[score, 5, 4, 3, 2, 9]]))
        np.testing.assert_allclose(values, [above / 4])


def test_repulsion_agrees_with_the_ranks_and_is_half_for_a_constant_model():
    fold = random_fold()
    rng = np.random.default_rng(0)
    n_users, n_items = len(fold.evaluated), fold.fitted.n_items
    scorer = scorer_of(rng.permutation(n_users * n_items).reshape(n_users, -1))
    values = repulsion(fold, scorer)
    lists = rank_scores(scorer, n_items, *seen_items_of(fold), k=n_items)
    for v, user in enumerate(fold.evaluated.tolist()):
        ranked = lists[v][lists[v] < n_items].tolist()
        held = fold.held_item[fold.held_user == user].tolist()
        shares = [ranked.index(item) / (len(ranked) - 1) for item in held]
        assert values[v] == pytest.approx(np.mean(shares))
    same = repulsion(fold, scorer_of(np.zeros((n_users, n_items))))
    np.testing.assert_allclose(same, 0.5)
