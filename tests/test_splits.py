"""Cuts in integers, random and given parts; phases see no more than they may."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.config import Config
from research.evaluate.top_k import seen_items_of
from research.events import SplitRules, catalogue, fold, take_events
from research.prepare import check_config, check_times
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


@pytest.mark.parametrize("fit_on", PHASES)
@pytest.mark.parametrize("split", TIMED)
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(rows=rows)
def test_a_phase_is_made_of_whole_parts(split, fit_on, rows):
    """A user's parts follow each other: what is fitted is a prefix of the events."""
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
    assert (np.diff(phase.held_user) >= 0).all()
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


def test_an_unknown_name_is_bad_input():
    events = catalogue(made_ratings())
    with pytest.raises(InputError, match="unknown fit_on 'test'"):
        fold(events, "ratio", "test")
    with pytest.raises(InputError, match="unknown split 'lst'"):
        fold(events, "lst")


def parted(parts=(TRAIN, VALIDATION, TEST), shares=(0.6, 0.2, 0.2)) -> Events:
    """The synthetic data set with a column part."""
    ratings = made_ratings()
    draw = np.random.default_rng(3)
    part = draw.choice(parts, len(ratings.user), p=np.array(shares) / sum(shares))
    return catalogue(ratings._replace(part=part.astype(np.uint8)))


def sizes(events: Events, part: np.ndarray, user: int) -> list[int]:
    own = part[events.offsets[user] : events.offsets[user + 1]]
    return np.bincount(own, minlength=3).tolist()


def test_random_cuts_as_ratio_does():
    events = of_lengths(*range(1, 40))
    part = parts("random", events)
    by_time = parts("ratio", events)
    for u in range(events.n_users):
        assert sizes(events, part, u) == sizes(events, by_time, u)
    assert not np.array_equal(part, by_time)


