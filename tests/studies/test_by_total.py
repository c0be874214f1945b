"""The users judged, the chosen epoch, and verdicts that follow the records."""

import dataclasses

import numpy as np
import pytest

from experiments.inputs import fold_of, prepared_run, study_split_fields
from experiments.serve import clicked_logits, drawn_clicks, metric_means, serve
from experiments.studies.by_total import (
    TOTALS,
    by_epoch,
    fitted_total,
    judged_by_test,
    means_by_total,
    of_users,
)
from experiments.study import StudyOptions
from research.config import Config
from research.prepare import prepare
from research.train.loop import train
from tests.studies.tastes import small_config, write_tastes


def test_a_popularity_prior_raises_recall_of_the_model_without_log_q(tmp_path):
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.1)
    curves = by_epoch(config, None, every=2)
    none, full = (TOTALS.index(total) for total in (0.0, 1.0))
    assert curves["recall"].shape == (2, len(TOTALS))
    gain = curves["recall"][:, full] / curves["recall"][:, none]
    assert gain[0] > 1.2  # 1.36 to 1.40 over seeds; later, 1.16 to 1.51
    assert (gain > 1.0).all()
    (_, total), (_, there) = curves["calibrated"], curves["recall_calibrated"]
    assert 0.5 < total < 2.0
    below, above = int(total // 0.2), int(total // 0.2) + 1  # of TOTALS
    near = curves["recall"][1, [below, above]]
    assert near.min() - 0.01 < there < near.max() + 0.01


@pytest.mark.slow
def test_a_total_of_one_is_no_prior_for_a_model_with_log_q_in_the_loss(tmp_path):
    draw = np.random.default_rng(0)
    items = 2 * draw.choice(75, (100, 25), p=np.arange(1, 76) / 2850)
    items[::2] += 1  # half of the users click odd items
    rows = [
        f"u{user},i{item}" for user, of_user in enumerate(items) for item in of_user
    ]
    path = tmp_path / "clicks.csv"
    path.write_text("\n".join(["user,item", *dict.fromkeys(rows)]) + "\n")
    config = Config(dataset=str(path), split="random", batch=64, epochs=4, logq=1.0)
    config = dataclasses.replace(config, left_out="fitted", learning_rate=0.01)
    curves = by_epoch(config, None, every=4)
    choice = prepared_run(dataclasses.replace(config, fit_on="train"))
    done = train(choice.config, choice.fold)
    lists = dataclasses.replace(
        config, fit_on="train-only", left_out="train+validation"
    )
    test = prepare(lists, of_users(fold_of(lists), choice.fold.evaluated))
    for run, found in (
        (choice, curves["validation"][0]),
        (test, curves["recall"][0, TOTALS.index(1.0)]),
    ):
        scorer = serve(run, done.user_vectors, done.item_vectors)
        assert metric_means(run, scorer, ["recall"])[0] == pytest.approx(found)
    assert len(np.unique(curves["recall"][0])) > 2  # other totals have other lists


def test_a_phase_of_some_users_keeps_what_is_held_out_and_left_out_of_theirs():
    config = Config(fit_on="train-only", left_out="train+validation")
    fold = fold_of(config)
    some = fold.evaluated[3::7]
    part = of_users(fold, some)
    assert np.array_equal(np.unique(part.held_user), some)
    offsets, items = part.removed
    whole_offsets, whole_items = fold.removed
    for row, user in enumerate(some):
        held = fold.held_item[fold.held_user == user]
        assert np.array_equal(part.held_item[part.held_user == user], held)
        at = int(np.searchsorted(fold.evaluated, user))
        left_out = whole_items[whole_offsets[at] : whole_offsets[at + 1]]
        assert np.array_equal(items[offsets[row] : offsets[row + 1]], left_out)
    plain = fold_of(dataclasses.replace(config, left_out="fitted"))
    assert of_users(plain, some).removed is None


def test_users_without_a_test_item_calibrate_but_do_not_judge(tmp_path):
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.2)
    users = fold_of(dataclasses.replace(config, fit_on="train")).evaluated
    mine, test = judged_by_test(config, users, None)
    assert 0 < mine.sum() < len(mine)
    assert np.array_equal(test.fold.evaluated, users[mine])
    assert np.array_equal(np.unique(test.fold.held_user), users[mine])
    assert np.isfinite(by_epoch(config, None, every=4)["recall"]).all()


def test_clicks_that_fit_no_scale_are_not_a_number():
    run = prepared_run(Config(fit_on="train"))
    fold = run.fold
    against = np.zeros((len(fold.evaluated), fold.fitted.n_items), np.float32)
    rows = np.searchsorted(fold.evaluated, fold.held_user)
    against[rows, fold.held_item] = -1.0  # each clicked item scores lowest
    vectors = against, np.eye(fold.fitted.n_items, dtype=np.float32)
    assert np.isnan(fitted_total(run, vectors, 200)).all()
    assert np.isnan(means_by_total(run, vectors, [np.nan, 1.0])).tolist() == [
        [True, False]
    ]


def test_what_is_in_the_loss_counts_for_the_calibrated_total():
    """The clicks give the same vectors the same prior, whatever was in their loss."""
    runs = [prepared_run(Config(fit_on="train", logq=logq)) for logq in (0.0, 0.75)]
    fold, draw = runs[0].fold, np.random.default_rng(0)
    scores = draw.normal(size=(len(fold.evaluated), fold.fitted.n_items))
    scores[np.searchsorted(fold.evaluated, fold.held_user), fold.held_item] += 1.0
    vectors = scores.astype(np.float32), np.eye(fold.fitted.n_items, dtype=np.float32)
    (none, scale), (some, other) = (fitted_total(run, vectors, 300) for run in runs)
    assert scale == other > 0
    assert some - none == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), {"split": "random"}),
        (("train", "test"), {"split": "given", "validation_share": 0.1}),
        (("train", "validation", "test"), {"split": "given"}),
    ],
)
def test_ones_own_data_is_split_as_suits_it(parts, expected, tmp_path):
    rows = [f"u{n % 9},i{n // 9}" for n in range(90)]
    head = "user,item" + (",part" if parts else "")
    of_row = [f",{parts[n % len(parts)]}" if parts else "" for n in range(90)]
    path = tmp_path / "shop.csv"
    lines = [row + part for row, part in zip(rows, of_row, strict=True)]
    path.write_text("\n".join([head, *lines]) + "\n")
    assert study_split_fields(str(path), None) == expected
    assert study_split_fields("ml-100k", None) == {"split": "ratio"}


def test_a_fit_neither_has_left_out_items_nor_clicks_on_them():
    run = prepared_run(Config(fit_on="train"))
    fold, draw = run.fold, np.random.default_rng(0)
    fewest = int(np.median(fold.fitted.item_counts))
    rare = fold.fitted.item_counts < fewest
    vectors = (
        draw.normal(size=(n, 3)).astype(np.float32)
        for n in (len(fold.evaluated), fold.fitted.n_items)
    )
    users, items = vectors
    drawn = drawn_clicks(fold, 500)
    every, kept = (
        clicked_logits(run, users, items, drawn, min_clicks=n) for n in (0, fewest)
    )
    assert rare[every[3]].any()
    assert np.isneginf(kept[0][:, rare]).all()
    assert not np.isneginf(every[0][:, rare]).all()
    still = ~rare[every[3]]
    np.testing.assert_array_equal(kept[3], every[3][still])
    np.testing.assert_allclose(
        kept[0][:, ~rare], every[0][still][:, ~rare], rtol=1e-5, atol=1e-5
    )
