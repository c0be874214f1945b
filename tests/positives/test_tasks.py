"""What each kind of positives is trained on and judged by, on a synthetic data set."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.evaluate.top_k import seen_items_of
from research.events import take_events
from research.negatives import make_sources
from research.negatives.source import Drawn
from research.positives import (
    HALVES,
    HOUR,
    PARTNERS,
    Clicks,
    halves,
    make_positives,
    session_pairs,
    sessions,
    values_of,
)
from research.positives.tasks import retrieval_task
from research.train.loop import train
from research.train.model import serve_task
from research.types import InputError
from tests.evaluate.made import events
from tests.negatives.small import negatives_of
from tests.train.begun import begun
from tests.world import made_fold

SMALL = Config(
    batch=32,
    epochs=3,
    history=10,
    dim=8,
    user_hidden=(16,),
    item_hidden=(16,),
    item_features=("id",),
    learning_rate=0.01,
)
ITEMS = dataclasses.replace(SMALL, positives="item-item,gap=0.005", logq=1.0)
USERS = dataclasses.replace(
    SMALL, positives="user-user", batch=16, negatives=("catalogue",), history=30
)


def test_user_item_trains_on_the_user_just_before_the_click():
    fitted = made_fold().fitted
    pairs = make_positives(SMALL, fitted).pairs
    assert (fitted.item[pairs.position] == pairs.candidate).all()
    for query, position, candidate in zip(*pairs[:3], strict=True):
        assert candidate not in fitted.item[fitted.offsets[query] : position]


def test_item_item_trains_on_items_of_one_session():
    fitted = made_fold().fitted
    raw = fitted.users.id[fitted.user], fitted.items.id[fitted.item]
    of = sessions(Clicks(*raw, fitted.timestamp), values_of(ITEMS)["gap"])
    together = {
        (int(a), int(b))
        for s in set(of)
        for a in fitted.item[of == s]
        for b in fitted.item[of == s]
        if a != b
    }
    pairs = make_positives(ITEMS, fitted).pairs
    found = set(zip(pairs.query.tolist(), pairs.candidate.tolist()))
    assert found <= together
    assert len(found) > 0.5 * len(together)
    assert (fitted.item[pairs.position] == pairs.query).all()


def test_item_item_asks_for_held_out_items_of_one_session_and_not_for_the_query():
    fold = made_fold()
    task = retrieval_task(ITEMS, fold)
    assert (task.fold.evaluated == task.queries).all()
    held = {}
    for user, item, time in zip(fold.held_user, fold.held_item, fold.held_time):
        held.setdefault(int(user), []).append((int(time), int(item)))
    gap = values_of(ITEMS)["gap"] * 3600
    for query, wanted in zip(task.fold.held_user, task.fold.held_item):
        assert query != wanted
        assert any(
            {query, wanted} <= {item for _, item in clicks}
            and max(t for t, _ in clicks) - min(t for t, _ in clicks) < 500
            for clicks in held.values()
        )
    assert gap < 500  # some held-out items of a user are of different sessions
    offsets, removed = seen_items_of(task.fold)
    assert (removed == task.queries).all()
    assert (np.diff(offsets) == 1).all()


def test_an_item_without_a_fitted_click_asks_for_nothing():
    fold = made_fold()
    queries = retrieval_task(ITEMS, fold).queries
    fitted = take_events(fold.fitted, fold.fitted.item != queries[0])
    task = retrieval_task(ITEMS, fold._replace(fitted=fitted))
    assert task.queries.tolist() == queries[1:].tolist()


def test_user_user_asks_for_the_held_out_part_among_those_of_all_users():
    fold = made_fold()
    task = retrieval_task(USERS, fold)
    item, offsets = task.histories
    for v, user in enumerate(fold.evaluated):
        query, candidate = task.queries[v], task.candidates[v]
        first = item[offsets[query] : offsets[query + 1]]
        second = item[offsets[candidate] : offsets[candidate + 1]]
        mine = fold.fitted.item[fold.fitted.user == user]
        assert first.tolist() == mine.tolist()
        assert second.tolist() == fold.held_item[fold.held_user == user].tolist()
    assert task.fold.fitted.n_items == len(fold.evaluated)
    assert task.fold.held_item.tolist() == list(range(len(fold.evaluated)))


def test_user_user_trains_each_half_on_the_other():
    pairs, _, offsets, n = make_positives(USERS, made_fold().fitted)
    assert n == 2 * 60
    assert set(zip(pairs.query.tolist(), pairs.candidate.tolist())) == {
        (h, h ^ 1) for h in range(n)
    }
    assert (pairs.position == offsets[pairs.query + 1]).all()


def vectors(config: Config):
    """Of an untrained model: the task, its queries' vectors, its candidates'."""
    run, world, state, _ = begun(config)
    task = retrieval_task(run.config, made_fold())
    return task, *map(np.asarray, serve_task(run.model, state.params, world, task))


def test_both_sides_of_a_pair_go_through_one_tower():
    task, queries, candidates = vectors(ITEMS)
    np.testing.assert_allclose(queries, candidates[task.queries], atol=1e-5)
    task, queries, candidates = vectors(USERS)
    assert queries.shape == candidates.shape
    assert not np.allclose(queries, candidates)
    # a user-item model of the same seed has the same user tower, given no feature
    same = dataclasses.replace(USERS, positives="user-item", user_features=())
    np.testing.assert_allclose(queries, vectors(same)[1], atol=1e-5)


@pytest.mark.parametrize("name", ["in-batch", "uniform:40", "catalogue"])
def test_a_column_that_holds_the_query_is_no_negative(name):
    (source,) = make_sources((name,), dataclasses.replace(SMALL, batch=3))
    ids = jnp.array([4, 5, 6]) if name == "in-batch" else jnp.arange(40) % 20
    candidate, query = jnp.array([4, 5, 6]), jnp.array([5, 1, 9])
    plain = negatives_of(source, Drawn(ids), candidate)
    keep = negatives_of(source, Drawn(ids), candidate, query=query)
    held = np.asarray(ids)[None, :] == np.asarray(query)[:, None]
    np.testing.assert_array_equal(keep, np.asarray(plain) & ~held)
    assert held.any()


REFUSED = {
    "mask": ({"mask_user_positives": True}, "not a user who looks for items"),
    "temperature": ({"temperature_kind": "per-user"}, "per-user"),
    "band": ({"negatives": ("uniform:9", "rank-band:5")}, "rank-band:5"),
    "user feature": ({"user_features": ("gender",)}, "names the other half"),
    "history": ({"history": 0}, "needs a history"),
    "kind": ({"positives": "user-usr"}, "nearest: user-user"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_kind_cannot_be_trained_with_is_refused_with_the_reason(case):
    changes, part = REFUSED[case]
    with pytest.raises(InputError, match=part) as raised:
        train(dataclasses.replace(USERS, **changes), made_fold())
    assert "\n" not in str(raised.value)


def test_no_held_out_session_of_two_is_refused():
    apart = dataclasses.replace(ITEMS, positives="item-item,gap=1e-9")
    fold = made_fold()
    fold = fold._replace(held_time=np.arange(len(fold.held_item)) * 10)
    with pytest.raises(InputError, match="no held-out session"):
        retrieval_task(apart, fold)


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
