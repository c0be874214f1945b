"""train --save and --start-from, and encode: from a run to vectors of new users."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import experiments.commands.train as train_command
from experiments import runs
from experiments.output import seals
from research.files import read_arrays, read_json
from research.saved.files import load_model
from tests.data.miniature import write_100k
from tests.data.own import csv_text, write
from tests.experiments.made import (
    contents,
    made_films,
    made_ratings,
    made_users,
    refused,
    runs_of,
)


@pytest.fixture
def saved(tiny, tmp_path):
    """A folder with a model; the output folder is beside it."""
    return tmp_path / "model"


@pytest.fixture
def histories(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("user,item\n5000,3\n5000,9\n5000,7777\n5001,1\n")
    return path


def test_encode_writes_what_a_library_loads(saved, histories, done, tmp_path):
    words = ("--model", saved, "--histories", histories, "--lists", "4")
    called = done("encode", *words, "--out", tmp_path / "v")
    assert ": 1, with 1 of the 4 clicks" in called.err
    assert "encoded 2 users, 2 of them new to the model" in called.out
    files = sorted(contents(tmp_path / "v"))
    assert files == ["items.npz", "lists.csv", "meta.json", "users.npz"]
    users = read_arrays(tmp_path / "v" / "users.npz")
    items = read_arrays(tmp_path / "v" / "items.npz")
    meta = json.loads((tmp_path / "v" / "meta.json").read_text())
    assert meta["metric"] == "inner product"
    assert meta["prior"] == 1.0  # the arm's
    assert users["ids"].tolist() == [5000, 5001]
    assert users["seen_ids"].tolist() == [3, 9, 1]
    scores = users["vectors"] @ items["vectors"].T / meta["temperature"]
    scores[:, np.isin(items["ids"], [3, 9])] = -np.inf  # seen by the first
    rows = (tmp_path / "v" / "lists.csv").read_text().splitlines()
    assert rows[0] == "user,rank,item,title,score"
    best = [int(row.split(",")[2]) for row in rows[1:5]]
    assert best == items["ids"][np.argsort(-scores[0])[:4]].tolist()


def test_encode_writes_one_file_with_another_prior(saved, histories, done, tmp_path):
    words = ("--model", saved, "--histories", histories, "--lists", "4")
    for prior, width in (("0", 8), ("0.5", 9)):
        out = tmp_path / f"{prior}.npz"
        done("encode", *words, "--out", out, "--prior", prior)
        arrays = read_arrays(out)
        assert arrays["vectors"].shape == (2, width)
        expected = load_model(saved).lists(histories, k=4, prior=float(prior))
        np.testing.assert_array_equal(arrays["lists"], expected.items)


def test_a_model_of_another_serving_or_code_is_replaced(
    saved, done, tmp_path, monkeypatch
):
    """The folder holds what the last command asked for, not an earlier model."""
    words = ("train", "--arm", "tiny+prior", "--out", tmp_path / "out", "--save", saved)
    done(*words, "--prior", "0.5")
    assert load_model(saved).config.prior == 0.5
    done(*words, "--prior", "0")
    assert load_model(saved).config.prior == 0.0
    before = load_model(saved).item_vectors
    train = runs.train_together

    def otherwise(*args):
        (done,) = train(*args)
        return [done._replace(item_vectors=-done.item_vectors)]

    for module in (train_command, runs, seals):
        monkeypatch.setattr(module, "code_of", lambda config: "other code")
    monkeypatch.setattr(runs, "train_together", otherwise)
    assert "1 to do" in done(*words, "--prior", "0").out
    np.testing.assert_array_equal(load_model(saved).item_vectors, -before)


@pytest.fixture
def fewer(tmp_path):
    """The made ml-100k before the last users came."""
    rows = [row for row in made_ratings() if row[0] <= 50]
    items = {row[1] for row in rows}
    films = [film for film in made_films() if film[0] in items]
    return write_100k(tmp_path / "fewer", rows, films, made_users(50))


def test_going_on_with_further_users_and_items(done, fewer, tmp_path):
    out, model = tmp_path / "out", tmp_path / "model"
    words = ("train", "--out", out)
    first = (*words, "--arm", "tiny+logq", "--epochs", "30", "--save", model)
    done(*first, "--data-dir", fewer)
    old = load_model(model)
    done(*words, "--arm", "tiny+logq", "--epochs", "2")
    go_on = (*words, "--start-from", model, "--epochs", "2", "--save", tmp_path / "on")
    done(*go_on)
    new = load_model(tmp_path / "on")
    assert new.config.logq == 1.0  # the model's config is the default
    assert len(new.items.id) > len(old.items.id)
    env, losses = {}, {}
    for run in runs_of(out, "train"):
        started = read_json(run / "env.json").get("started_from", "")
        epochs = read_json(run / "config.json")["epochs"]
        env[epochs, bool(started)] = started
        text = (run / "history.csv").read_text().splitlines()
        losses[epochs, bool(started)] = float(text[1].split(",")[2])
    assert env[2, True] == old.about["digest"]
    assert losses[2, True] < losses[2, False] - 0.1
    assert "nothing to train" in done(*go_on).out


def test_text_ids_of_a_file_of_ones_own(done, tmp_path):
    """Every user that is known has the vector of the run; a new one has a list."""
    header = "user,item,timestamp"
    clicks = [
        (f"u{user}", f"00{item}X", second)
        for user, item, stars, second in made_ratings()
        if stars > 3
    ]
    shop, model = tmp_path / "shop.csv", tmp_path / "model"
    write(shop, csv_text(clicks, header))
    words = ("--arm", "tiny", "--dataset", shop, "--out", tmp_path / "out")
    files = ("--save", model, "--export", tmp_path / "v")
    done("train", *words, *files)
    exported = read_arrays(tmp_path / "v" / "users.npz")
    seen = np.split(exported["seen_ids"], exported["seen_offsets"][1:-1])
    users = exported["ids"].tolist()
    shown = {
        (user, item) for user, items in zip(users, seen, strict=True) for item in items
    }
    rows = [row for row in clicks if row[:2] in shown] + [("brand new", "001X", 5)]
    path = write(tmp_path / "h.csv", csv_text(rows, header))
    out = ("--out", tmp_path / "e", "--lists", "3")
    done("encode", "--model", model, "--histories", path, *out)
    encoded = read_arrays(tmp_path / "e" / "users.npz")
    place = {user: n for n, user in enumerate(encoded["ids"].tolist())}
    assert set(place) == {*users, "brand new"}
    vectors = encoded["vectors"][[place[user] for user in users]]
    np.testing.assert_allclose(vectors, exported["vectors"], rtol=0, atol=1e-6)
    last = (tmp_path / "e" / "lists.csv").read_text().splitlines()[-1]
    assert last.startswith("brand new,3,00")


def test_bad_input_is_one_line(saved, histories, call, tmp_path):
    before = contents(tmp_path)
    encode = ("encode", "--out", tmp_path / "v", "--histories", histories, "--model")
    refused(call(*encode, tmp_path / "no"), "no is no model folder")
    refused(call(*encode, saved, "--lists", "-1"), "lists is -1")
    refused(call(*encode, saved, "--lists", "129"), "lists of 129 items")
    refused(call(*encode, saved, "--prior", "nan"), "prior is nan")
    refused(call(*encode, saved, "--users", tmp_path / "no.csv"), "can't be read")
    empty = tmp_path / "empty.csv"
    words = ("encode", "--out", tmp_path / "v", "--model", saved, "--histories")
    for text, line in (
        ("user,item\n", "no user"),
        ("user,item\n9,\n", "user 9 has no click on an item of the model"),
        ("user,item\n9,7777\n", "user 9 has no click on an item of the model"),
    ):
        empty.write_text(text)
        refused(call(*words, empty), line)
    empty.unlink()
    start = ("train", "--out", tmp_path / "out", "--start-from")
    refused(call(*start, tmp_path / "no"), "no is no model folder")
    refused(call(*start, saved, "--dim", "4"), "dim is 4", "has 8")
    refused(call(*start, saved, "--arm", "tiny"), "--arm with --start-from")
    twice = (*start, saved, f"--start-from={saved}")
    refused(call(*twice), "--start-from is given twice")
    refused(call(*start, saved, "--model", "popularity"), "popularity")
    save = ("train", "--out", tmp_path / "out", "--save")
    refused(call(*save, histories, "--arm", "tiny"), "model folder", "can't be written")
    refused(call(*save, tmp_path / "m", "--arm", "popularity"), "no parameters to save")
    assert contents(tmp_path) == before


def test_a_run_trained_again_for_its_model_has_all_its_files(
    done, tiny, tmp_path, monkeypatch
):
    words = ("train", "--arm", "tiny+prior", "--out", tiny)
    (folder,) = runs_of(tiny, "train")
    before = set(contents(folder))

    def rounded(*args):
        (done,) = train(*args)
        history = [{**row, "loss": row["loss"] + 1e-4} for row in done.history]
        return [done._replace(history=history)]

    train = runs.train_together
    monkeypatch.setattr(runs, "train_together", rounded)
    for n, more in enumerate(((), ("--prior", "0.5"))):
        done(*words, *more, "--save", tmp_path / f"model{n}")
        assert before <= set(contents(folder))
        called = done(*words)
        assert "nothing to train" in called.out
        assert called.err == ""


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_finished_run_outlives_a_training_for_its_model_that_fails(
    call, done, tiny, tmp_path, monkeypatch, error
):
    words = ("train", "--arm", "tiny+prior", "--out", tiny)
    model = tmp_path / "another"
    before = contents(tiny)

    def train(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_together", train)
        assert call(*words, "--save", model).status in (1, 130)
    after = contents(tiny)
    kept = [name for name in before if not name.endswith("index.csv")]
    assert {name: after.get(name) for name in kept} == {n: before[n] for n in kept}
    assert "nothing to train" in done(*words).out
    done(*words, "--save", model)
    assert load_model(model).config.prior == 1.0


PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def recipe(library):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    (block,) = [block for block in blocks if f"{library}" in block]
    assert len([line for line in block.splitlines() if line]) <= 11  # ten and NumPy
    return block


@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_a_recipe_has_ten_lines(library):
    compile(recipe(library), library, "exec")


@pytest.mark.slow
@pytest.mark.parametrize(("prior", "fewest"), [("0", "0"), ("0.8", "0"), ("-1", "9")])
@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_a_library_finds_the_lists(
    library, prior, fewest, saved, done, tmp_path, monkeypatch
):
    histories = tmp_path / "h.csv"
    draw = np.random.default_rng(0)
    rows = [
        f"{user},{item}"
        for user in range(900, 930)
        for item in draw.choice(np.arange(1, 100), size=1 + user % 7, replace=False)
    ]
    histories.write_text("\n".join(["user,item", *rows, ""]))
    words = ("--histories", histories, "--out", tmp_path / "vectors")
    served = ("--prior", prior, "--min-clicks", fewest)
    done("encode", "--model", saved, *words, *served)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(recipe(library), names)
    given = {"prior": float(prior), "min_clicks": int(fewest)}
    expected = load_model(saved).lists(histories, k=20, **given).items
    same = [len(set(a) & set(b)) for a, b in zip(names["lists"], expected, strict=True)]
    assert min(len(one) for one in names["lists"]) == 20
    assert np.mean(same) > 19.5  # the index may be approximate