def test_recboles_rule_leaves_the_remainder_to_train():
    events = of_lengths(*range(1, 40))
    part = parts("random,sizes=recbole", events)
    for u, n in enumerate(range(1, 40)):
        assert sizes(events, part, u) == [n - 2 * (n // 10), n // 10, n // 10]


def test_random_follows_its_seed_alone():
    events = catalogue(made_ratings())
    other = catalogue(made_ratings(), tie_seed=5)
    one, two = (parts(f"random,seed={s}", events) for s in (0, 1))
    assert not np.array_equal(one, two)

    def by_pair(events, part):
        return dict(zip(zip(events.user.tolist(), events.item.tolist()), part.tolist()))

    again = parts("random", other)
    assert by_pair(events, one) == by_pair(other, again)


def test_random_is_even_over_the_order_of_time():
    events = of_lengths(*[10] * 400)
    part = parts("random", events)
    at = np.arange(len(part)) % 10
    counts = np.bincount(at[part == TEST], minlength=10)
    assert counts.min() > 20  # 40 each are expected; by time all would be at the end
    assert counts.max() < 65


def test_given_is_the_column():
    events = parted()
    np.testing.assert_array_equal(parts("given", events), events.part)
    phase = fold(events, "given", "train-only")
    assert pairs(phase.fitted) == in_part(events, "given", TRAIN)
    assert held(phase) == in_part(events, "given", TEST)


def test_a_share_of_train_stands_in_for_validation():
    events = parted((TRAIN, TEST), (0.8, 0.2))
    with pytest.raises(InputError, match=r"no validation part.*given,validation"):
        fold(events, "given", "train")
    split = "given,validation=0.1"
    part = parts(split, events)
    np.testing.assert_array_equal(part == TEST, events.part == TEST)
    for u in range(events.n_users):
        n = sizes(events, events.part, u)[0]
        assert sizes(events, part, u)[1] == max(int(0.1 * n), 1)
    other = parts(f"{split},seed=1", events)
    assert not np.array_equal(part, other)
    with pytest.raises(InputError, match="the data has a validation part"):
        parts(split, parted())
    with pytest.raises(InputError, match="nothing is drawn by seed"):
        parts("given,seed=1", events)


def test_the_only_train_event_of_a_user_trains():
    events = of_lengths(1, 2)._replace(part=np.zeros(3, np.uint8))
    part = parts("given,validation=0.5", events).tolist()
    assert part[0] == TRAIN
    assert sorted(part[1:]) == [TRAIN, VALIDATION]


LEFT_OUT = {
    ("train+validation", "fitted"): (TRAIN, VALIDATION),
    ("train+validation", "train"): (TRAIN,),
    ("train-only", "fitted"): (TRAIN,),
    ("train-only", "train"): (TRAIN,),
    ("train-only", "train+validation"): (TRAIN, VALIDATION),
    ("train", "fitted"): (TRAIN,),
}


@pytest.mark.parametrize("case", LEFT_OUT, ids=" ".join)
def test_lists_leave_out_the_parts_that_are_named(case):
    fit_on, left_out = case
    events = parted()
    phase = fold(events, "given", fit_on, SplitRules(left_out=left_out))
    offsets, items = seen_items_of(phase)
    user = np.repeat(phase.evaluated, np.diff(offsets))
    found = set(zip(user.tolist(), items.tolist()))
    parts = [in_part(events, "given", p) for p in LEFT_OUT[case]]
    judged = set(phase.evaluated.tolist())
    assert found == {pair for pair in set().union(*parts) if pair[0] in judged}


@pytest.mark.parametrize("left_out", ["fitted", "train"])
def test_ratings_below_what_judges_are_fitted_and_can_be_listed(left_out):
    ratings = made_ratings()
    part = np.random.default_rng(3).choice(3, len(ratings.user)).astype(np.uint8)
    events = catalogue(ratings._replace(part=part), threshold=0.5)
    assert 0.1 < (events.rating >= 4).mean() < 0.9
    rules = SplitRules(left_out=left_out)
    plain = fold(events, "given", rules=rules)
    phase = fold(events, "given", rules=rules._replace(judged_from=4.0))
    np.testing.assert_array_equal(phase.fitted.item, plain.fitted.item)
    liked = take_events(events, events.rating >= 4)
    held = set(zip(phase.held_user.tolist(), phase.held_item.tolist()))
    assert held == in_part(liked, "given", TEST)
    offsets, items = seen_items_of(phase)
    user = np.repeat(phase.evaluated, np.diff(offsets))
    last = TRAIN if left_out == "train" else VALIDATION
    upto = set().union(*(in_part(liked, "given", p) for p in range(last + 1)))
    judged = set(phase.evaluated.tolist())
    assert set(zip(user.tolist(), items.tolist())) == {
        p for p in upto if p[0] in judged
    }
    assert judged == {user for user, _ in held} & set(plain.fitted.user.tolist())


def test_profiles_know_no_rating_that_is_held_out():
    ratings = made_ratings()
    part = np.random.default_rng(3).choice(3, len(ratings.user)).astype(np.uint8)
    events = catalogue(ratings._replace(part=part), with_rated=True)
    phase = fold(events, "given", "train-only")
    rated = phase.fitted.rated
    assert rated is not None
    assert (rated.part == TRAIN).all()
    assert not rated.positive.all()
    kept = set(zip(rated.user[rated.positive], rated.item[rated.positive]))
    assert kept == pairs(phase.fitted)
    phase = fold(events, "random", "train-only")
    rated = phase.fitted.rated
    kept = set(zip(rated.user[rated.positive], rated.item[rated.positive]))
    assert kept == pairs(phase.fitted)


@pytest.mark.parametrize("split", ["ratio", "last", "time"])
def test_a_split_by_time_needs_times(split):
    events = catalogue(made_ratings()._replace(timed=False))
    with pytest.raises(
        InputError, match=f"split {split} goes by time.*random or given"
    ):
        fold(events, split)


BY_TIME = (
    {"encoder": "last-click"},
    {"encoder": "self-attention"},
    {"positives": "item-item"},
    {"positives": "user-user"},
    {"batch_order": "time"},
    {"user_features": ("history-age",)},
    {"item_features": ("id", "dynamic")},
    {"model": "recent-popularity"},
)


@pytest.mark.parametrize("changes", BY_TIME, ids=str)
def test_what_goes_by_time_is_refused_without_times(changes):
    config = Config(split="random", **changes)
    check_times(config, timed=True)
    with pytest.raises(InputError, match="the data has no timestamps"):
        check_times(config, timed=False)


REFUSED = (
    ({"split": "ratio,seed=3"}, "split ratio,seed=3: ratio takes no values"),
    ({"split": "given,sizes=recbole"}, "unknown value of given 'sizes'"),
    ({"split": "random,validation=0.1"}, "unknown value of random 'validation'"),
    ({"split": "given,validation=1"}, r"given's validation is 1: it must be in"),
    ({"fit_on": "train", "left_out": "train+validation"}, "would be left out"),
    ({"core": -1}, "core is -1"),
    ({"threshold": 3.0, "judged_from": 2.0}, "judged_from is 2: it must be 0, or at"),
)


@pytest.mark.parametrize(("changes", "line"), REFUSED, ids=str)
def test_fields_that_a_split_has_no_use_for(changes, line):
    with pytest.raises(InputError, match=line):
        check_config(Config(**changes))
