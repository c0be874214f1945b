"""Which clicks set the total, by records that are made and a run on both splits."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.calibrated_shift as calibrated_shift
from experiments.inputs import fold_of, prepared_run
from experiments.runs import rank, serve
from experiments.studies import STUDIES
from experiments.studies.calibrated_shift import (
    CLICKS,
    TEMPERATURES,
    TOTALS,
    run_calibrated_shift,
    swept_totals,
)
from experiments.studies.calibrated_shift.report import (
    TOO_MUCH,
    calibrated_shift_frame,
    heading,
    verdicts,
)
from experiments.studies.split import SHIFTED
from experiments.study import StudyOptions
from research.calibration import PLACES
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.report.records import Stored, load_stored, study_header
from research.serving import Serving
from research.train.loop import train
from tests.studies.reported import page_of
from tests.studies.tastes import write_tastes


def made(
    validation=1.2,
    test=(1.2, 0.0),
    best=(1.2, 0.0),
    few=0.0,
    first=(1.2, 0.0),
    sweep=(1.2, 0.0),
    loose=1.0,
    arm="in-batch",
):
    """Records of both splits whose recall falls by a quarter for one of the total.

    With a hundred clicks the total is off by few, by a sweep over them by loose, and by
    0.2 with three hundred.
    """
    seeds = 3
    shape = 2, 1, len(TEMPERATURES), seeds
    place = np.array(best)[:, None, None, None]

    def height(totals):
        return 0.1 * (
            1 - 0.25 * np.abs(totals - place[(...,) + (None,) * (totals.ndim - 4)])
        )

    def by_clicks(totals, off, then=0.0):
        of_clicks = np.array([off, then, 0.0, 0.0])
        totals = np.array(totals)[:, None, None, None, None] + of_clicks
        return np.broadcast_to(totals, (*shape, 4))

    by_test, by_sweep = by_clicks(test, few), by_clicks(sweep, loose, 0.2)
    by_first = by_clicks(first, few)
    by_validation = np.full(shape, validation)
    arrays = {
        "recall": height(np.broadcast_to(np.array(TOTALS), (*shape, len(TOTALS)))),
        "by_validation": by_validation,
        "recall_by_validation": height(by_validation),
        "by_test": by_test,
        "recall_by_test": height(by_test),
        "by_first": by_first,
        "recall_by_first": height(by_first),
        "by_sweep": by_sweep,
        "recall_by_sweep": height(by_sweep),
        "temperatures": np.array(TEMPERATURES),
        "totals": np.array(TOTALS),
        "clicks": np.array(CLICKS),
    }
    swept = {"splits": ["random", "shifted"], "arms": [arm]}
    return Stored(study_header("calibrated-shift", "made", False, **swept), {}, arrays)


def failing(records):
    rows = verdicts(calibrated_shift_frame(records), CLICKS)
    own = 3 if records.header["arms"] == ["in-batch+logq"] else 1
    assert len(rows) == len(TEMPERATURES) * (4 + 3 + len(CLICKS) + 4 + own)
    return {text.split(": ")[1] for text, _, verdict in rows if verdict == "fails"}


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        (
            dict.fromkeys(("test", "best", "first", "sweep"), (1.4, 0.0))
            | {"validation": 1.4},
            set(),
        ),
        (
            {"validation": 0.2},
            {
                "the totals by validation and by test clicks are within 0.2",
                "recall@20 by validation is at most 0.002 below the highest",
                "that by validation is higher by 0.5 or more",
                "recall@20 by validation is at most 0.75 of the highest",
            },
        ),
        (
            {"test": (1.2, 0.6), "few": 0.8, "loose": 1.5},
            {
                "the total by test clicks lies between -0.5 and 0.3",
                "recall@20 by 100 test clicks is at least 0.9 of it",
                *(f"recall@20 by {n} test clicks is at least 0.95 of it"
                  for n in ("300", "1,000", "3,000")),
            },
        ),
        (
            {"test": (1.2, 0.1), "sweep": (1.3, 0.4), "loose": -0.4},
            {
                "recall@20 by a sweep over 3,000 test clicks is at most 0.002 below it",
                "recall@20 by a sweep over 3,000 of them is at least 0.95 of it",
                "by a sweep over 100 it is lower than by their fit",
            },
        ),
        (
            {"first": (1.3, 0.6)},
            {
                "recall@20 by 3,000 among the first places is at most 0.002 below it",
                "recall@20 by 300 among the first places is at least 0.9 of it",
                "recall@20 by 3,000 among the first places is at least 0.95 of it",
                "by 300 among the first places it is higher than by their sweep",
            },
        ),
        (
            {"test": (1.2, -0.15), "first": (1.2, 0.1), "sweep": (1.2, 0.18)}
            | {"arm": "in-batch+logq"},
            {"by a sweep over 1,000 it is higher than by their fit"},
        ),
        (
            {"test": (1.2, -0.15), "first": (1.2, -0.17), "sweep": (1.2, 0.05)}
            | {"arm": "in-batch+logq"},
            {
                "by 1,000 among the first places it is higher than by their fit",
                "the total by 3,000 among the first places is higher by 0.2 or more "
                "than that by their fit",
            },
        ),
    ],
)  # fmt: skip
def test_verdicts_follow_the_records(changes, fails):
    assert failing(made(**changes)) == fails


def test_a_sweep_finds_the_total_with_most_clicks_in_the_first_places(tmp_path):
    """Of an even part it is the one whose recall is highest there."""
    folder = write_tastes(tmp_path / "made", even=True)
    changes = {**calibrated_shift.CHANGES, "batch": 32, "epochs": 3}
    config = Config(
        dataset=str(folder), split="given", fit_on="train-only", logq=0.5, **changes
    )
    run = prepared_run(config)
    fold, done = run.fold, train(config, fold_of(config))
    vectors = done.user_vectors, done.item_vectors
    # Recall is a mean over users, hits a count of clicks: of both the same lists.
    counts = []
    for total in TOTALS:
        scorer = serve(run, *vectors, serving=Serving(total - 0.5))
        lists = rank(run, scorer)[:, :CUTOFF]
        rows = zip(fold.held_user.tolist(), fold.held_item.tolist(), strict=True)
        places = {user: row for row, user in enumerate(fold.evaluated.tolist())}
        counts.append(sum(item in lists[places[user]] for user, item in rows))
    best = np.array(TOTALS)[np.array(counts) == max(counts)]
    assert swept_totals(run, vectors)[-1] == pytest.approx(np.median(best))
    assert max(counts) > counts[TOTALS.index(1.0)]
    assert np.median(best) < 1.0


def test_recall_without_and_with_all_of_log_q_is_that_of_these_totals():
    frame = (
        calibrated_shift_frame(made(best=(1.2, 0.2)))
        .groupby("split")
        .mean(numeric_only=True)
    )
    # A quarter of 0.1 is lost for one of the total.
    assert frame.recall_none.tolist() == pytest.approx([0.07, 0.095])
    assert frame.part_none.tolist() == pytest.approx(
        (frame.recall_none / frame.best).tolist()
    )
    assert frame.part_none_low.notna().all()
    assert frame.recall_one.tolist() == pytest.approx([0.095, 0.08])
    assert frame.highest.tolist() == pytest.approx([1.2, 0.2])
    assert frame.best.tolist() == pytest.approx([0.1, 0.1])


def test_the_heading_goes_by_the_shifted_split_and_claims_only_what_is_clear():
    def said(**changes):
        return heading(calibrated_shift_frame(made(**changes)))

    assert said(validation=1.2, best=(1.2, 0.0)) == TOO_MUCH
    assert said(validation=0.0, best=(1.2, 0.0)) == STUDIES["calibrated-shift"].question
    records = made(validation=1.2, best=(1.2, 0.0))
    records.arrays["by_validation"][1, ..., 0] = -1.2  # of one seed: a wide interval
    unclear = heading(calibrated_shift_frame(records))
    assert unclear == STUDIES["calibrated-shift"].question


def test_records_without_a_way_that_was_added_later_are_reported_without_it(tmp_path):
    records, places = made(first=(1.3, 0.6)), "among the first"
    for name in ("by_first", "recall_by_first"):
        del records.arrays[name]
    rows = verdicts(calibrated_shift_frame(records), CLICKS)
    assert len(rows) == len(TEMPERATURES) * (3 + 3 + len(CLICKS) + 2)
    assert not any(places in text for text, *_ in rows)
    page = page_of(records, tmp_path)
    assert f"by 3,000 {places}" not in page.partition("| split |")[2]


def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    changes = {**calibrated_shift.CHANGES, "batch": 32}
    monkeypatch.setattr(calibrated_shift, "CHANGES", changes)
    write_tastes(tmp_path / f"made{SHIFTED}", even=True)
    dataset = str(write_tastes(tmp_path / "made"))
    options = StudyOptions(tmp_path, dataset=dataset, quick=True, arms=("in-batch",))
    path = run_calibrated_shift(options)
    stored = load_stored(path)
    assert stored.header["splits"] == ["random", "shifted"]
    assert stored.arrays["recall"].shape == (2, 1, 2, 1, len(TOTALS))
    # Clicks on items that are drawn evenly ask for less of log q.
    by_test = stored.arrays["by_test"][..., -1]
    assert (by_test[1] < by_test[0] - 0.3).all()
    assert (by_test[1] < stored.arrays["by_validation"][1] - 0.3).all()
    page_of(path, tmp_path)


def test_one_half_of_the_test_users_sets_the_total_and_the_other_judges(
    tmp_path, monkeypatch
):
    dataset = str(write_tastes(tmp_path / "made", users=200))
    users = {"setting": [], "judging": [], "sweeping": []}

    def fitted(run, vectors, clicks, places=None):
        users["setting"].append((run.config.fit_on, run.fold.evaluated, vectors[0]))
        return 1.0, 1.0

    def swept(run, vectors):
        users["sweeping"].append((run.config.fit_on, run.fold.evaluated, vectors[0]))
        return [0.0] * len(CLICKS)

    def means(run, vectors, totals):
        users["judging"].append((run.config.fit_on, run.fold.evaluated, vectors[0]))
        return np.zeros((1, len(totals)))

    monkeypatch.setattr(calibrated_shift, "fitted_total", fitted)
    monkeypatch.setattr(calibrated_shift, "swept_totals", swept)
    monkeypatch.setattr(calibrated_shift, "means_by_total", means)
    config = Config(dataset=dataset, split="given", validation_share=0.1, epochs=1)
    calibrated_shift.judged_halves(dataclasses.replace(config, batch=32), None)
    validation, *setting = users["setting"]
    assert validation[0] == "train"
    assert len(setting) == 2 * len(CLICKS)  # among all items, and among the first
    ((phase, judging, vectors),) = users["judging"]
    assert phase == setting[0][0] == "train-only"
    assert not np.intersect1d(setting[0][1], judging).size
    every = fold_of(dataclasses.replace(config, fit_on="train-only")).evaluated
    assert np.array_equal(np.union1d(setting[0][1], judging), every)
    assert len(vectors) == len(judging)
    assert len(judging) / len(every) == pytest.approx(0.5, abs=0.1)
    ((phase, sweeping, vectors),) = users["sweeping"]
    assert phase == "train-only"
    assert np.array_equal(sweeping, setting[0][1])
    assert len(vectors) == len(sweeping)


def test_each_recall_is_of_the_total_that_it_is_named_after(monkeypatch):
    def fitted(run, vectors, clicks, places=None):
        return clicks + {"validation": 0.1, "setting": 0.2}[run] + (places or 0), -1.0

    halves = calibrated_shift.Halves(
        *((n, None) for n in ("validation", "setting", "judging"))
    )
    swept = {"setting": [-1.0 - n for n in range(len(CLICKS))]}
    monkeypatch.setattr(calibrated_shift, "trained_halves", lambda *_: halves)
    monkeypatch.setattr(calibrated_shift, "fitted_total", fitted)
    monkeypatch.setattr(calibrated_shift, "swept_totals", lambda run, _: swept[run])
    monkeypatch.setattr(
        calibrated_shift, "means_by_total", lambda run, _, totals: np.array([totals])
    )
    found = calibrated_shift.judged_halves(Config(), None)
    assert found["recall"].tolist() == list(TOTALS)
    for way in ("validation", "test", "first", "sweep"):
        assert np.array_equal(found[f"recall_by_{way}"], found[f"by_{way}"])
    assert found["by_validation"] == CLICKS[-1] + 0.1
    assert np.array_equal(found["by_test"], np.array(CLICKS) + 0.2)
    assert np.array_equal(found["by_first"], found["by_test"] + PLACES)


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = made()
    for name in ("by_test", "recall_by_test"):  # a hundred clicks fit no scale
        records.arrays[name] = records.arrays[name].copy()
        records.arrays[name][1, 0, 0, 0, 0] = np.nan
    page = page_of(records, tmp_path)
    shifted = next(line for line in page.splitlines() if "| shifted | in-batch" in line)
    assert " | - | " in shifted
