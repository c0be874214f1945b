"""Trials on validation: the same for every arm, chosen by mean, found again."""

import csv
import dataclasses

import numpy as np
import pytest

from experiments.looks import PRIORS
from experiments.resolve import Cell
from experiments.tuner import (
    OPTIONS,
    TOWERS,
    Trial,
    Values,
    _best,
    _choice,
    _points,
)
from research.config import Config
from research.files import read_json
from research.marks import check_marks
from tests.experiments.made import runs_of


def rows(out, grid="few"):
    with (out / "choices" / "ml-100k" / f"{grid}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trial(ndcg, number=0, seed=0, prior="best"):
    config = Config(fit_on="train", evaluate_every=1, evaluate_prior=prior)
    cell = Cell("in-batch", {}, seed, dataclasses.replace(config, seed=seed))
    values = {"temperature": 0.1 + number}
    return Trial(("in-batch", "{}"), number, values, cell, np.array(ndcg))


def looks(*best):
    """NDCG by epoch and prior: the best prior is the third one."""
    table = np.zeros((len(best), len(PRIORS)))
    table[:, 2] = best
    return table


def test_points_are_those_of_every_arm_and_lie_within_their_ranges():
    first = _points(TOWERS, 8)
    assert first == _points(TOWERS, 8)
    assert first[0] == {}, "the arm's own values"
    assert len({tuple(point.items()) for point in first}) == 8
    assert _points(TOWERS, 16)[:8] == first, "more trials begin with the fewer"
    for point in first[1:]:
        check_marks(dataclasses.replace(Config(), **point), Config)
        for name, value in point.items():
            assert TOWERS[name].low <= value <= TOWERS[name].high
    temperatures = [point["temperature"] for point in _points(TOWERS, 33)[1:]]
    assert min(temperatures) < 0.05 < 0.4 < max(temperatures)


@pytest.mark.parametrize("model", OPTIONS)
def test_points_of_a_baseline_are_options_that_it_has(model):
    from research.baselines import option_values

    for point in _points(OPTIONS[model], 9):
        words = tuple(f"{name}={value:g}" for name, value in point.items())
        option_values(model, words)


def test_a_value_near_an_end_of_its_range_is_told():
    values = Values(0.01, 1.0)
    assert [values.near_end(v) for v in (0.011, 0.1, 0.9)] == [True, False, True]


def test_the_best_mean_over_seeds_decides_length_and_prior():
    """A trial that is best with one seed alone loses to one that is good with three."""
    lucky = [trial(looks(0.1, 0.9)), trial(looks(0.1, 0.2), 0, 1)]
    steady = [trial(looks(0.3, 0.5, 0.7), 1), trial(looks(0.3, 0.8), 1, 1)]
    once = [trial(looks(2.0), 2)]
    found = _choice([lucky, steady, once])
    assert found.changes == {"temperature": 1.1, "epochs": 2, "prior": PRIORS[2]}
    assert found.ndcg == pytest.approx(0.65)
    assert (found.number, found.trials, found.seeds) == (1, 3, 2)


def test_a_failed_trial_is_below_all_others():
    assert _best([trial([[np.nan]])]) == -np.inf
    found = _choice([[trial([[np.nan]])], [trial(looks(0.1), 1)]])
    assert found.number == 1


def test_an_arm_as_trained_has_no_prior_chosen():
    found = _choice([[trial([[0.1], [0.3], [0.2]], prior="none")]])
    assert found.changes == {"temperature": 0.1, "epochs": 2}


def test_a_grid_is_tuned_once_and_its_runs_have_what_was_chosen(call, tmp_path):
    words = ("run", "few", "--tune", 2, "--seeds", 1)
    called = call(*words, "--out", tmp_path)
    assert called.status == 0, called
    found = rows(tmp_path)
    assert {row["arm"] for row in found} == {"popularity", "tiny", "tiny+prior",
                                             "tiny+logq"}  # fmt: skip
    chosen = {row["arm"]: row for row in found if row["chosen"] == "1"}
    for folder in runs_of(tmp_path, "few"):
        config = read_json(folder / "config.json")
        for row in (row for row in chosen.values() if row["epochs"]):
            if folder.name.startswith(f"{row['arm']}-seed"):
                assert config["epochs"] == int(row["epochs"]) <= 2
                assert config["fit_on"] == "train+validation"
    trials = [read_json(f / "config.json") for f in runs_of(tmp_path, "few-trials")]
    assert {config["fit_on"] for config in trials} == {"train"}
    before = (tmp_path / "choices" / "ml-100k" / "few.csv").read_bytes()
    again = call(*words, "--out", tmp_path)
    assert "nothing to train" in again.out
    assert "trials" not in again.err
    assert (tmp_path / "choices" / "ml-100k" / "few.csv").read_bytes() == before


def test_choices_of_another_config_are_not_used(call, tmp_path):
    base = ("run", "few", "--arms", "tiny", "--seeds", 1, "--out", tmp_path)
    assert call(*base, "--tune", 1).status == 0
    (first,) = rows(tmp_path)
    assert call(*base, "--tune", 1, "--set", "table_rate=2").status == 0
    (second,) = rows(tmp_path)
    assert first["config"] != second["config"]
