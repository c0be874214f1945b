"""Losses at equal budgets: what is drawn, what is chosen, verdicts that follow it."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import experiments.studies.budget as budget
from experiments.studies import STUDIES
from experiments.studies.budget import (
    LOSSES,
    REFERENCE,
    Size,
    chosen,
    configurations,
    points,
)
from experiments.studies.budget.report import (
    KINDS,
    budget_frame,
    contrasts,
    expected_best,
    trials_frame,
    verdicts,
)
from experiments.study import StudyOptions, report_study
from research.config import Config
from research.losses import hyper_values, start_values
from research.prepare import check_config
from research.report.records import Stored, load_stored, save_stored, study_header
from research.types import InputError
from tests.experiments.made import made_films, made_ratings, made_users, write_100k

NAMES = (REFERENCE, "bpr", "binary-nce", "gbce")
ITEMS = 1000


@pytest.mark.parametrize("loss", LOSSES)
def test_every_configuration_can_be_trained_and_is_within_its_ranges(loss):
    configs = configurations(loss, Config(), 40, ITEMS)
    assert len(set(configs)) == 40
    for config in configs:
        check_config(config)
        assert 0.03 <= config.temperature <= 1
        assert 3e-4 <= config.learning_rate <= 1e-2
        assert config.draws in (8, 64, 512)
        at, own = config.temperature, hyper_values(config)
        assert 0.9 <= own.get("power", 1) <= 1.3
        assert 0.049 <= own.get("margin", 0.5 / at) * at <= 1.01
        assert 0 <= own.get("threshold", 0) * at <= 0.91
        assert 3 <= own.get("negative_weight", 3) <= 1000
        assert 0 <= own.get("calibration", 0) <= 1
        assert config.logq == (1.0 if loss == "binary-nce" else 0.0)
        assert config.expected_count == (loss == "binary-nce")
        if loss in ("binary-nce", "gbce"):
            (start,) = start_values(config).values()
            assert start == pytest.approx(-math.log(ITEMS), rel=1e-2)
    drawn = [float(np.log(c.temperature)) for c in configs]
    assert np.mean(drawn) == pytest.approx(np.log(0.03) / 2, abs=0.5)
    assert {c.draws for c in configs} == {8, 64, 512}


def test_all_losses_have_the_same_points_whatever_their_number():
    assert points(3) == points(16)[:3]
    for loss in LOSSES:
        configs = configurations(loss, Config(), 5, ITEMS)
        at = [(c.temperature, c.learning_rate, c.draws) for c in configs]
        assert at == [tuple(point) for point in points(5)]
        assert configs[:2] == configurations(loss, Config(), 2, ITEMS)
    assert set(itertools.chain(*(losses for _, losses in KINDS.values()))) == {*LOSSES}


def test_the_best_look_of_the_best_trial_is_chosen():
    curves = np.full((2, 3, 4), 0.1)
    curves[0, 2] = (0.2, 0.5, 0.4, 0.5)  # the earlier of equal looks
    curves[1, 0] = np.nan  # diverged
    curves[1, 1, 3] = 0.11
    assert chosen(curves) == [(2, 1), (1, 3)]
    curves[1] = np.nan
    with pytest.raises(InputError, match="every trial of loss 1 diverged"):
        chosen(curves)


def test_the_expected_best_is_the_mean_over_all_choices():
    values = np.array([0.3, 0.1, 0.25, 0.2, 0.05])
    for n in range(1, 6):
        every = [max(some) for some in itertools.combinations(values, n)]
        assert expected_best(values, n) == pytest.approx(np.mean(every))


def stored(
    nce: float = 0.005, gbce: float = 0.003, deep: float = 0.0, noise: float = 1e-3
) -> Stored:
    """Records with these gaps in recall@20, and in recall@100 of both losses."""
    draw = np.random.default_rng(0)
    shape = (len(NAMES), 3, 200)
    users = draw.uniform(0.2, 0.3, 200)
    gaps = {20: (0.0, 0.02, nce, gbce), 100: (0.0, 0.02, deep, deep)}
    arrays = {
        f"{metric}_{k}": users
        + draw.normal(0, noise, shape)
        - np.array(gaps[k if metric == "recall" else 20])[:, None, None]
        for metric, k in (("recall", 20), ("recall", 100), ("ndcg", 20),
                          ("recall_item", 20))
    }  # fmt: skip
    arrays |= {f"random_{name}": np.full((3, 200), 0.01) for name in list(arrays)}
    curves = 0.1 + draw.uniform(0, 0.01, (4, 5, 3))
    curves[0, 1, 2], curves[1, 3] = 0.2, np.nan
    at = points(5)
    arrays |= {
        "curves": curves,
        "validation_item": np.where(np.isnan(curves[..., 0]), np.nan, curves[..., 0]),
        "temperatures": np.array([p.temperature for p in at]),
        "learning_rates": np.array([p.learning_rate for p in at]),
        "draws": np.array([p.draws for p in at]),
        "looks": np.array([2, 4, 6]),
    }
    hyper = {loss: [f"bias={n}" for n in range(5)] for loss in NAMES}
    header = study_header(
        "budget", "made", False, "0" * 64, losses=list(NAMES), items=9, hyper=hyper
    )
    return Stored(header, {}, arrays)


def found(records: Stored) -> list[str]:
    return [row[2] for row in verdicts(contrasts(records))]


def test_records_as_predicted_hold():
    assert found(stored()) == ["holds"] * 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nce": 0.012}, ["fails", "holds", "holds", "holds"]),
        ({"gbce": 0.008}, ["holds", "holds", "fails", "holds"]),
        ({"deep": 0.002}, ["holds", "fails", "holds", "fails"]),
        ({"deep": -0.002}, ["holds", "fails", "holds", "fails"]),
        ({"nce": 0.0102, "noise": 0.1}, ["undecided"] * 4),
    ],
)
def test_a_record_against_the_prediction_changes_its_verdict(changes, expected):
    assert found(stored(**changes)) == expected


def test_one_seed_decides_nothing():
    records, one = stored(), {}
    for name, values in records.arrays.items():
        of_seeds = name.startswith(("recall", "random_recall"))
        one[name] = values[..., :1, :] if of_seeds else values
    assert found(records._replace(arrays=one)) == ["undecided"] * 4


def test_a_gap_is_what_the_softmax_has_more():
    frame = contrasts(stored(nce=0.012))
    row = frame[frame.id == "binary-nce-vs-sampled-softmax-recall-20"].iloc[0]
    assert row.difference == pytest.approx(-0.012, abs=5e-4)
    assert (row.verdict, row.users, row.seeds) == ("worse", 200, 3)
    assert len(frame) == 6
    shown = verdicts(frame)[0][1]
    assert shown.startswith("+0.01")


def test_tables_say_what_was_chosen():
    records = stored()
    frame, trials = budget_frame(records), trials_frame(records)
    assert list(frame.loss) == [*NAMES, "random"]
    best = frame.iloc[0]
    assert (best.epochs, best.hyper) == (6, "bias=1")
    assert best.temperature == points(5)[1].temperature
    assert frame.iloc[-1].recall_20 == pytest.approx(0.01)
    assert trials.groupby("loss").chosen.sum().eq(1).all()
    diverged = trials[(trials.loss == "bpr") & (trials.trial == 3)].iloc[0]
    assert diverged.validation_ndcg_20 == 0
    assert not diverged.chosen


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = stored()
    records.header["dataset"] = "ml-100k"
    path = save_stored(tmp_path / "budget.npz", records.header, records.arrays)
    names = {path.name for path in report_study(STUDIES["budget"], path, tmp_path)}
    ends = {"budget.md", "budget-trials.csv", "budget-contrasts.csv"}
    assert ends | {"budget-tried.png", "budget-forest.png"} <= names
    page = (tmp_path / "tables" / "ml-100k" / "budget.md").read_text()
    assert "Prediction: The gap of a loss" in page


@pytest.mark.slow
def test_from_made_ratings_to_the_page(tmp_path, monkeypatch):
    ratings = made_ratings(items=250, users=60, each=40)
    write_100k(tmp_path, ratings, made_films(250), made_users(60))
    small = Size((REFERENCE, "sigmoid"), trials=2, epochs=2, every=1)
    monkeypatch.setattr(budget, "QUICK", small)
    options = StudyOptions(
        tmp_path / "out", data_dir=str(tmp_path), quick=True, seeds=2, jobs=1
    )
    records = budget.run_budget(options)
    about = load_stored(records)
    assert about.arrays["curves"].shape == (2, 2, 2)
    assert np.isfinite(about.arrays["curves"]).all()
    assert about.arrays["recall_100"].shape[:2] == (2, 2)
    assert about.header["hyper"][REFERENCE] == ["", ""]
    report_study(STUDIES["budget"], records, tmp_path / "out")
    table = tmp_path / "out" / "tables" / "ml-100k" / "budget.csv"
    frame = pd.read_csv(table)
    (trial, look) = chosen(about.arrays["curves"])[1]
    assert frame.epochs[1] == about.arrays["looks"][look]
    assert frame.temperature[1] == points(2)[trial].temperature
    folders = list((tmp_path / "out" / "runs" / "ml-100k" / "budget").iterdir())
    assert len(folders) == 2 * 2 + 3 * 2  # trials, then two losses and random lists
