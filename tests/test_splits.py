"""Cuts in integers, and phases that see no more than they may."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.events import catalogue, fold
from research.splits import SPLITS, TEST, TRAIN, VALIDATION, parts
from research.types import Events, Fold, InputError, Ratings, Table
from tests.world import made_ratings

PHASES = ("train", "train+validation")
TIMED = sorted(name for name, split in SPLITS.items() if split.timed)


def ratings_of(rows: list[tuple[int, int, int]]) -> Ratings:
    """A data set of (user, item, timestamp), all of them positives."""
    rows = sorted({(u, i): t for u, i, t in rows}.items())
    users, items = 1 + max(u for (u, _), _ in rows), 1 + max(i for (_, i), _ in rows)
    return Ratings(
        name="few",
        user=np.array([u for (u, _), _ in rows], np.int32),
        item=np.array([i for (_, i), _ in rows], np.int32),
        rating=np.full(len(rows), 5.0, np.float32),
        timestamp=np.array([t for _, t in rows], np.int64),
        users=Table(np.arange(users) + 1, {}),
        items=Table(np.arange(items) + 1, {}),
        digest="0" * 64,
    )


def of_lengths(*lengths: int) -> Events:
    """Events of one user for each length."""
    rows = [(u, i, i) for u, n in enumerate(lengths) for i in range(n)]
    return catalogue(ratings_of(rows))


def pairs(fitted: Events) -> set[tuple[int, int]]:
    return set(zip(fitted.user.tolist(), fitted.item.tolist(), strict=True))


def held(phase: Fold) -> set[tuple[int, int]]:
    return set(zip(phase.held_user.tolist(), phase.held_item.tolist(), strict=True))


def in_part(events: Events, split: str, part: int) -> set[tuple[int, int]]:
    chosen = parts(split, events) == part
    return set(
        zip(events.user[chosen].tolist(), events.item[chosen].tolist(), strict=True)
    )


@pytest.mark.parametrize("split", ["ratio", "time"])
def test_the_cuts_are_exact_at_every_length(split):
    for n in range(1, 121):
        part = parts(split, of_lengths(n)).tolist()
        train, both = floor(n * Fraction(8, 10)), floor(n * Fraction(9, 10))
        expected = [TRAIN] * train + [VALIDATION] * (both - train)
        assert part == expected + [TEST] * (n - both), n


def test_last_gives_the_last_two_away():
    part = parts("last", of_lengths(1, 2, 3, 5)).tolist()
    t, v, e = TRAIN, VALIDATION, TEST
    assert part == [e] + [v, e] + [t, v, e] + [t, t, t, v, e]


def test_a_user_with_one_positive_is_tested_under_last_and_not_evaluated():
    phase = fold(of_lengths(1, 2, 3), "last")
    assert (0, phase.held_item[0]) in held(phase)
    assert phase.evaluated.tolist() == [1, 2]
    assert fold(of_lengths(1, 2, 3), "last", "train").evaluated.tolist() == [2]


def test_time_cuts_all_users_at_one_moment():
    events = catalogue(made_ratings())
    part = parts("time", events)
    for before, after in ((TRAIN, VALIDATION), (VALIDATION, TEST)):
        assert events.order[part == before].max() < events.order[part == after].min()
        late = events.timestamp[part == before].max()
        assert late <= events.timestamp[part == after].min()


rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(0, 6)),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize("split", TIMED)
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(rows=rows)
def test_a_users_parts_follow_each_other(split, rows):
    """So what a phase fits on is a prefix of each user's events."""
    events = catalogue(ratings_of(rows))
    part = parts(split, events)
    for u in range(events.n_users):
        own = part[events.offsets[u] : events.offsets[u + 1]]
        assert (np.diff(own) >= 0).all()


@pytest.mark.parametrize("fit_on", PHASES)
@pytest.mark.parametrize("split", TIMED)
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(rows=rows)
def test_a_phase_is_made_of_whole_parts(split, fit_on, rows):
    events = catalogue(ratings_of(rows))
    parts = [in_part(events, split, p) for p in (TRAIN, VALIDATION, TEST)]
    assert sum(map(len, parts)) == len(events.user)
    assert set().union(*parts) == pairs(events)
    fitted = parts[0] if fit_on == "train" else parts[0] | parts[1]
    judged = parts[1] if fit_on == "train" else parts[2]
    users = {u for u, _ in fitted} & {u for u, _ in judged}
    if not users:
        with pytest.raises(InputError, match="no user with both"):
            fold(events, split, fit_on)
        return
    phase = fold(events, split, fit_on)
    assert pairs(phase.fitted) == fitted
    assert held(phase) == judged
    assert phase.evaluated.tolist() == sorted(users)
    for u in range(events.n_users):
        own = events.item[events.offsets[u] : events.offsets[u + 1]]
        seen = phase.fitted.item[phase.fitted.offsets[u] : phase.fitted.offsets[u + 1]]
        np.testing.assert_array_equal(seen, own[: len(seen)])


@pytest.mark.parametrize("split", TIMED)
def test_choosing_never_sees_the_test_part(split):
    events = catalogue(made_ratings())
    phase = fold(events, split, "train")
    test = in_part(events, split, TEST)
    assert test
    assert not (pairs(phase.fitted) | held(phase)) & test
    assert not pairs(phase.fitted) & in_part(events, split, VALIDATION)


@pytest.mark.parametrize("split", ["ratio", "last"])
def test_other_test_events_change_nothing_that_choosing_sees(split):
    events = catalogue(made_ratings())
    test = parts(split, events) == TEST
    item, when = events.item.copy(), events.timestamp.copy()
    item[test] = item[test][::-1]
    when[test] = when[test][::-1]
    one = fold(events, split, "train")
    other = fold(events._replace(item=item, timestamp=when), split, "train")
    for a, b in zip(one.fitted[:6], other.fitted[:6], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.held_item, other.held_item)
    np.testing.assert_array_equal(one.evaluated, other.evaluated)


def test_held_out_users_are_sorted():
    for split in TIMED:
        assert (np.diff(fold(catalogue(made_ratings()), split).held_user) >= 0).all()


def test_an_unknown_name_is_bad_input():
    events = catalogue(made_ratings())
    with pytest.raises(InputError, match="unknown fit_on 'test'"):
        fold(events, "ratio", "test")
    with pytest.raises(InputError, match="unknown split 'lst'"):
        fold(events, "lst")
