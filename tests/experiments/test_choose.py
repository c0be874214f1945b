"""The command choose: an answer on one screen, a saved model, the same again."""

import pandas as pd
import pytest

from experiments.commands import choose
from experiments.grids.choose import CHOOSE
from research.saved.files import load_model


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A few arms, short and narrow, so that a trial takes seconds."""
    arms = ("popularity", "ease", "in-batch", "in-batch+logq")
    narrow = {"dim": 8, "user_hidden": (8,), "item_hidden": (8,), "epochs": 3}
    grid = CHOOSE.but(arms=arms, changes={**CHOOSE.changes, **narrow}, figures={})
    monkeypatch.setattr(choose, "CHOOSE", grid)


def only(tmp_path, pattern):
    (path,) = (tmp_path / "out").glob(pattern)
    return path


def answered(called):
    assert called.status == 0, called
    lines = called.out.splitlines()
    start = lines.index("")
    return [line.split(maxsplit=1) for line in lines[start + 1 :]]


def test_it_answers_saves_the_model_and_goes_on(call, shop, tmp_path):
    words = ("choose", shop, "--columns", "user=uid", "--minutes", "0.01",
             "--seeds", "2", "--jobs", "1", "--out", tmp_path / "out")  # fmt: skip
    called = call(*words)
    answer = dict(line for line in answered(called) if len(line) == 2)
    assert set(answer) >= {"against", "model", "again"}
    assert ("train" in answer) != ("use" in answer)
    assert "python -m experiments train --dataset" in answer["again"]
    frame = pd.read_csv(only(tmp_path, "choices/*/choose-random.csv"))
    assert set(frame.arm) == {"popularity", "ease", "in-batch", "in-batch+logq"}
    assert frame.groupby("arm").chosen.sum().eq(1).all()
    # What is trained is the arm that was best on validation, not on test.
    towers = frame[frame.arm.str.startswith("in-batch")]
    best = towers.loc[towers["mean"].idxmax()]
    model = load_model(only(tmp_path, "models/*"))
    assert model.config.epochs == best.epochs
    assert model.config.logq == float(best.arm == "in-batch+logq")
    assert answered(call(*words)) == answered(called)


def test_more_time_gives_more_trials_to_the_better_half(call, shop, tmp_path):
    words = ("choose", shop, "--columns", "user=uid", "--minutes", "5",
             "--seeds", "1", "--jobs", "1", "--out", tmp_path / "out")  # fmt: skip
    choose_most = choose.MOST
    try:
        choose.MOST = choose.FIRST
        assert call(*words).status == 0
    finally:
        choose.MOST = choose_most
    frame = pd.read_csv(only(tmp_path, "choices/*/choose-random.csv"))
    trials = frame.groupby("arm").trial.nunique()
    assert sorted(trials[["in-batch", "in-batch+logq"]]) == [4, 4]
    assert sorted(trials[["popularity", "ease"]]) == [1, 4]
