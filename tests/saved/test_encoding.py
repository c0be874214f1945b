"""A saved model encodes users as training did, and users whom training never saw."""

import dataclasses
import re

import numpy as np
import pytest

from experiments.serve import serve
from research.config import Config
from research.evaluate.top_k import rank_scores, seen_items_of
from research.features import (
    COLUMN_FEATURES,
    FEATURES,
    USER,
    Feature,
    Request,
    static_features,
)
from research.prepare import prepare
from research.saved.model import check_saveable
from research.serving import Serving
from research.types import CATEGORY, NUMBER, TEXT, Column, InputError, Table
from tests.saved.made import IDS, SMALL, part_of, trained, write_histories

INPUTS = {
    "the usual ones": {},
    "ids and ages of clicks": IDS,
    "features alone": {"encoder": "none", "user_features": ("id", "gender")},
    "no features": {"user_features": (), "encoder": "last-click"},
    "vectors with their lengths": {"serve_norm": "dot"},
}


@pytest.mark.parametrize("name", INPUTS)
def test_known_users_have_the_vectors_of_training(name, tmp_path):
    run, result, model = trained(**INPUTS[name])
    encoded = model.encode(write_histories(tmp_path / "h.csv", run.fold.fitted))
    place = {user: n for n, user in enumerate(encoded.ids.tolist())}
    users = run.fold.fitted.users.id[run.fold.evaluated]
    vectors = encoded.vectors[[place[user] for user in users.tolist()]]
    np.testing.assert_allclose(vectors, result.user_vectors, rtol=0, atol=1e-6)
    assert encoded.notes == ()


@pytest.mark.parametrize("prior", [0.0, 0.7])
def test_lists_are_those_of_the_run(prior, tmp_path):
    run, result, model = trained()
    path = write_histories(tmp_path / "h.csv", run.fold.fitted)
    lists = model.lists(path, k=10, prior=prior)
    scorer = serve(
        run, result.user_vectors, result.item_vectors, serving=Serving(prior)
    )
    seen = seen_items_of(run.fold)
    expected = rank_scores(scorer, run.fold.fitted.n_items, *seen)[:, :10]
    users = run.fold.fitted.users.id[run.fold.evaluated]
    rows = [lists.users.tolist().index(user) for user in users.tolist()]
    assert np.mean(lists.items[rows] == run.fold.fitted.items.id[expected]) > 0.99
    row, best = rows[4], expected[4, 0]
    score = result.user_vectors[4] @ result.item_vectors[best] / model.temperature
    count = max(run.fold.fitted.item_counts[best], 0.3)
    score += prior * np.log(count / len(run.fold.fitted.item))
    assert lists.scores[row, 0] == pytest.approx(score, abs=1e-4)


def test_a_mapping_is_encoded_as_a_file_is(tmp_path):
    _, _, model = trained()
    path = tmp_path / "h.csv"
    path.write_text("user,item\n900,9\n900,2\n1000,23\n")
    users = tmp_path / "u.csv"
    users.write_text("user,zip,age,gender,other\n1000,30000,33,F,x\n900,,,M,\n")
    from_files = model.encode(path, users)
    rows = {1000: {"zip": "30000", "age": 33, "gender": "F"}, 900: {"gender": "M"}}
    from_mappings = model.encode({900: [9, 2], 1000: [23]}, rows)
    assert from_files.ids.tolist() == from_mappings.ids.tolist() == [900, 1000]
    np.testing.assert_array_equal(from_files.vectors, from_mappings.vectors)
    assert "lacks occupation" in from_files.notes[0]
    reordered = model.encode({900: [2, 9], 1000: [9]}, rows)
    assert not np.allclose(reordered.vectors[1], from_files.vectors[1])


def test_a_repeat_of_a_click_counts_once_as_in_training():
    _, _, model = trained()
    encoded = model.encode({900: [9, 2, 9, 9]})
    np.testing.assert_array_equal(encoded.vectors, model.encode({900: [9, 2]}).vectors)
    assert encoded.notes == (
        "clicks that repeat a user and an item: 2; the first one counts",
    )
    assert model.lists({900: [9] * 500}, k=10).items.shape == (1, 10)


