"""The record against a slow, plain reading of its definitions."""

import math

import numpy as np
import pytest

from research.evaluate.record import bands, deciles, evaluate, ranks
from research.types import NUMBER, Column, Fold, InputError, Table
from tests.evaluate.made import fold_of, random_fold

TOP = 20


def random_lists(fold: Fold, seed: int = 0) -> np.ndarray:
    """500 distinct slots a user; the first user has 7 items, the second 1, third 0."""
    rng = np.random.default_rng(seed)
    n_items = fold.fitted.n_items
    lists = np.stack([rng.permutation(n_items)[:500] for _ in fold.evaluated])
    for v, filled in enumerate((7, 1, 0)):
        lists[v, filled:] = n_items
    return lists


def held_by(fold: Fold) -> list[list[int]]:
    """Each evaluated user's held-out items."""
    pairs = list(zip(fold.held_user.tolist(), fold.held_item.tolist(), strict=True))
    return [[i for u, i in pairs if u == user] for user in fold.evaluated.tolist()]


def slow_distance(a: np.ndarray, b: np.ndarray) -> float:
    size = math.sqrt(sum(a.tolist())) * math.sqrt(sum(b.tolist()))
    both = sum(x and y for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return 1.0 if size == 0 else 1.0 - both / size


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


@pytest.fixture(scope="module")
def made() -> tuple[Fold, np.ndarray]:
    fold = random_fold(n_items=700)
    return fold, random_lists(fold)


def test_ranks_by_user_then_by_item_with_their_bands(made):
    fold, lists = made
    record = evaluate(fold, lists)
    counts = [fold.fitted.item.tolist().count(i) for i in range(fold.fitted.n_items)]
    start = 0
    for v, items in enumerate(held_by(fold)):
        row = lists[v].tolist()
        end = start + len(items)
        assert record.held[v] == len(items)
        named = record.columns["item"][start:end].tolist()
        assert named == sorted(items)
        found = [row.index(i) if i in row else 500 for i in named]
        assert record.rank[start:end].tolist() == found
        bands = [band_of(counts, i) for i in named]
        assert record.band[start:end].tolist() == bands
        start = end
    assert start == len(record.rank) == len(record.band)
    assert 0 < (record.rank < 500).sum() < start
    assert ((record.rank >= 100) & (record.rank < 500)).any()


def band_of(counts: list[int], item: int) -> int:
    before = sum(c for c in counts if c > counts[item])
    return 2 if counts[item] == 0 else min(2, 3 * before // sum(counts))


def test_exposure_counts_the_lists_that_show_an_item(made):
    fold, lists = made
    record = evaluate(fold, lists, ks=(10, 100))
    assert record.ks.tolist() == [10, 100]
    for row, k in zip(record.exposure, (10, 100), strict=True):
        for item in range(fold.fitted.n_items):
            assert row[item] == sum(item in shown[:k] for shown in lists.tolist())


def test_columns_at_20(made):
    fold, lists = made
    record = evaluate(fold, lists)
    n_items, genres = fold.fitted.n_items, fold.fitted.items.topics()
    clicked = fold.fitted.item.tolist()
    counts = [clicked.count(i) for i in range(n_items)]
    assert record.item_counts.tolist() == counts
    assert min(counts) == 0  # the guard of novelty is needed
    assert not genres.any(axis=1).all()  # an item without genre
    for v in range(len(fold.evaluated)):
        shown = [i for i in lists[v, :TOP].tolist() if i < n_items]
        distances = [
            slow_distance(genres[i], genres[j]) for i in shown for j in shown if i != j
        ]
        bits = [-math.log2(max(counts[i], 1) / len(clicked)) for i in shown]
        clicks = [float(counts[i]) for i in shown]
        np.testing.assert_allclose(
            record.columns["ild"][v], mean(distances), rtol=1e-12
        )
        np.testing.assert_allclose(record.columns["novelty"][v], mean(bits), rtol=1e-12)
        np.testing.assert_allclose(
            record.columns["train_count"][v], mean(clicks), rtol=1e-12
        )


def test_mean_of_recall_item_is_the_mean_over_items_of_their_users_reached(made):
    fold, lists = made
    record = evaluate(fold, lists)
    holders: dict[int, list[int]] = {}
    for v, items in enumerate(held_by(fold)):
        for item in items:
            holders.setdefault(item, []).append(v)
    reached = {
        item: mean([float(item in lists[v, :TOP]) for v in users])
        for item, users in holders.items()
    }
    assert mean(record.columns["recall_item"].tolist()) == pytest.approx(
        mean(list(reached.values())), rel=1e-12
    )
    for v, items in enumerate(held_by(fold)):
        share = sum((i in lists[v, :TOP]) / len(holders[i]) for i in items)
        expected = len(fold.evaluated) / len(holders) * share
        assert record.columns["recall_item"][v] == pytest.approx(expected, rel=1e-12)


def shown_items(fold, impressions):
    """The fold with impressions of its items."""
    items = fold.fitted.items
    columns = {**items.columns, "impressions": Column(NUMBER, np.array(impressions))}
    table = Table(items.id, columns, items.names)
    return fold._replace(fitted=fold.fitted._replace(items=table))


def test_ips_recall_weighs_a_click_by_the_inverse_of_its_items_impressions():
    fitted, held = [(0, 0), (1, 0), (1, 1)], [(0, 1), (0, 3), (1, 3)]
    fold = fold_of(fitted, held, 2, np.ones((4, 1), bool))
    lists = np.array([[3, 2, 1, 4], [2, 4, 4, 4]])
    record = evaluate(shown_items(fold, [0.0, 1.0, 0.0, 9.0]), lists, ks=(1,))
    # item 1 weighs 1/2, item 3 1/10: of 0.7 in all user 0 has reached 0.6, user 1 none
    found = record.columns["recall_ips"]
    np.testing.assert_allclose(found, [2 * 0.6 / 0.7, 0.0])
    even = evaluate(shown_items(fold, [5.0] * 4), lists, ks=(1,)).columns["recall_ips"]
    assert even.mean() == pytest.approx(2 / 3)  # of all held-out clicks


def test_ips_recall_is_absent_without_impressions_of_what_is_held_out():
    fold = fold_of([(0, 0), (1, 0)], [(0, 1), (1, 2)], 2, np.ones((3, 1), bool))
    lists = np.array([[1, 2, 3], [2, 1, 3]])
    assert "recall_ips" not in evaluate(fold, lists, ks=(1,)).columns
    for missing in (np.nan, -1.0):
        held = shown_items(fold, [1.0, 1.0, missing])
        assert "recall_ips" not in evaluate(held, lists, ks=(1,)).columns
        other = shown_items(fold, [missing, 1.0, 1.0])
        assert "recall_ips" in evaluate(other, lists, ks=(1,)).columns


def test_a_world_of_four_items_by_hand():
    genres = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    fitted = [(0, 0), (1, 0), (1, 1), (2, 0)]  # item 0 three clicks, item 1 one
    held = [(0, 1), (0, 3), (1, 3)]  # user 2 holds nothing out: not evaluated
    fold = fold_of(fitted, held, 3, genres)
    lists = np.array([[3, 2, 1, 4], [2, 4, 4, 4]])
    record = evaluate(fold, lists, ks=(1, 3))
    assert record.held.tolist() == [2, 1]
    assert record.columns["item"].tolist() == [1, 3, 3]
    assert record.rank.tolist() == [2, 0, 500]
    assert record.band.tolist() == [2, 2, 2]
    assert record.exposure.tolist() == [[0, 0, 1, 1], [0, 1, 2, 1]]
    assert record.columns["ild"][0] == 1.0  # no two of the three share a genre
    assert math.isnan(record.columns["ild"][1])  # one item has no distance
    # item 1 has one of four clicks, items 2 and 3 count as if they had one
    assert record.columns["novelty"].tolist() == [2.0, 2.0]
    assert record.columns["train_count"].tolist() == [pytest.approx(1 / 3), 0.0]
    # item 1 is reached for its one user, item 3 for one of two: (1 + 1/2) / 2
    assert record.columns["recall_item"].tolist() == [2 / 2 * (1 + 1 / 2), 0.0]
    shared = evaluate(fold, np.array([[0, 1, 2, 4], [0, 4, 4, 4]]), ks=(1,))
    assert shared.columns["ild"][0] == pytest.approx(1 - 2 * (2 / math.sqrt(2)) / 6)


def test_an_empty_slot_is_no_item_of_the_next_user():
    user, item = np.array([0, 1, 1]), np.array([3, 0, 2])
    lists = np.array([[3, 4], [2, 4]])  # of 4 items: user 0's last slot is empty
    assert ranks(user, item, lists, n_items=4).tolist() == [0, 500, 0]


def test_held_out_positives_of_users_not_evaluated_are_left_out(made):
    fold, lists = made
    record = evaluate(fold, lists)
    dropped = ~np.isin(fold.held_user, fold.evaluated)
    assert dropped.any()
    assert len(record.rank) == len(fold.held_user) - dropped.sum()


def test_a_cut_off_above_the_number_of_items_is_named():
    fold = random_fold(n_users=12, n_items=37)
    lists = np.tile(np.arange(37), (len(fold.evaluated), 1))
    with pytest.raises(
        InputError,
        match=r"^k = 50 is above the number of items \(37\): metrics need lists of 50$",
    ):
        evaluate(fold, lists, ks=(10, 50))
    assert evaluate(fold, lists, ks=(10, 37)).exposure.shape == (2, 37)
    assert evaluate(fold, lists).ks.tolist() == [10, 20]


def test_cut_offs_and_lists_that_make_no_record_are_refused(made):
    fold, lists = made
    for k in (0, 501):
        with pytest.raises(InputError, match=f"k = {k}"):
            evaluate(fold, lists, ks=(k,))
    with pytest.raises(ValueError, match="slots each"):
        evaluate(fold, lists[:, :499])
    with pytest.raises(ValueError, match="users are evaluated"):
        evaluate(fold, lists[1:])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([6, 5, 4, 3, 2, 1], [0, 0, 1, 2, 2, 2]),  # before: 0 6 | 11 | 15 18 20 of 21
        ([3, 3, 3], [0, 0, 0]),  # equals stay together, on the popular side
        ([2, 1, 1, 1, 1], [0, 1, 1, 1, 1]),  # the ones start at 2/6
        ([7, 1, 1], [0, 2, 2]),  # one item holds both cuts: no torso
        ([1, 1, 0, 0], [0, 0, 2, 2]),  # never clicked is tail
        ([0, 0], [2, 2]),  # no clicks at all
    ],
)
def test_bands_by_hand(counts, expected):
    assert bands(np.array(counts)).tolist() == expected


def test_deciles_hold_a_tenth_each_and_the_most_clicked_first():
    counts = np.array([5, 0, 9, 1] * 10, np.int64)
    tenth = deciles(counts)
    assert np.bincount(tenth).tolist() == [4] * 10
    assert counts[tenth == 0].min() >= counts[tenth == 9].max()
