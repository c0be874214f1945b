"""Which ratings are events, in which order, under which index."""

import numpy as np
import pytest

from research.baselines.items import popularity
from research.evaluate.top_k import rank_scores, seen_items_of
from research.events import catalogue, fold
from research.rng import pair_hash, splitmix64
from research.splits import SPLITS, parts
from research.types import Events, InputError, Ratings
from tests.world import made_ratings

WORD = (1 << 64) - 1


def mix(x: int) -> int:
    """SplitMix64 in Python's integers."""
    z = (x + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def h(user: int, item: int, salt: int = 0) -> int:
    return mix(mix(salt) ^ (user * 2**32 + item))


def tied(step: int = 50) -> Ratings:
    """Many ratings of a user share their second."""
    ratings = made_ratings()
    return ratings._replace(timestamp=ratings.timestamp // step * step)


def raw_pairs(events: Events) -> list[tuple[int, int]]:
    users, items = events.users.id[events.user], events.items.id[events.item]
    return list(zip(users.tolist(), items.tolist(), strict=True))


def renumbered(ratings: Ratings, seed: int) -> Ratings:
    """The same data under other rows: tables permuted, raw ids kept."""
    draw = np.random.default_rng(seed)
    old_user = draw.permutation(len(ratings.users.id))
    old_item = draw.permutation(len(ratings.items.id))
    user = np.argsort(old_user)[ratings.user].astype(np.int32)
    item = np.argsort(old_item)[ratings.item].astype(np.int32)
    rows = np.lexsort((item, user))
    return ratings._replace(
        user=user[rows],
        item=item[rows],
        rating=ratings.rating[rows],
        timestamp=ratings.timestamp[rows],
        users=ratings.users.take(old_user),
        items=ratings.items.take(old_item),
    )


def test_splitmix64_at_its_reference_values():
    # The first three outputs of the reference generator from seed 0.
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [int(x) for x in splitmix64(states)] == [
        16294208416658607535,
        7960286522194355700,
        487617019471545679,
    ]


def test_splitmix64_wraps_as_64_bit_integers_do():
    states = np.random.default_rng(0).integers(0, WORD, 200, np.uint64, endpoint=True)
    states[:2] = 0, WORD
    assert [int(x) for x in splitmix64(states)] == [mix(int(x)) for x in states]


def test_pair_hash_at_its_reference_values():
    assert int(pair_hash(np.array([1]), np.array([2]), 0)[0]) == 7251516417173249049
    assert int(pair_hash(np.array([0]), np.array([50]), 0)[0]) == 4462681227423337289
    assert int(pair_hash(np.array([7]), np.array([9]), 3)[0]) == h(7, 9, 3)


@pytest.mark.parametrize("salt", [0, 1, 2])
def test_events_stand_by_user_then_time_then_hash(salt):
    ratings = tied()
    rows = [
        (int(ratings.users.id[u]), int(t), int(ratings.items.id[i]))
        for u, i, t, r in zip(
            ratings.user, ratings.item, ratings.timestamp, ratings.rating, strict=True
        )
        if r >= 4
    ]
    expected = sorted(rows, key=lambda row: (row[0], row[1], h(row[0], row[2], salt)))
    events = catalogue(ratings, tie_seed=salt)
    assert raw_pairs(events) == [(u, i) for u, _, i in expected]
    assert events.timestamp.tolist() == [t for _, t, _ in expected]
    by_time = sorted(rows, key=lambda row: (row[1], h(row[0], row[2], salt)))
    in_time = np.argsort(events.order)
    assert [raw_pairs(events)[e] for e in in_time] == [(u, i) for u, _, i in by_time]
    assert sorted(events.order.tolist()) == list(range(len(rows)))


def test_an_items_index_is_the_rank_of_its_hash_a_users_that_of_its_raw_id():
    events = catalogue(made_ratings())
    hashes = [h(0, int(i)) for i in events.items.id]
    assert hashes == sorted(hashes)
    assert events.items.id.tolist() != sorted(events.items.id.tolist())
    assert events.users.id.tolist() == sorted(events.users.id.tolist())


def test_the_tables_are_cut_in_index_order():
    ratings = made_ratings()
    events = catalogue(ratings)
    for before, after in (
        (ratings.users, events.users),
        (ratings.items, events.items),
    ):
        assert list(after.columns) == list(before.columns)
        row = {int(raw): n for n, raw in enumerate(before.id)}
        rows = [row[raw] for raw in after.id.tolist()]
        for name, column in before.columns.items():
            values = after.columns[name].values
            np.testing.assert_array_equal(values, column.values[rows])
            assert after.columns[name].names == column.names
            assert after.columns[name].kind == column.kind


@pytest.mark.parametrize("split", sorted(SPLITS.keys() - {"given"}))
@pytest.mark.parametrize("seed", [0, 1])
def test_renumbering_changes_neither_the_split_nor_popularitys_lists(split, seed):
    def told(ratings: Ratings) -> tuple[dict, dict]:
        events = catalogue(ratings)
        part = parts(split, events).tolist()
        phase = fold(events, split)
        offsets, seen = seen_items_of(phase)
        n = events.n_items
        lists = rank_scores(popularity(phase, {}), n, offsets, seen, k=20)
        shown = dict(
            zip(
                events.users.id[phase.evaluated].tolist(),
                events.items.id[lists].tolist(),
                strict=True,
            )
        )
        return dict(zip(raw_pairs(events), part, strict=True)), shown

    ratings = tied()
    other = renumbered(ratings, seed)
    assert not np.array_equal(ratings.users.id, other.users.id)
    assert told(ratings) == told(other)


def test_the_salt_of_ties_moves_only_what_is_tied():
    one, other = catalogue(tied(), tie_seed=0), catalogue(tied(), tie_seed=1)
    np.testing.assert_array_equal(one.timestamp, other.timestamp)
    np.testing.assert_array_equal(one.user, other.user)
    moved = np.flatnonzero(one.item != other.item)
    assert len(moved)

    def groups(events: Events) -> dict[tuple[int, int], set[int]]:
        found: dict[tuple[int, int], set[int]] = {}
        for u, t, i in zip(events.user, events.timestamp, events.item, strict=True):
            found.setdefault((int(u), int(t)), set()).add(int(i))
        return found

    assert groups(one) == groups(other)
    assert all(len(groups(one)[one.user[e], one.timestamp[e]]) > 1 for e in moved)


@pytest.mark.parametrize("threshold", [3.0, 3.5, 4.0, 5.0])
def test_a_rating_at_the_threshold_is_a_positive(threshold):
    ratings = made_ratings()
    events = catalogue(ratings, threshold)
    assert len(events.user) == sum(r >= threshold for r in ratings.rating.tolist())
    assert events.rating.min() == np.ceil(threshold)


def few(rating: list[float]) -> Ratings:
    """The first ratings of the synthetic data; all others are below any threshold."""
    ratings = made_ratings()
    low = np.ones(len(ratings.rating), np.float32)
    low[: len(rating)] = rating
    return ratings._replace(rating=low)


def test_the_library_is_what_was_clicked_or_all():
    ratings = few([5, 4, 3])
    clicked, whole = catalogue(ratings), catalogue(ratings, items="all")
    assert clicked.n_users == whole.n_users == 1
    raw = ratings.items.id[ratings.item[:2]].tolist()
    assert sorted(clicked.items.id.tolist()) == sorted(raw)
    assert sorted(whole.items.id.tolist()) == sorted(ratings.items.id.tolist())
    hashes = [h(0, int(i)) for i in whole.items.id]
    assert hashes == sorted(hashes)
    assert raw_pairs(clicked) == raw_pairs(whole)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"threshold": 5.5}, "made: no rating is at or above"),
        ({"items": "most"}, "unknown catalogue 'most'"),
    ],
)
def test_bad_input(changes, line):
    with pytest.raises(InputError, match=line):
        catalogue(made_ratings(), **changes)