def test_times_in_milliseconds_are_those_in_seconds(tmp_path, capsys):
    """As training reads them; one that is in another unit than most is refused."""
    run, _, model = trained(**INPUTS["ids and ages of clicks"])
    seconds = write_histories(tmp_path / "s.csv", run.fold.fitted)
    header, *rows = seconds.read_text().splitlines()
    late = [f"{row.rsplit(',', 1)[0]},{10**9 + n}" for n, row in enumerate(rows)]
    vectors = []
    for unit in ("", "000"):
        path = tmp_path / f"h{unit}.csv"
        path.write_text("\n".join([header, *(row + unit for row in late), ""]))
        vectors.append(model.encode(path).vectors)
        assert ("timestamps are in milliseconds" in capsys.readouterr().err) == (
            unit > ""
        )
    np.testing.assert_array_equal(*vectors)
    path.write_text("\n".join([header, *late, f"{rows[0]}000000000000", ""]))
    with pytest.raises(InputError, match="expected timestamps in one unit"):
        model.encode(path)


def test_an_empty_history_leaves_the_features_or_nothing():
    run, _, model = trained()
    row = {"gender": "F", "age": 30}
    encoded = model.encode({900: [], 1000: [9]}, {900: row, 1000: row})
    assert any("no click on an item of the model: 1" in note for note in encoded.notes)
    assert np.isfinite(encoded.vectors).all()
    other = model.encode({900: []}, {900: {**row, "gender": "M"}})
    assert not np.allclose(other.vectors[0], encoded.vectors[0])
    with pytest.raises(InputError, match="user 900 has no click on an item"):
        model.encode({1000: [9], 900: []})
    _, _, bare = trained(user_features=(), encoder="last-click")
    with pytest.raises(InputError, match="user 900 has no click on an item"):
        bare.encode({900: [1]}, {900: row})  # item 1 is unknown, and no feature is read
    known = run.fold.fitted.users.id[3].item()
    assert len(model.encode({known: []}).ids) == 1  # training knows the features


def test_a_value_that_training_never_saw_has_the_mean_of_the_others():
    _, _, model = trained(**INPUTS["features alone"])
    table = model.params["tables"]["gender"]
    same = np.tile(table.mean(axis=0), (len(table), 1))
    params = {**model.params, "tables": {**model.params["tables"], "gender": same}}
    middle = dataclasses.replace(model, params=params)
    users = {1: {"gender": "M"}, 2: {"gender": "another"}}
    known, unknown = model.encode({1: [9], 2: [9]}, users).vectors
    expected = middle.encode({1: [9]}, users).vectors[0]
    np.testing.assert_allclose(unknown, expected, atol=1e-6)
    assert not np.allclose(known, unknown, atol=1e-3)


def test_columns_of_every_kind_are_fitted_to_training():
    events = part_of().fitted
    n = events.n_users
    columns = {
        "score": Column(NUMBER, np.where(np.arange(n) % 5, np.arange(n), np.nan)),
        "city": Column(CATEGORY, np.array(["x", "y", ""])[np.arange(n) % 3]),
        "rank": Column(CATEGORY, np.arange(n) % 4),
        "about": Column(TEXT, np.array([f"word{u % 9} and {u % 4}" for u in range(n)])),
    }
    config = Config(user_features=tuple(columns))
    whole = events._replace(users=Table(events.users.id, columns))
    features = {name: COLUMN_FEATURES[columns[name].kind] for name in columns}
    expected = static_features(USER, features, whole, config)
    rows = np.array([7, 3, 50])
    part = whole._replace(users=whole.users.take(rows))
    found = static_features(USER, features, part, config, whole.users)
    np.testing.assert_allclose(found.dense, expected.dense[rows], atol=1e-5)
    for name, code in expected.codes.items():
        np.testing.assert_array_equal(found.codes[name], code[rows])
    new = Table(np.array([1]), {**columns, "city": Column(CATEGORY, np.array(["z"]))})
    request = Request("city", USER, whole._replace(users=new), config, whole.users)
    code = features["city"].make(request)
    assert code.code.tolist() == [code.rows] == [3]


