"""Ranking against a full sort, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.evaluate.top_k import (
    CHUNK,
    DENSE,
    SLABS,
    TILE,
    dot_product,
    rank_scores,
    seen_items_of,
    top_k,
)
from tests.evaluate.made import random_fold
from tests.train.test_loop import compilations


def full_sort(scores: np.ndarray, seen: list[list[int]], k: int) -> np.ndarray:
    """The definition: all unseen items, sorted by falling score, then by index."""
    n_items = scores.shape[1]
    lists = np.full((len(scores), k), n_items)
    for user, row in enumerate(scores.tolist()):
        left = [i for i in set(range(n_items)) - set(seen[user]) if row[i] > -np.inf]
        best = sorted(left, key=lambda i: (-row[i], i))[:k]
        lists[user, : len(best)] = best
    return lists


def ragged(seen: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, seen)])
    return offsets, np.array([i for items in seen for i in items], np.int32)


def given_scores(scores: np.ndarray):
    return lambda users, items: scores[users, items]


def random_seen(rng, n_users: int, n_items: int, most: int) -> list[list[int]]:
    sizes = rng.integers(0, most + 1, size=n_users)
    return [rng.choice(n_items, size=n, replace=False).tolist() for n in sizes]


@pytest.mark.parametrize(
    ("n_users", "n_items", "k"),
    [
        (1, 1, 1),
        (3, 37, 100),  # fewer items than slots
        (TILE + 1, 130, 20),  # a tile of one user
        (5, 2 * CHUNK + 9, 100),  # three chunks, the last shorter than the list
    ],
)
def test_top_k_is_the_head_of_a_full_sort_ties_to_the_lower_index(n_users, n_items, k):
    rng = np.random.default_rng(0)
    # small whole numbers: float32 is exact, and nearly every score has a tie
    users = rng.integers(-2, 3, size=(n_users, 3)).astype(np.float32)
    items = rng.integers(-2, 3, size=(n_items, 3)).astype(np.float32)
    seen = random_seen(rng, n_users, n_items, min(n_items, 60))
    lists = top_k(users, items, None, *ragged(seen), k=k)
    np.testing.assert_array_equal(lists, full_sort(users @ items.T, seen, k))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.lists(
                st.lists(
                    st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf]),
                    min_size=n,
                    max_size=n,
                ),
                min_size=1,
                max_size=4,
            ),
            st.lists(st.integers(0, n - 1), max_size=n),
        )
    ),
    st.integers(1, 14),
)
def test_any_scores_with_ties_and_infinities_are_ranked_as_by_a_sort(world, k):
    scores, seen_by_all = np.array(world[0]), world[1]
    seen = [seen_by_all] * len(scores)
    lists = rank_scores(given_scores(scores), scores.shape[1], *ragged(seen), k=k)
    np.testing.assert_array_equal(lists, full_sort(scores, seen, k))


def test_scale_and_bias_are_the_serving_prior():
    rng = np.random.default_rng(1)
    users = rng.integers(-3, 4, size=(20, 4)).astype(np.float32)
    items = rng.integers(-3, 4, size=(150, 4)).astype(np.float32)
    log_q = rng.integers(-9, 0, size=150).astype(np.float32)
    seen = random_seen(rng, 20, 150, 30)
    lists = top_k(users, items, 0.5 * log_q, *ragged(seen), k=50, scale=1 / 0.25)
    expected = users @ items.T / 0.25 + 0.5 * log_q
    np.testing.assert_array_equal(lists, full_sort(expected, seen, 50))
    without = top_k(users, items, None, *ragged(seen), k=50)
    assert (lists != without).any()


def test_what_has_no_unseen_item_left_is_filled_with_the_number_of_items():
    items = np.ones((4, 1), np.float32)
    seen = [[0, 1, 2, 3], [2, 0], []]
    lists = top_k(np.ones((3, 1), np.float32), items, None, *ragged(seen), k=3)
    assert lists.tolist() == [[4, 4, 4], [1, 3, 4], [0, 1, 2]]


@pytest.mark.parametrize("batch", [1, 7, TILE, 300])
def test_no_batch_size_changes_a_bit(batch):
    rng = np.random.default_rng(2)
    n_users, n_items = 310, 500
    users = rng.normal(size=(n_users, 64)).astype(np.float32)
    items = rng.normal(size=(n_items, 64)).astype(np.float32)
    bias = rng.normal(size=n_items).astype(np.float32)
    whole = dot_product(users, items, bias, scale=10.0)
    scores = np.concatenate(
        [
            whole(slice(s, min(s + TILE, n_users)), slice(0, n_items))
            for s in range(0, n_users, TILE)
        ]
    )
    seen = random_seen(rng, n_users, n_items, 50)
    lists = top_k(users, items, bias, *ragged(seen), scale=10.0)
    for start in range(0, n_users, batch):
        part = slice(start, start + batch)
        height = len(users[part])
        scorer = dot_product(users[part], items, bias, scale=10.0)
        first = min(height, TILE)
        np.testing.assert_array_equal(
            scorer(slice(0, first), slice(0, n_items)), scores[part][:first]
        )
        alone = top_k(users[part], items, bias, *ragged(seen[part]), scale=10.0)
        np.testing.assert_array_equal(alone, lists[part])


def test_one_compilation_serves_every_temperature_prior_and_number_of_users():
    rng = np.random.default_rng(3)
    items = rng.normal(size=(70, 19)).astype(np.float32)  # 19: in no other test
    with compilations() as compiled:
        for n_users, scale in [(1500, 1.0), (3, 1.0), (1500, 5.0), (700, 20.0)]:
            users = rng.normal(size=(n_users, 19)).astype(np.float32)
            for bias in (rng.normal(size=70).astype(np.float32), None):
                top_k(users, items, bias, *ragged([[]] * n_users), scale=scale)
    assert len(compiled) == 1


@pytest.mark.parametrize("n_users", [1, 3])
def test_seen_items_of_other_users_are_refused(n_users):
    vectors = np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match="for 2 users"):
        top_k(vectors, vectors, None, *ragged([[]] * n_users))


def test_a_list_without_slots_is_refused():
    with pytest.raises(ValueError, match="k = 0"):
        rank_scores(given_scores(np.zeros((1, 2))), 2, *ragged([[]]), k=0)


def test_seen_is_what_each_evaluated_user_has_in_the_fitted_part():
    fold = random_fold()
    offsets, items = seen_items_of(fold)
    assert len(fold.evaluated) < fold.fitted.n_users  # some user is left out
    assert len(offsets) == len(fold.evaluated) + 1
    for v, user in enumerate(fold.evaluated):
        expected = fold.fitted.item[fold.fitted.user == user]
        assert items[offsets[v] : offsets[v + 1]].tolist() == expected.tolist()


def test_zeros_of_either_sign_are_equal_scores():
    items, seen = np.array([[-0.0], [0.0], [-0.0], [-1.0]]), np.array([0, 0])
    lists = top_k(np.ones((1, 1)), items, None, seen, np.zeros(0, int), k=4)
    scores = np.float32([[-0.0, 0.0, -0.0, -1.0]])
    ranked = rank_scores(lambda r, c: scores, 4, seen, np.zeros(0, int), k=4)
    assert lists.tolist() == ranked.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("k", [1, 5, 16, 40])
@pytest.mark.parametrize("order", ["any", "rising", "falling"])
def test_many_chunks_are_ranked_as_by_a_sort(monkeypatch, order, k):
    """Later chunks are held to the lists so far; rising scores all enter."""
    monkeypatch.setattr("research.evaluate.top_k.CHUNK", 16)
    rng = np.random.default_rng(k)
    scores = rng.integers(-40, 40, size=(9, 150)).astype(np.float32)
    if order != "any":
        scores.sort(axis=1)
    if order == "falling":
        scores = scores[:, ::-1].copy()
    scores[rng.random(scores.shape) < 0.05] = np.inf
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[3, 20:] = -np.inf  # a list that stays short
    seen = random_seen(rng, 9, 150, 60)
    before = scores.copy()
    lists = rank_scores(given_scores(scores), 150, *ragged(seen), k)
    np.testing.assert_array_equal(lists, full_sort(scores, seen, k))
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("planted", [0, 3, 9])  # in each later chunk; 9 exceed a list
def test_what_enters_full_lists_is_found_wherever_it_stands_in_a_chunk(planted):
    n_users, n_items, k = 12, 3 * CHUNK, 5
    assert CHUNK % SLABS == 0, "a full chunk is looked at in slabs"
    assert planted * SLABS * n_users < n_users * CHUNK // DENSE, "few enough enter"
    rng = np.random.default_rng(planted)
    scores = rng.integers(50, size=(n_users, n_items)).astype(np.float32)
    for row in scores:
        for chunk in (1, 2):  # equal scores: the lower index comes first
            place = rng.choice(CHUNK, size=planted, replace=False)
            row[chunk * CHUNK + place] = 50 + chunk
    seen = random_seen(rng, n_users, n_items, 50)
    lists = rank_scores(given_scores(scores), n_items, *ragged(seen), k)
    np.testing.assert_array_equal(lists, full_sort(scores, seen, k))


@pytest.mark.parametrize(
    ("n_items", "chunk", "at"),
    [
        *((150, 16, at) for at in (3, 40, 148)),  # in every chunk
        # rare in a full one
        *((2 * CHUNK, CHUNK, CHUNK + n) for n in (0, CHUNK // SLABS, CHUNK - 1)),
    ],
)
def test_a_score_that_is_not_a_number_is_refused(monkeypatch, n_items, chunk, at):
    monkeypatch.setattr("research.evaluate.top_k.CHUNK", chunk)
    scores = np.tile(np.arange(n_items, 0, -1, dtype=np.float32), (9, 1))
    scores[4, at] = np.nan
    with pytest.raises(ValueError, match="not a number"):
        rank_scores(given_scores(scores), n_items, *ragged([[]] * 9), k=4)


@pytest.mark.parametrize("columns", [slice(5, 9), slice(0, CHUNK + 1)])
def test_a_scorer_of_vectors_refuses_items_that_are_not_of_one_chunk(columns):
    score = dot_product(np.ones((2, 3)), np.ones((2 * CHUNK, 3)))
    with pytest.raises(ValueError, match="not one chunk"):
        score(slice(0, 2), columns)
