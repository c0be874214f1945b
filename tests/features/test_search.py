"""Search words: how they are simulated, what a file gives, which side is told them."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from research.config import Config
from research.events import catalogue, fold
from research.features.search import (
    VOCABULARY,
    held_words,
    read_searches,
    resolve_search,
    search_words,
    word_rows,
)
from research.positives.tasks import retrieval_task
from research.prepare import check_config, prepare
from research.train.loop import Trained, train
from research.train.model import make_model, serve_task
from research.train.world import World
from research.types import TEXT, Column, Fold, InputError
from tests.world import made_fold, made_ratings, with_columns

SEARCH = Config(
    **{"encoder": "query", "search": "simulated", "split": "last", "batch": 128},
    **{"epochs": 1, "history": 4, "dim": 6, "user_hidden": (8,), "item_hidden": (8,)},
)


def config(**changes: Any) -> Config:
    return dataclasses.replace(SEARCH, **changes)


def event_words(given: Config, phase: Fold) -> np.ndarray:
    """The words before each fitted event."""
    rows = np.arange(len(phase.fitted.user)) + phase.fitted.user
    return search_words(given, phase.fitted)[rows]


def own(phase: Fold) -> list[set[int]]:
    """The words of each item: its title's and its genre's."""
    items = phase.fitted.items
    genres, titles = items.columns["genres"], items.columns["title"].values
    genre = np.array(genres.names)[genres.values.argmax(axis=1)]
    return [set(word_rows(f"{t} {g}")) for t, g in zip(titles, genre, strict=True)]


def from_target(given: Config, phase: Fold) -> np.ndarray:
    """Which words are among the target's."""
    words, of = event_words(given, phase), own(phase)
    targets = phase.fitted.item.tolist()
    return np.array(
        [[w in of[i] for w in row] for row, i in zip(words.tolist(), targets)]
    )


def test_without_noise_every_word_is_the_targets_and_each_of_them_comes():
    phase = made_fold("last")
    assert from_target(config(search="simulated,noise=0.0"), phase).all()
    words, of = event_words(config(search="simulated,noise=0.0"), phase), own(phase)
    drawn: dict[int, set[int]] = {}
    for item, row in zip(phase.fitted.item.tolist(), words.tolist(), strict=True):
        drawn.setdefault(item, set()).update(row)
    often = np.flatnonzero(np.bincount(phase.fitted.item) > 20)
    assert len(often) > 5
    assert all(drawn[item] == of[item] for item in often.tolist())


def test_every_word_has_a_row_of_the_table_and_none_that_of_no_word():
    rows = word_rows(" ".join(map(str, range(20_000))))
    assert 0 < min(rows) < max(rows) < VOCABULARY


def test_noise_replaces_its_share_and_at_one_says_nothing():
    phase = made_fold("last")
    # "Film" is a third of every item's words, and a quarter of items share a genre.
    by_chance = 1 / 3 + 1 / 3 / 4
    for noise in (0.5, 1.0):
        share = from_target(config(search=f"simulated,noise={noise}"), phase).mean()
        assert share == pytest.approx(1 - noise + noise * by_chance, abs=0.03)


def test_words_belong_to_user_and_item_whatever_the_split_and_the_seed():
    found = {}
    for split, fit_on in (("last", "train"), ("ratio", "train+validation")):
        phase = made_fold(split, fit_on)
        words = event_words(config(split=split, seed=len(found)), phase)
        pairs = zip(phase.fitted.user.tolist(), phase.fitted.item.tolist(), strict=True)
        found[split] = dict(zip(pairs, words.tolist(), strict=True))
    both = found["last"].keys() & found["ratio"].keys()
    assert len(both) > 500
    assert all(found["last"][pair] == found["ratio"][pair] for pair in both)
    events = catalogue(made_ratings())
    whole = search_words(config(), events)
    assert len({tuple(row) for row in whole.tolist()}) > 300


def test_a_user_is_judged_by_a_search_for_the_first_item_held_out():
    phase, given = made_fold("ratio"), config(search="simulated,noise=0.0")
    words, of = held_words(given, phase), own(phase)
    assert (np.bincount(phase.held_user) > 1).any()
    for row, user in zip(words.tolist(), phase.evaluated.tolist(), strict=True):
        first = phase.held_item[phase.held_user == user][0]
        assert set(row) <= of[first]
    np.testing.assert_array_equal(retrieval_task(given, phase).words, words)


def test_training_never_has_the_words_of_what_is_held_out():
    phase = made_fold("last")
    rows = search_words(config(), phase.fitted)
    ends = phase.fitted.offsets[1:] + np.arange(phase.fitted.n_users)
    assert (rows[ends] == 0).all()
    assert (np.delete(rows, ends, axis=0) > 0).all()


def test_the_simulated_search_sees_the_target_and_nothing_else_is_told_of_it():
    """By name exempt from the shuffled future: its words are the target's.

    Another target at an event changes the words of that event, and of no other.
    """
    phase, given = made_fold("last"), config(search="simulated,noise=0.0")
    item = phase.fitted.item.copy()
    item[10] = (item[10] + 1) % phase.fitted.n_items
    other = phase._replace(fitted=phase.fitted._replace(item=item))
    moved = (event_words(given, phase) != event_words(given, other)).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [10]


@functools.cache
def trained() -> tuple[Trained, Fold, World]:
    """A short run that takes searches, its phase, and its phase on the device."""
    phase = made_fold("last")
    done = train(SEARCH, phase)
    return done, phase, prepare(done.config, phase).world[0]


