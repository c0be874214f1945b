"""Sessions by their definition, and the pairs that they give."""

import numpy as np
import pytest

from research.positives import HOUR, PARTNERS, Clicks, session_pairs, sessions

USER = np.array([7] * 8 + [9] * 9)
TIME = HOUR * np.array([0, 0, 1, 1, 3, 8, 8, 9] + [9] * 9)
CLICKS = Clicks(USER, np.arange(17) + 100, TIME)


def by_loop(clicks: Clicks, gap: float) -> list[int]:
    found = [0]
    for before, after in zip(range(16), range(1, 17)):
        new = clicks.user[before] != clicks.user[after]
        new |= clicks.time[after] - clicks.time[before] > gap * HOUR
        found.append(found[-1] + bool(new))
    return found


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0, 6.0])
def test_a_session_ends_after_the_gap_or_with_the_user(gap):
    assert sessions(CLICKS, gap).tolist() == by_loop(CLICKS, gap)


def test_a_gap_of_just_its_length_ends_nothing():
    assert len(set(sessions(CLICKS, 2.0)[:5])) == 1
    assert len(set(sessions(CLICKS, 1.99)[:5])) == 2


@pytest.mark.parametrize("gap", [0.5, 1.0, 6.0])
def test_pairs_are_of_one_session_and_each_event_has_as_many_as_its_session_allows(gap):
    of = sessions(CLICKS, gap)
    query, candidate = session_pairs(CLICKS, gap)
    assert (of[query] == of[candidate]).all()
    assert (query != candidate).all()
    assert len(set(zip(query, candidate))) == len(query)
    wanted = [min(PARTNERS, (of == s).sum() - 1) for s in of]
    assert np.bincount(query, minlength=17).tolist() == wanted
    assert np.bincount(candidate, minlength=17).tolist() == wanted
    assert 0 in wanted or gap == 6.0
    assert max(wanted) == PARTNERS


def test_an_events_partners_are_not_those_next_to_it():
    query, candidate = session_pairs(CLICKS, 1.0)
    last = query >= 8  # the session of nine
    assert len(set((candidate - query)[last])) > 4


def test_nothing_gives_no_pair():
    empty = np.zeros(0, np.int64)
    assert session_pairs(Clicks(empty, empty, empty), 1.0)[0].size == 0