REFUSED = {
    "header": ("u,i\n1,2\n", "expected columns user,item"),
    "user": ("user,item\nann,2\n", "h.csv:2: expected a user id"),
    "item": ("user,item\n1,two\n", "h.csv:2: expected an item id"),
    "time": ("user,item,timestamp\n1,2,noon\n", "h.csv:2: expected a timestamp"),
    "late": (f"user,item,timestamp\n1,2,{10**19 - 1}\n", "h.csv:2: expected a time"),
    "fields": ("user,item\n1,2,3\n", "h.csv:2: expected 2 fields"),
    "no row": ("user,item\n", "name no user"),
    "nothing": ("", "expected columns user,item"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_histories_that_cannot_be_meant_are_refused(case, tmp_path):
    text, line = REFUSED[case]
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(line)):
        trained()[2].encode(path)
    with pytest.raises(InputError, match="can't be read"):
        trained()[2].encode(tmp_path / "none.csv")


@pytest.mark.parametrize("clicks", ["17", b"17", {17, 5}, 17])
def test_a_history_that_is_no_list_is_refused(clicks):
    """A text would be read letter by letter: items 1 and 7 in place of 17."""
    _, _, model = trained()
    line = "history of user 3: expected items in a list, earliest first, found"
    with pytest.raises(InputError, match=line):
        model.encode({3: clicks})


def test_two_histories_of_one_user_are_refused():
    _, _, model = trained()
    with pytest.raises(InputError, match=r"expected each user once, found .*3, '3'"):
        model.encode({3: [17], "3": [5]})


def test_columns_of_users_that_are_not_used_are_named(tmp_path):
    _, _, model = trained()
    one = model.items.id[:1].tolist()
    users = {3: {"Gender": "F", "age": 30, "country": "X"}}
    notes = model.encode({3: one}, users).notes
    assert "columns of users not used: Gender, country" in notes
    path = tmp_path / "users.csv"
    path.write_text("user,country\n3,X\n")
    assert "columns of users not used: country" in model.encode({3: one}, path).notes


def test_users_that_cannot_be_meant_are_refused(tmp_path):
    model, path = trained()[2], tmp_path / "u.csv"
    for text, line in (
        ("user,age\n7,old\n", "u.csv:2: expected a finite number"),
        ("user,age\n7,3\n7,4\n", "u.csv:3: expected a user not seen before"),
        ("user,age\n7,3\n07,4\n", "u.csv:3: expected a user not seen before"),
        ("name,age\n7,3\n", "expected columns user"),
        ("user,age\nx,3\n", "u.csv:2: expected a user id"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=re.escape(line)):
            model.encode({7: [9]}, path)
    with pytest.raises(InputError, match="user 7: expected a user not seen before"):
        model.encode({7: [9]}, {7: {"age": 3}, "7": {"age": 4}})
    timed = trained(**INPUTS["ids and ages of clicks"])[2]
    with pytest.raises(InputError, match="needs a timestamp of each click"):
        timed.encode({7: [9]})
    for k in (0, 10_000):
        with pytest.raises(InputError, match=f"lists of {k} items"):
            model.lists({7: [9]}, k=k)


def test_what_could_not_encode_others_is_not_saved(monkeypatch):
    toy = Feature("rank among all", (USER,), lambda r: np.argsort(r.table.id)[:, None])
    monkeypatch.setitem(FEATURES, "toy", toy)
    for changes, line in (
        ({"user_features": ("toy",)}, "depends on who else is in the table"),
        ({"history_order": "shuffled"}, "history_order shuffled"),
        ({"positives": "item-item"}, "positives item-item"),
        ({"model": "popularity"}, "no parameters to save"),
    ):
        config = Config(**(changes if "model" in changes else {**SMALL, **changes}))
        with pytest.raises(InputError, match=line):
            check_saveable(prepare(config, part_of()))
    check_saveable(prepare(Config(**SMALL), part_of()))
