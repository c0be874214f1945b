"""The splits random and given, the phase train-only, and what lists leave out."""

import numpy as np
import pytest

from research.config import Config
from research.evaluate.top_k import seen_items_of
from research.events import (
    TEST,
    TRAIN,
    VALIDATION,
    SplitRules,
    catalogue,
    fold,
    take_events,
)
from research.prepare import check_config, check_times
from research.splits import parts
from research.types import Events, InputError
from tests.test_splits import held, in_part, of_lengths, pairs
from tests.world import made_ratings


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
