"""Trials of the prior: chosen apart from those without one, and served."""

import pandas as pd
import pytest

import experiments.tuned as module
from experiments.grids import GRIDS
from experiments.resolve import expand, how_tuned
from experiments.tuned import FIELDS, chosen
from research.config import Config
from research.report.pages import csv_text
from research.report.records import RunResult
from research.types import InputError
from tests.experiments.made_trials import made_trials


def test_a_prior_that_was_tried_is_chosen_apart_from_the_choice_without_one():
    plain = made_trials(a={0.1: (0.3, 0.1), 0.2: (0.2, 0.4)})
    both = made_trials(a={0.1: (0.1, 0.2), 0.2: (0.4, 0.1)}).assign(prior=0.5)
    both = pd.concat([both, plain.assign(prior=0.0, batch=64.0)])
    assert chosen(plain, "made").prior.isna().all()
    out = chosen(both, "made")
    best = out[out.selector == "ndcg"].set_index("variant")
    assert best.temperature.to_dict() == {
        "prior tuned": 0.2,
        "batch 64 prior tuned": 0.1,
    }
    assert best.prior.tolist() == [0.5, 0.0]


def written(monkeypatch, tmp_path, *frames):
    """Has grids take the choices of these frames, as of MovieLens 100K."""
    path = tmp_path / "tuned.csv"
    parts = [chosen(frame, "ml-100k") for frame in frames]
    path.write_text(csv_text(pd.concat(parts)))
    monkeypatch.setattr(module, "PATH", path)
    monkeypatch.setattr(module, "_committed", module._committed.__wrapped__)


def test_a_cell_takes_the_prior_that_was_chosen_unless_it_sweeps_priors(
    monkeypatch, tmp_path
):
    arms = GRIDS["fair-prior"].arm_sweeps
    plain = made_trials(**{arm: {0.1: (0.3, 0.1), 0.3: (0.2, 0.4)} for arm in arms})
    prior = made_trials(**{arm: {0.1: (0.1, 0.1), 0.3: (0.4, 0.4)} for arm in arms})
    written(monkeypatch, tmp_path, plain, prior.assign(prior=0.75))
    found = {
        tuple(cell.swept.values()): (cell.config.temperature, cell.config.prior)
        for cell in expand(GRIDS["fair-prior"], Config(), 1, ("bpr",))
    }
    assert found == {(): (0.3, 0.75), (0.0,): (0.1, 0.0)}


def test_a_data_set_without_these_choices_is_told_of_their_trials(
    monkeypatch, tmp_path
):
    arms = GRIDS["fair-prior"].arm_sweeps
    plain = made_trials(**{arm: {0.1: (0.3, 0.1), 0.3: (0.2, 0.4)} for arm in arms})
    written(monkeypatch, tmp_path, plain)
    with pytest.raises(InputError, match="run tuning-prior on it"):
        expand(GRIDS["fair-prior"], Config(), 1, ("bpr",))


def test_a_page_tells_which_rows_have_a_prior_of_their_own(monkeypatch, tmp_path):
    grid = GRIDS["fair-prior"]
    plain = made_trials(bpr={0.1: (0.3, 0.1), 0.3: (0.2, 0.4)})
    prior = made_trials(bpr={0.1: (0.1, 0.1), 0.2: (0, 0), 0.3: (0.4, 0.4)})
    written(monkeypatch, tmp_path, plain, prior.assign(prior=0.75))
    ran = [
        RunResult(
            *(cell.arm, cell.swept, 0),
            settings={name: float(getattr(cell.config, name)) for name in FIELDS},
        )
        for cell in expand(grid, Config(), 1, ("bpr",))
    ]
    text = how_tuned(ran, Config(), grid)
    assert "the temperature, learning rate and prior that were best" in text
    assert "of 3 trials. A row that names a prior" in text
    assert "has the temperature and learning rate best of 2 without one" in text
    assert "Priors: 0 (`bpr prior 0`), 0.75 (`bpr`)." in text
    assert "Epochs" not in text