def test_a_search_moves_its_users_vector_and_no_other():
    done, phase, world = trained()
    model, task = make_model(done.config), retrieval_task(done.config, phase)
    users, items = serve_task(model, done.params, world, task)
    np.testing.assert_array_equal(users, done.user_vectors)
    words = task.words.copy()
    words[3] = words[4]
    other = serve_task(model, done.params, world, task._replace(words=words))
    moved = np.asarray(users != other[0]).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [3]
    np.testing.assert_array_equal(items, other[1])


@pytest.fixture
def file(tmp_path):
    """Writes a file of searches, gives the search by it."""

    def write(text: str | bytes) -> str:
        path = tmp_path / "searches.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"file,path={path}"

    return write


def searches(phase: Fold, skip: int = 0) -> str:
    """A file with the title of what each positive found; some pairs aren't in it."""
    fitted = phase.fitted
    titles = fitted.items.columns["title"].values
    pairs = [
        *zip(fitted.user.tolist(), fitted.item.tolist(), strict=True),
        *zip(phase.held_user.tolist(), phase.held_item.tolist(), strict=True),
    ]
    rows = [
        f'{fitted.users.id[u]},{fitted.items.id[i]},"The {titles[i]}, now!"'
        for u, i in pairs[skip:]
    ]
    return "\n".join(["user,item,query", *rows, "999999,1,of nobody"])


def test_a_file_gives_the_words_of_its_queries(file, capsys):
    phase = made_fold("last")
    given = config(search=file(searches(phase, skip=25)) + ",words=3")
    given = dataclasses.replace(given, search=resolve_search(given, phase))
    n = len(phase.fitted.user)
    line = capsys.readouterr().err
    assert f"a query for {n - 25} of {n} fitted pairs" in line
    words = event_words(given, phase)
    assert (words[:25] == 0).all()
    titles = phase.fitted.items.columns["title"].values
    for row, item in zip(words[25:].tolist(), phase.fitted.item[25:], strict=True):
        assert row == word_rows(f"the {titles[item]} now")[:3]
    held = held_words(given, phase)
    assert held.tolist() == [
        word_rows(f"the {titles[i]}") for i in phase.held_item[phase.held_user >= 0]
    ]
    assert resolve_search(given, phase) == given.search


def test_a_file_that_has_changed_is_another_search(file):
    phase = made_fold("last")
    given = config(search=file(searches(phase)))
    first = resolve_search(given, phase)
    file(searches(phase, skip=1))
    assert resolve_search(given, phase) != first
    read_searches.cache_clear()
    with pytest.raises(InputError, match="has changed"):
        resolve_search(dataclasses.replace(given, search=first), phase)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "searches.csv:1: expected columns user,item,query"),
        ("user,query\n5,Film\n", "searches.csv:1: expected columns user,item,query"),
        ("user,item,query\n5,2\n", "searches.csv:2: expected 3 fields"),
        ("user,item,query\nx5,2,film\n", "searches.csv:2: expected a user id"),
        ("user,item,query\n5,,film\n", "searches.csv:2: expected an item id"),
        ("user,item,query\n5,2,a\n5,2,b\n", "searches.csv:3: expected a pair not seen"),
        ("user,item,query\n999,2,film\n", "no query for any of the .* fitted pairs"),
        (b"user,item,query\n5,2,\xff\xfe\n", "searches.csv:2: expected UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused(file, text, reason):
    with pytest.raises(InputError, match=reason) as raised:
        resolve_search(config(search=file(text)), made_fold("last"))
    assert "\n" not in str(raised.value)


def test_a_file_with_nothing_to_judge_by_is_refused(file):
    phase = made_fold("last")
    n = len(phase.fitted.user)
    lines = searches(phase).splitlines()[: n + 1]
    with pytest.raises(InputError, match="no query for any of the 60 judged"):
        resolve_search(config(search=file("\n".join(lines))), phase)
    with pytest.raises(InputError, match=r"nowhere.csv: can't be read \(No such file"):
        resolve_search(config(search="file,path=nowhere.csv"), phase)
    with pytest.raises(InputError, match="search file: path is missing"):
        resolve_search(config(search="file"), phase)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"search": "none"}, "encoder query needs search words"),
        ({"encoder": "mean"}, "search simulated with encoder mean"),
        ({"positives": "item-item"}, "encoder query with positives item-item"),
        ({"negatives": ("rank-band:10",)}, "rank-band:10 with encoder query"),
    ],
)
def test_what_has_no_search_is_refused(changes, reason):
    with pytest.raises(InputError, match=reason):
        check_config(config(**changes))
    with pytest.raises(InputError, match=reason):
        train(config(**changes), made_fold("last"))


def test_a_data_set_without_words_is_refused():
    ratings = made_ratings()
    dots = Column(TEXT, np.full(130, "..."))
    items = with_columns(ratings.items, title=dots, genres=None)
    phase = fold(catalogue(ratings._replace(items=items)), "last")
    with pytest.raises(InputError, match="needs titles or genres"):
        resolve_search(SEARCH, phase)
    # An item without words is searched for without any; the others aren't.
    titles = ["", *ratings.items.columns["title"].values[1:]]
    items = with_columns(items, title=Column(TEXT, np.array(titles)))
    few = ratings._replace(items=items)
    phase = fold(catalogue(few), "last")
    mute = phase.fitted.items.id[phase.fitted.item] == few.items.id[0]
    words = event_words(config(search="simulated,noise=1.0"), phase)
    assert mute.any()
    np.testing.assert_array_equal((words > 0).all(axis=1), ~mute)
    np.testing.assert_array_equal((words > 0).any(axis=1), ~mute)
