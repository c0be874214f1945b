"""Runs for a notebook: trained in a cell, loaded from a folder, served anew."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.arms import arm
from experiments.grids import GRIDS
from experiments.loaded import prepared_run
from experiments.looks import validation
from experiments.notebook import calibration_of, compare, load_run, with_prior
from experiments.output.seals import read_metrics
from experiments.serve import calibrated, score, serve
from research.config import Config
from research.evaluate.metrics import summary
from research.positives import log_share
from research.report.figures import history_frame
from research.report.lists import user_list
from research.report.tables import table
from research.serving import Serving
from research.types import InputError


@pytest.fixture
def trained(data):
    configs = {"tiny": arm("tiny"), "popularity": arm("popularity")}
    return compare(configs, data_dir=str(data))


def test_a_result_keeps_its_curve_vectors_and_lists(trained):
    towers, baseline = trained
    served, fold = towers.served, towers.served.fold
    assert towers.history["epoch"] == [1.0, 2.0]
    assert towers.history["loss"][1] < towers.history["loss"][0]
    assert served.users.shape == (len(fold.evaluated), 8)
    assert served.items.shape == (fold.fitted.n_items, 8)
    scores = served.users[0] @ served.items.T
    seen = fold.fitted.item[: fold.fitted.offsets[1]]
    scores[seen] = -np.inf
    assert served.lists[0, 0] == scores.argmax()
    assert baseline.history is None
    assert baseline.served.users is None
    assert baseline.served.lists.shape == served.lists.shape
    user = int(fold.fitted.users.id[fold.evaluated[0]])
    assert len(user_list(baseline, user)) == 20


def test_swept_values_are_trained_in_every_combination(data):
    swept = {"temperature": (0.1, 0.5), "logq": (0, 1)}
    rows = compare({"tiny": arm("tiny")}, data_dir=str(data), swept=swept)
    assert [row.swept for row in rows] == [
        {"temperature": t, "logq": q} for t in (0.1, 0.5) for q in (0, 1)
    ]
    assert rows[1].served.run.config.logq == 1.0
    frame = history_frame(rows)
    assert frame.groupby(["temperature", "logq"]).loss.first().nunique() == 4
    with pytest.raises(InputError, match="unknown field 'temprature'"):
        compare({"tiny": arm("tiny")}, swept={"temprature": (1,)})


def judged(config, data, users, items):
    run = prepared_run(config, str(data))
    return run, validation(run)(users, items)


def test_epochs_can_be_judged_with_the_prior_that_validation_clicks_give(data):
    """Vectors that know the clicks but no popularity, with noise of rare items."""
    config = Config(fit_on="train", evaluate_every=1, evaluate_prior="calibrated")
    fold = prepared_run(config, str(data)).fold
    rng = np.random.default_rng(0)
    taste = np.zeros((len(fold.evaluated), fold.fitted.n_items))
    rows = np.searchsorted(fold.evaluated, fold.held_user)
    taste[rows, fold.held_item] = 0.05
    users = np.float32(taste + 0.1 * rng.normal(size=taste.shape))
    items = np.eye(taste.shape[1], dtype=np.float32)
    run, found = judged(config, data, users, items)
    plain_config = dataclasses.replace(config, evaluate_prior="none")
    _, plain = judged(plain_config, data, users, items)
    prior = calibrated(run, users, items).by_rule(1.0).prior
    assert prior > 0
    for numbers, alpha in ((found, prior), (plain, 0.0)):
        record = score(run, serve(run, users, items, serving=Serving(alpha)))
        wanted = summary(record)
        for name in ("ndcg", "recall", "coverage"):
            assert numbers[f"{name}@20"] == wanted[name][20]
    assert found["ndcg@20"] > plain["ndcg@20"]


@pytest.mark.parametrize("name", ["tiny+logq", "tiny+prior", "popularity"])
def test_a_loaded_run_is_the_one_that_was_trained(made_few, data, name):
    loaded = load_run(made_few, "few", name, seed=1, data_dir=str(data))
    rows = compare({name: arm(name)}, seeds=2, data_dir=str(data))
    assert (loaded.arm, loaded.swept, loaded.seed) == (name, {}, 1)
    np.testing.assert_array_equal(loaded.served.lists, rows[1].served.lists)
    np.testing.assert_array_equal(loaded.record.rank, rows[1].record.rank)
    if name != "popularity":
        np.testing.assert_allclose(
            loaded.history["loss"], rows[1].history["loss"], rtol=1e-6
        )


def test_a_swept_run_is_loaded_by_its_values(done, data, tmp_path):
    done("run", "warm", "--out", tmp_path, "--seeds", 1)
    given = tmp_path, "warm", "tiny"
    loaded = load_run(*given, swept={"temperature": 0.05}, data_dir=str(data))
    assert loaded.swept == {"temperature": 0.05}
    assert loaded.served.run.config.temperature == 0.05
    with pytest.raises(InputError, match=r"3 runs of tiny, seed 0, .* choose one of"):
        load_run(*given, data_dir=str(data))
    with pytest.raises(InputError, match="0 runs of tiny"):
        load_run(*given, swept={"temperature": 7.0}, data_dir=str(data))


def test_what_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="experiments run few --dataset ml-100k"):
        load_run(tmp_path, "few", "tiny", data_dir=str(data))
    with pytest.raises(InputError, match="unknown grid 'fwe'"):
        load_run(tmp_path, "fwe", "tiny")
    with pytest.raises(InputError, match="unknown arm of grid few 'mixed'"):
        load_run(tmp_path, "few", "mixed")
    assert not list(tmp_path.glob("runs"))
    assert "few" in GRIDS


def test_a_prior_is_added_without_training(trained):
    towers, baseline = trained
    lifted = with_prior(towers, 0.5)
    assert lifted.swept == {"prior": 0.5}
    served, fold = lifted.served, lifted.served.fold
    bias = 0.5 * log_share(fold.fitted.item_counts)
    scores = served.users @ served.items.T / served.temperature + bias
    first = served.lists[:, 0]
    for row in range(len(scores)):
        user = fold.evaluated[row]
        offsets = fold.fitted.offsets[user : user + 2]
        scores[row, fold.fitted.item[slice(*offsets)]] = -np.inf
    rows = np.arange(len(scores))
    np.testing.assert_allclose(scores[rows, first], scores.max(axis=1), rtol=1e-5)
    shown = [r.record.columns["train_count"].mean() for r in (towers, lifted)]
    assert shown[1] > shown[0]
    again = with_prior(lifted, 0.0)  # from the model, not on top of the last prior
    np.testing.assert_array_equal(again.served.lists, towers.served.lists)
    with pytest.raises(InputError, match="popularity: it holds no vectors"):
        with_prior(baseline, 1.0)
    with pytest.raises(InputError, match="exposure needs a column impressions"):
        with_prior(towers, 1.0, exposure=1.0)


@pytest.fixture
def watched(data):
    config = dataclasses.replace(arm("tiny"), fit_on="train", learning_rate=0.003)
    return compare({"tiny": config}, data_dir=str(data))[0]


def test_scores_are_calibrated_on_the_validation_clicks(watched):
    """Vectors that say more than they know, and those clicks drawn as they say."""
    served, draw = watched.served, np.random.default_rng(0)
    fold = served.fold
    log_q = log_share(fold.fitted.item_counts)
    logits = served.users @ served.items.T / served.temperature
    keys = 0.5 * logits + 1.2 * log_q
    for row, user in enumerate(fold.evaluated):
        offsets = fold.fitted.offsets[user : user + 2]
        keys[row, fold.fitted.item[slice(*offsets)]] = -np.inf
    rows = np.repeat(np.arange(len(keys)), 200)  # so many that the draw is clear
    items = (keys[rows] + draw.gumbel(size=(len(rows), keys.shape[1]))).argmax(axis=1)
    held = fold._replace(held_user=fold.evaluated[rows], held_item=items)
    run = dataclasses.replace(served.run, task=served.run.task._replace(fold=held))
    there = watched._replace(served=dataclasses.replace(served, run=run))
    found = calibration_of(there, clicks=len(rows))
    assert found == pytest.approx((0.5, 1.2), abs=0.15)
    near = calibration_of(there, clicks=len(rows), places=keys.shape[1] // 2)
    assert near != found
    assert near == pytest.approx((0.5, 1.2), abs=0.3)
    some = calibration_of(there, clicks=1000)
    assert some != found
    assert some == pytest.approx((0.5, 1.2), abs=0.5)


def test_what_is_judged_by_the_test_part_is_not_calibrated(trained, watched):
    assert calibration_of(watched).scale > 0
    towers, baseline = trained
    with pytest.raises(InputError, match="tiny: it is judged by the test part"):
        calibration_of(towers)
    with pytest.raises(InputError, match="popularity: it holds no vectors"):
        calibration_of(baseline)
    with pytest.raises(InputError, match="needs clicks"):
        calibration_of(watched, clicks=0)


def test_a_bad_run_is_refused_before_the_first_is_trained(data, capsys):
    tiny = arm("tiny")
    for configs, changes, reason in (
        (
            {"a": tiny, "b": dataclasses.replace(tiny, temperature=0.0)},
            {},
            "temperature",
        ),
        ({"a": tiny, "b": "tiny"}, {}, "b is 'tiny': it must be a Config"),
        ({"a": tiny}, {"seeds": 0}, "seeds is 0"),
        ({"a": tiny}, {"swept": {"loss": ("bpr", "hinge")}}, "must be several numbers"),
        ({"a": tiny}, {"swept": {"epochs": (1, 2.5)}}, "epochs is 2.5"),
    ):
        with pytest.raises(InputError, match=reason):
            compare(configs, data_dir=str(data), **changes)
    assert capsys.readouterr().out == ""


def test_a_prior_that_is_no_number_is_refused(trained):
    for prior, changes, reason in (
        (np.inf, {}, "prior is inf"),
        ([1.0], {}, "it must be a number"),
        (0.0, {"min_clicks": 1.5}, "min_clicks is 1.5"),
        (0.0, {"min_clicks": -1}, "min_clicks is -1"),
    ):
        with pytest.raises(InputError, match=reason):
            with_prior(trained[0], prior, **changes)


def test_runs_that_are_judged_by_other_clicks_have_no_difference(trained, watched):
    frame = table([*trained, watched._replace(arm="other")], "tiny")
    other = frame[frame.arm == "other"]
    assert len(other)
    assert other.delta.isna().all()
    assert other.note.str.contains("judged by other positives").any()


def test_a_cell_and_a_command_give_the_same_numbers(done, data, tmp_path):
    done(
        *("train", "--arm", "tiny", "--loss", "hinge", "--negatives", "uniform:16"),
        *("--temperature", 0.3, "--seed", 1, "--out", tmp_path),
    )
    (found,) = tmp_path.glob("runs/*/train/*/")
    told = read_metrics(found)
    changes = {"loss": "hinge", "negatives": ("uniform:16",), "temperature": 0.3}
    mine = dataclasses.replace(arm("tiny"), **changes, seed=1)
    rows = compare({"mine": mine}, seeds=2, data_dir=str(data))
    first, second = (summary(row.record) for row in rows)
    of_cell = json.loads(json.dumps(second))
    assert of_cell == told
    assert first["recall"] != second["recall"]  # another seed is another run
