"""Exported vectors: what a nearest-neighbour library finds in them are the lists."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from experiments.arms import arm
from experiments.commands import export as module
from experiments.commands.export import FILES, exported
from experiments.loaded import prepared_run
from experiments.serve import serve
from research.evaluate.top_k import rank_scores, seen_items_of
from research.serving import Serving
from research.train.loop import train
from tests.evaluate.near import assert_same_lists
from tests.experiments.made import contents, refused, runs_of

K = 20


def loaded(folder):
    """The three files of an export."""
    users, items = (dict(np.load(folder / name)) for name in FILES[:2])
    return users, items, json.loads((folder / FILES[2]).read_text())


def nearest(users, items, metric, k):
    """Raw ids of each user's k nearest items, as scikit-learn finds them."""
    how = "cosine" if metric == "cosine" else lambda a, b: -np.dot(a, b)
    index = NearestNeighbors(n_neighbors=k, metric=how, algorithm="brute")
    found = index.fit(items["vectors"]).kneighbors(users["vectors"])
    return items["ids"][found[1]]


def lists_of(name, folder, data, seen):
    """The run's own lists, with what was seen or without it, and its scores.

    In the order of the catalogue's raw ids, which come third.
    """
    run = prepared_run(arm(name), str(data))
    fold = run.fold
    arrays = np.load(folder / "vectors.npz")
    scorer = serve(
        run, arrays["users"], arrays["items"], serving=Serving.of(run.config)
    )
    offsets, ids = seen_items_of(fold)
    scores = scorer(slice(0, len(fold.evaluated)), slice(0, fold.fitted.n_items)).copy()
    if seen:
        offsets, ids = np.zeros_like(offsets), ids[:0]
    scores[np.repeat(np.arange(len(scores)), np.diff(offsets)), ids] = -np.inf
    found = rank_scores(scorer, fold.fitted.n_items, offsets, ids)
    return found[:, :K], scores, fold.fitted.items.id


@pytest.mark.parametrize("name", ["tiny", "tiny+prior", "tiny+lengths"])
def test_a_library_finds_the_runs_lists(name, done, data, tmp_path):
    target = tmp_path / "deep" / "vectors"
    called = done("train", "--arm", name, "--out", tmp_path, "--export", target)
    assert sorted(contents(target)) == sorted(FILES)
    assert all(f"wrote {target / file}" in called.out for file in FILES)
    users, items, meta = loaded(target)
    assert meta["metric"] == ("cosine" if name == "tiny" else "inner product")
    assert (meta["users"], meta["items"]) == (len(users["ids"]), len(items["ids"]))
    (run,) = runs_of(tmp_path, "train")
    assert meta["run"] == run.name
    every = nearest(users, items, meta["metric"], len(items["ids"]))
    unseen = []
    for row, ids in enumerate(every):
        start, end = users["seen_offsets"][row : row + 2]
        kept = ids[~np.isin(ids, users["seen_ids"][start:end])]
        unseen.append(kept[:K])
    for found, seen in ((every[:, :K], True), (np.array(unseen), False)):
        expected, scores, catalogue = lists_of(name, run, data, seen)
        by_id = np.argsort(catalogue)
        index = by_id[np.searchsorted(catalogue, found, sorter=by_id)]
        np.testing.assert_array_equal(catalogue[index], found)
        assert_same_lists(index, expected, scores)


def test_scores_from_the_two_arrays_are_the_models_pair_by_pair(data):
    """The item vectors are made once, and serve every user."""
    prior = 0.5
    run = prepared_run(dataclasses.replace(arm("tiny"), prior=prior), str(data))
    config, fold = run.config, run.fold
    done = train(config, fold)
    given = done.user_vectors, done.item_vectors, done.temperature
    users, items = exported(config, fold, *given)
    scores = users["vectors"] @ items["vectors"].T / done.temperature
    model, (world, _) = run.model, run.world
    share = np.maximum(np.bincount(fold.fitted.item, minlength=99), 0.3)
    share /= len(fold.fitted.item)
    for row, item in ((0, 3), (7, 0), (20, 50)):
        user = jnp.asarray(fold.evaluated[row : row + 1], jnp.int32)
        end = world.offsets[user + 1]
        u = model.serve_users(done.params, world, user, end)[0]
        v = model.serve_items(done.params, world, jnp.array([item], jnp.int32))[0]
        own = float(u @ v) / config.temperature + prior * np.log(share[item])
        assert scores[row, item] == pytest.approx(own, abs=1e-4)
        assert items["ids"][item] == fold.fitted.items.id[item]


def test_an_export_of_a_finished_run_is_whole_or_as_it_was(
    call, done, tiny, tmp_path, monkeypatch
):
    def full(path, value):
        raise OSError(28, "No space left on device")

    words = ("train", "--arm", "tiny", "--out", tiny, "--export")
    assert "nothing to train" in done(*words, tmp_path / "v").out
    first = contents(tmp_path / "v")
    (tmp_path / "v" / "notes.txt").write_text("mine")
    done(*words, tmp_path / "v")
    earlier = contents(tmp_path / "v")
    assert earlier == {**first, "notes.txt": b"mine"}
    monkeypatch.setattr(module, "write_json", full)
    for folder, left in (("v", earlier), ("new", {})):
        called = call(*words, tmp_path / folder)
        assert called.status == 2
        assert "No space left on device" in called.err
        assert contents(tmp_path / folder) == left


def test_what_cannot_be_exported_is_refused_before_training(call, tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    words = ("train", "--out", tmp_path / "out", "--arm")
    for there in (file, file / "below"):
        called = call(*words, "tiny", "--export", there)
        refused(called, "export folder", str(there), "can't be written")
    called = call(*words, "popularity", "--export", tmp_path / "v")
    refused(called, "popularity has no vectors")
    assert contents(tmp_path) == {"file": b"in the way"}
