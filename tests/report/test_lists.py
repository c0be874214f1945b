"""A user's list beside what the user clicked, and two runs' lists side by side."""

import dataclasses

import numpy as np
import pytest

from research.report.lists import compare_lists, user_clicks, user_list
from research.report.popularity import recall_by_decile
from research.report.records import RunResult
from research.types import InputError
from tests.report.served import served_result
from tests.world import with_columns

ROW = 7  # of the evaluated users


@pytest.fixture(scope="module")
def result():
    return served_result("mine", liking=2.0)


@pytest.fixture(scope="module")
def user(result):
    fold = result.served.fold
    return int(fold.fitted.users.id[fold.evaluated[ROW]])


def held(result):
    fold = result.served.fold
    return fold.held_item[fold.held_user == fold.evaluated[ROW]].tolist()


def test_a_list_is_the_runs_with_titles_and_hits(result, user):
    frame = user_list(result, user, k=50)
    fold, shown = result.served.fold, result.served.lists[ROW, :50]
    names = fold.fitted.items.columns["title"].values
    assert frame.index.tolist() == list(range(1, 51))
    assert frame.title.tolist() == names[shown].tolist()
    assert frame.clicks.tolist() == fold.fitted.item_counts[shown].tolist()
    hits = [item in held(result) for item in shown.tolist()]
    assert 0 < sum(hits) < 50
    assert (frame.part == "held out").tolist() == hits
    assert set(frame.part) == {"held out", ""}  # lists hold no seen item


def test_a_seen_item_is_named_where_a_list_holds_one(result, user):
    fold = result.served.fold
    seen = fold.fitted.item[fold.fitted.offsets[fold.evaluated[ROW]]]
    lists = result.served.lists.copy()
    lists[ROW, 0] = seen
    served = dataclasses.replace(result.served, lists=lists)
    assert user_list(result._replace(served=served), user, 3).part[1] == "training"


def test_clicks_come_with_the_place_of_what_was_held_out(result, user):
    frame = user_clicks(result, user)
    fold = result.served.fold
    first, last = fold.fitted.offsets[fold.evaluated[ROW] :][:2]
    latest = fold.fitted.items.columns["title"].values[fold.fitted.item[last - 1]]
    training = frame[frame.part == "training"]
    assert len(training) == last - first
    assert training.title.iloc[0] == latest
    assert training.place.isna().all()
    out = frame[frame.part == "held out"]
    assert len(out) == len(held(result))
    shown = result.served.lists[ROW].tolist()
    places = sorted(shown.index(i) + 1 for i in held(result) if i in shown)
    assert out.place.dropna().tolist() == places
    assert frame.part.tolist() == sorted(frame.part)  # what was held out comes first


def test_two_lists_stand_side_by_side(result, user):
    other = served_result("other", seed=3, liking=2.0)
    frame = compare_lists(result, other, user, k=10)
    for run in (result, other):
        top = frame[frame[run.arm] <= 10].sort_values(run.arm)
        assert top[run.arm].tolist() == list(range(1, 11))
        assert top.title.tolist() == user_list(run, user, 10).title.tolist()
    assert len(frame) == len(set(frame.title)) > 10
    ordered = frame.mine.dropna().tolist()
    assert ordered == sorted(ordered)


def test_runs_are_told_apart_by_swept_values_then_seeds(result, user):
    swept = result._replace(swept={"prior": 0.5})
    assert {"mine", "mine, prior 0.5"} < set(compare_lists(result, swept, user))
    seeds = compare_lists(result, result._replace(seed=1), user)
    assert {"mine, seed 0", "mine, seed 1"} < set(seeds)
    with pytest.raises(InputError, match="compared with itself"):
        compare_lists(result, result, user)


def test_without_a_column_of_text_items_are_named_by_their_ids(result):
    items = result.served.fold.fitted.items
    assert items.titles().tolist() == items.columns["title"].values.tolist()
    bare = with_columns(items, title=None)
    assert bare.titles().tolist() == items.id.astype(str).tolist()


def changed(result, config=None, lists=None, **fold):
    """A result of another config, or with other fields of its fold, or other lists."""
    run = result.served.run
    run = dataclasses.replace(
        run,
        config=config or run.config,
        task=run.task._replace(fold=run.task.fold._replace(**fold)),
    )
    lists = result.served.lists if lists is None else lists
    served = dataclasses.replace(result.served, run=run, lists=lists)
    return result._replace(arm="other", served=served)


def test_what_cannot_be_looked_up_is_refused(result, user):
    fold = result.served.fold
    of_users = dataclasses.replace(result.served.run.config, positives="user-user")
    fewer = np.delete(fold.evaluated, ROW)
    lists = np.delete(result.served.lists, ROW, axis=0)
    for run, who, k, reason in (
        (result, -4, 20, "user -4 is not in the data set"),
        (result, "nobody", 20, "user nobody is not"),
        (result, user, 0, "k is 0: a list has 1 to 500"),
        (RunResult("old", {}, 0), user, 20, "use compare or load_run"),
        (changed(result, of_users), user, 20, "not of items for users"),
        (changed(result, None, lists, evaluated=fewer), user, 20, "has nothing held"),
    ):
        with pytest.raises(InputError, match=reason):
            user_list(run, who, k)
    with pytest.raises(InputError, match="user nobody is not"):
        user_clicks(result, "nobody")


def test_runs_of_other_data_or_another_split_are_not_compared_user_by_user(
    result, user
):
    fold = result.served.fold
    items = fold.fitted.items.take(np.arange(fold.fitted.n_items)[::-1])
    turned = changed(result, fitted=fold.fitted._replace(items=items))
    with pytest.raises(InputError, match="different catalogues"):
        compare_lists(result, turned, user)
    # two users' held-out items are exchanged
    swapped = changed(result, held_item=fold.held_item[::-1])
    with pytest.raises(InputError, match="mine and other are of different data"):
        compare_lists(result, swapped, user)
    with pytest.raises(InputError, match="mine and other are of different data"):
        recall_by_decile([result, swapped], "mine")
