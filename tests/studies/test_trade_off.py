"""What is read off curves of recall by coverage, by records that are made and a run."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.trade_off as trade_off
from experiments.kit import Data
from experiments.loaded import fold_of, prepared_run
from experiments.serve import clicked_logits, drawn_clicks, metric_means, serve
from experiments.study import StudyOptions
from research.config import Config
from research.evaluate.record import held_out
from research.evaluate.top_k import seen_items_of
from research.prepare import prepare
from research.report.records import Stored, load_stored, study_header
from research.train.loop import train
from tests.studies.made import page_of, small_arm, write_tastes

ARMS = "in-batch", "in-batch+logq"
HEIGHT = (0.24, 0.26, 0.30, 0.28, 0.24)  # of each temperature's curve


def made(height=HEIGHT, apart=0.02, more=0.0, calibrated=0.3, seeds=3):
    """Records of one arm, whose curves are straight but for what a test bends.

    Coverage falls with the total from 0.9 by 0.2 for one, and by apart for each further
    temperature; recall falls by 0.1 for one of coverage from the curve's height; clicks
    rise with the total, and with the temperature by more times the fall of coverage.
    """
    totals = np.array(trade_off.TOTALS)
    number = np.arange(len(trade_off.TEMPERATURES))[:, None, None]
    shape = len(trade_off.TEMPERATURES), seeds, len(totals)
    coverage = np.broadcast_to(0.9 - 0.2 * totals - apart * number, shape)
    arrays = {
        "coverage": coverage,
        "recall": np.array(height)[:, None, None] - 0.1 * coverage,
        "train_count": np.broadcast_to(100 + 20 * totals + 100 * more * number, shape),
        "validation": np.broadcast_to(np.array(height)[:, None], shape[:2]),
        "calibrated": np.full(shape[:2], 1.2),
    }
    for name in trade_off.NUMBERS:
        arrays[f"{name}_calibrated"] = np.full(shape[:2], calibrated)
    arrays = {name: values[None] for name, values in arrays.items()}
    arrays |= {"temperatures": np.array(trade_off.TEMPERATURES), "totals": totals}
    return Stored(
        study_header("trade-off", "made", False, arms=["in-batch"]), {}, arrays
    )


def read(stored):
    return Data.of(stored, trade_off.AXES)


def verdicts(stored):
    return trade_off.verdicts(read(stored))


def changed(stored, **arrays):
    return stored._replace(arrays={**stored.arrays, **arrays})


def both(one, other):
    """Records of two arms, from those of one each."""
    arrays = {
        name: np.concatenate([values, other.arrays[name]])
        if values.ndim > 1
        else values
        for name, values in one.arrays.items()
    }
    return Stored(one.header | {"arms": [*ARMS]}, {}, arrays)


def test_curves_are_compared_at_the_same_coverage_and_at_equal_popularity():
    here = read(made(apart=0.03, more=0.05)).at(arm="in-batch")
    assert trade_off.chosen(here) == 0.2
    # On parallel curves the difference is that of their heights.
    expected = np.tile(0.30 - np.array(HEIGHT), (3, 1)).T
    found = trade_off.gain(here, here).along("temperature", "seed")
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # 5 clicks more a temperature are a quarter of a total, which is 0.05 of coverage.
    clicks = here.at(temperature=0.2, total=1.0)["train_count"]
    equal = trade_off.where(here, "coverage", "train_count", clicks)
    at_chosen = 0.9 - 0.2 - 0.03 * 2
    expected = at_chosen + (0.05 - 0.03) * (np.arange(5) - 2)
    found = equal.along("temperature", "seed")[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_totals_below_that_of_greatest_coverage_are_left_out():
    stored = made(apart=0.03)
    coverage, recall = (stored.arrays[n].copy() for n in ("coverage", "recall"))
    coverage[..., 0] = 0.69  # near what the first has at a total of 1
    recall[..., 0] = 0.0
    gains = [
        trade_off.gain(here, here).values
        for records in (changed(stored, coverage=coverage, recall=recall), stored)
        for here in [read(records).at(arm="in-batch")]
    ]
    np.testing.assert_allclose(*gains, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        # All popularity: 4 temperatures on, coverage is 0.12 lower at 12 clicks more.
        ({"apart": 0.03, "more": 0.03}, set()),
        ({"apart": 0.02, "more": 0.02}, {0}),
        ({"apart": 0.03}, {1}),
        ({"apart": 0.03, "more": 0.03, "height": (0.31, 0.2, 0.3, 0.2, 0.2)}, set()),
        # The chosen one has 0.8 to 1.4, the others 0.7, 0.95, 1.45 and 1.7 at a total
        # of 1.
        ({"apart": -0.25, "more": -0.25}, {0, 1, 3, 5, 6}),
    ],
)
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(made(**changes))
    assert len(rows) == 3 + len(trade_off.TEMPERATURES) - 1
    assert {n for n, row in enumerate(rows) if row[2] == "fails"} == fails


def test_the_range_of_recall_with_the_calibrated_total_is_compared():
    stored = made(apart=0.03, more=0.03)
    assert verdicts(stored)[2][2] == "holds"  # all alike
    wide = changed(stored, recall_calibrated=stored.arrays["recall"][..., 5])
    assert verdicts(wide)[2][2] == "fails"


def test_another_temperature_that_has_more_recall_is_found():
    stored = made(apart=0.03, more=0.03)
    better = stored.arrays["recall"].copy()
    better[:, 4] += 0.1
    stored = changed(stored, recall=better)
    assert [row[2] for row in verdicts(stored)[3:]] == [*["holds"] * 3, "fails"]
    frame = trade_off.trade_off_frame(read(stored))
    assert frame.gain_in_batch.tolist() == frame.gain.tolist()
    assert frame.temperature[frame.chosen].tolist() == [0.2]


def test_the_other_arm_is_compared_with_the_one_chosen_for_in_batch():
    one, other = made(apart=0.03, more=0.03), made((0.2, 0.2, 0.299, 0.2, 0.301))
    records = both(one, other)
    rows = verdicts(records)[-7:]
    assert [row[2] for row in rows] == [*["holds"] * 6, "fails"]  # as much coverage
    assert rows[4][1].startswith("-0.001")  # a height of 0.301 beside 0.3
    records.arrays["recall"][1] += 0.01
    records.arrays["recall_calibrated"][1] -= 0.01
    records.arrays["coverage_calibrated"][1] += 0.1
    found = [row[2] for row in verdicts(records)[-7:]]
    assert found == [*("holds", "holds", "fails", "holds", "fails"), "fails", "holds"]


def test_what_calibration_and_another_arm_add_is_paired_by_seed():
    stored = both(made(calibrated=0.3), made(calibrated=0.3))
    arrays = stored.arrays
    seeds = np.array([-0.2, 0.0, 0.2])  # both sides of a difference have them
    for name in ("recall", "coverage"):
        arrays[f"{name}_calibrated"] += seeds
    arrays["recall"] += seeds[:, None]
    arrays["recall_calibrated"][1] += 0.01
    arrays["coverage_calibrated"][1] += 0.1
    frame = trade_off.trade_off_frame(read(stored))
    one, other = (frame[frame.arm == name] for name in ARMS)
    # With a total of 1: the height less a tenth of the coverage, 0.7 to 0.62.
    adds = 0.3 - (np.array(HEIGHT) - 0.1 * (0.7 - 0.02 * np.arange(5)))
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(one[f"recall_added{end}"], adds, atol=1e-9)
        np.testing.assert_allclose(other[f"recall_added{end}"], adds + 0.01, atol=1e-9)
        np.testing.assert_allclose(one[f"coverage_added{end}"], 0, atol=1e-9)
        np.testing.assert_allclose(other[f"coverage_added{end}"], 0.1, atol=1e-9)


def test_a_coverage_that_no_total_has_in_some_seeds_fails_and_says_in_how_many():
    stored = made(apart=0.03, more=0.03)
    coverage = stored.arrays["coverage"].copy()
    coverage[0, 0, 0] += 0.5  # beyond what the chosen temperature has
    coverage[0, 4, :] -= 0.5
    rows = verdicts(changed(stored, coverage=coverage))
    assert rows[3][1:] == ["no value in 1 of 3 seeds", "fails"]
    assert rows[6][1:] == ["no value in 3 of 3 seeds", "fails"]


@pytest.mark.slow
def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(StudyOptions, "arm", small_arm)
    made_set = str(write_tastes(tmp_path / "made"))
    options = StudyOptions(tmp_path, dataset=made_set, quick=True, arms=ARMS[1:])
    path = trade_off.run_trade_off(options)
    stored = load_stored(path)
    assert stored.header["arms"] == ["in-batch+logq"]
    assert stored.arrays["recall"].shape == (1, 2, 1, len(trade_off.TOTALS))
    # At either temperature lists follow popularity the more, the larger the total.
    clicks = stored.arrays["train_count"]
    assert (clicks[..., -1] > clicks[..., 0] + 10).all()
    page_of(path, tmp_path)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    assert "| in-batch | **0.2** | " in page_of(made(), tmp_path)


def small_at(tmp_path, temperature):
    options = StudyOptions(tmp_path, dataset=str(write_tastes(tmp_path / "made")))
    return small_arm(options, "in-batch", temperature=temperature, left_out="fitted")


def test_a_popularity_prior_raises_recall_of_the_model_without_log_q(tmp_path):
    config = small_at(tmp_path, 0.1)
    found = trade_off.by_total(config, None)
    none, full = (trade_off.TOTALS.index(total) for total in (0.0, 1.0))
    assert found["recall"].shape == (len(trade_off.TOTALS),)
    assert found["recall"][full] > found["recall"][none]
    total, there = found["calibrated"], found["recall_calibrated"]
    assert 0.5 < total < 2.0
    below, above = int(total // 0.2), int(total // 0.2) + 1  # of TOTALS
    near = found["recall"][[below, above]]
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
    found = trade_off.by_total(config, None)
    choice = prepared_run(dataclasses.replace(config, fit_on="train"))
    done = train(choice.config, choice.fold)
    lists = dataclasses.replace(
        config, fit_on="train-only", left_out="train+validation"
    )
    test = prepare(lists, trade_off.of_users(fold_of(lists), choice.fold.evaluated))
    for run, number in (
        (choice, found["validation"]),
        (test, found["recall"][trade_off.TOTALS.index(1.0)]),
    ):
        scorer = serve(run, done.user_vectors, done.item_vectors)
        assert metric_means(run, scorer, ["recall"])[0] == pytest.approx(number)
    assert len(np.unique(found["recall"])) > 2  # other totals have other lists


def test_a_phase_of_some_users_is_judged_by_them_and_leaves_out_what_was_theirs():
    config = Config(fit_on="train-only", left_out="train+validation")
    for left_out in ("train+validation", "fitted"):
        fold = fold_of(dataclasses.replace(config, left_out=left_out))
        some = fold.evaluated[3::7]
        part = trade_off.of_users(fold, some)
        lists = np.full((len(some), 100), fold.fitted.n_items)
        row, item, _ = held_out(part, lists)
        (offsets, items), whole = seen_items_of(part), seen_items_of(fold)
        for n, user in enumerate(some):
            held = fold.held_item[fold.held_user == user]
            assert np.array_equal(item[row == n], np.sort(held))
            at = int(np.searchsorted(fold.evaluated, user))
            left_out = whole[1][whole[0][at] : whole[0][at + 1]]
            assert np.array_equal(items[offsets[n] : offsets[n + 1]], left_out)


def test_users_without_a_test_item_calibrate_but_do_not_judge(tmp_path):
    config = small_at(tmp_path, 0.2)
    users = fold_of(dataclasses.replace(config, fit_on="train")).evaluated
    mine, test = trade_off.judged_by_test(config, users, None)
    assert 0 < mine.sum() < len(mine)
    assert np.array_equal(test.fold.evaluated, users[mine])
    assert np.isfinite(trade_off.by_total(config, None)["recall"]).all()


def test_clicks_that_fit_no_scale_are_not_a_number():
    run = prepared_run(Config(fit_on="train"))
    fold = run.fold
    against = np.zeros((len(fold.evaluated), fold.fitted.n_items), np.float32)
    rows = np.searchsorted(fold.evaluated, fold.held_user)
    against[rows, fold.held_item] = -1.0  # each clicked item scores lowest
    vectors = against, np.eye(fold.fitted.n_items, dtype=np.float32)
    assert np.isnan(trade_off.fitted_total(run, vectors))
    assert np.isnan(trade_off.means_by_total(run, vectors, [np.nan, 1.0])).tolist() == [
        [True, False]
    ]


def test_what_is_in_the_loss_counts_for_the_calibrated_total():
    """The clicks give the same vectors the same prior, whatever was in their loss."""
    runs = [prepared_run(Config(fit_on="train", logq=logq)) for logq in (0.0, 0.75)]
    fold, draw = runs[0].fold, np.random.default_rng(0)
    scores = draw.normal(size=(len(fold.evaluated), fold.fitted.n_items))
    scores[np.searchsorted(fold.evaluated, fold.held_user), fold.held_item] += 1.0
    vectors = scores.astype(np.float32), np.eye(fold.fitted.n_items, dtype=np.float32)
    none, some = (trade_off.fitted_total(run, vectors) for run in runs)
    assert some - none == pytest.approx(0.75)


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
