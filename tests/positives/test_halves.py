"""Two halves of a history: all of it once, by time or by hash, never an empty one."""

import numpy as np
import pytest

from research.positives import HALVES, halves
from tests.evaluate.made import events

PAIRS = [(0, i) for i in (5, 3, 8, 1, 2)] + [(1, 4)] + [(2, 7), (2, 6)]
GENRES = np.ones((20, 1), bool)


def cut(found) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.item, found.offsets[1:-1])]


def test_by_time_the_first_are_the_earlier():
    found = cut(halves(events(PAIRS, 3, GENRES), "time"))
    assert found == [[5, 3], [8, 1, 2], [7], [6]]


@pytest.mark.parametrize("by", HALVES)
def test_a_user_with_one_positive_has_no_half_and_no_half_is_empty(by):
    found = cut(halves(events(PAIRS, 3, GENRES), by))
    assert [sorted(found[0] + found[1]), sorted(found[2] + found[3])] == [
        [1, 2, 3, 5, 8],
        [6, 7],
    ]
    assert [len(part) for part in found] == [2, 3, 1, 1]


def test_random_halves_are_no_halves_in_time_and_keep_its_order():
    long = [(u, i) for u in range(30) for i in range(20)]
    fitted = events(long, 30, GENRES)
    by_hash, by_time = (halves(fitted, by) for by in ("random", "time"))
    assert (by_hash.offsets == by_time.offsets).all()
    parts = cut(by_hash)
    assert all(part == sorted(part) for part in parts)
    early = np.array([np.mean(np.array(part) < 10) for part in parts[::2]])
    assert 0.4 < early.mean() < 0.6
    assert len({tuple(part) for part in parts}) == 60  # another cut for each user
    again = halves(fitted, "random")
    assert (again.item == by_hash.item).all()
