"""The command choose: an answer on one screen, a saved model, the same again."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from experiments import tuner
from experiments.commands import choose
from experiments.grids.choose import CHOOSE
from experiments.resolve import Cell
from experiments.tuner import Choice
from research.config import Config
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


SECONDS = {"popularity": 1.0, "item-knn": 1.0, "ease": 1.0}
QUALITY = {"popularity": 0.1, "item-knn": 0.3, "ease": 0.4, "in-batch": 0.2,
           "in-batch+logq": 0.5, "mixed+logq": 0.6, "full-softmax": 0.3}  # fmt: skip
TOWERS_KEPT, SIMPLE_KEPT = {"in-batch+logq", "mixed+logq"}, {"ease", "item-knn"}


def chosen(arm, trials=1, epochs=3):
    seconds = SECONDS.get(arm, 10.0)
    return Choice({"epochs": epochs}, QUALITY[arm], 0, trials, 1, seconds, 20)


def rounds(monkeypatch, minutes):
    """The rounds of trials in the time given, as arms and trials of each."""
    asked = []

    def tried(grid, cells, trials, *where):
        asked.append(({cell.arm for cell in cells}, trials))
        return {(cell.arm, "{}"): chosen(cell.arm, trials) for cell in cells}

    monkeypatch.setattr(tuner, "choose", tried)
    cells = [Cell(arm, {}, 0, Config()) for arm in QUALITY]
    command = choose.Choose("clicks.csv", minutes=minutes, jobs=1)
    found = command._screened(CHOOSE, cells, Path("out"))
    assert found.keys() == {(arm, "{}") for arm in QUALITY}
    return asked


@pytest.mark.parametrize(
    ("minutes", "trials"), [(1, [1]), (6.6, [1]), (6.7, [1, 4]), (9.2, [1, 4, 8]),
                            (23, [1, 4, 8, 16]), (999, [1, 4, 8, 16, 32])]
)  # fmt: skip
def test_rounds_of_trials_are_as_many_as_the_time_allows(
    minutes, trials, monkeypatch, capsys
):
    """The first takes 43 s, the second, with more seeds, 198; then 88, 176 and 352."""
    asked = rounds(monkeypatch, minutes)
    assert [number for _, number in asked] == trials
    assert asked[0][0] == set(QUALITY)
    for arms, _ in asked[1:]:
        assert arms == TOWERS_KEPT | SIMPLE_KEPT
    said = capsys.readouterr().err
    assert ("4 trials of the better half need --minutes 7" in said) == (len(trials) < 2)


@pytest.mark.parametrize(("pairs", "batch"), [(2048, 512), (2047, 256), (3, 1)])
def test_an_epoch_has_some_batches(pairs, batch, monkeypatch):
    fold = SimpleNamespace(fitted=SimpleNamespace(item=range(pairs)))
    monkeypatch.setattr(choose, "fold_of", lambda *about: fold)
    grid = choose.Choose("clicks.csv")._sized(Config(batch=512))
    assert grid.changes.get("batch", 512) == batch


def answer(verdict, choice=None):
    """The lines of an answer whose towers have this verdict against EASE."""
    row = {"against": "ease", "verdict": verdict}
    frame = pd.DataFrame([row | {"difference": -0.01, "low": -0.02, "high": 0.001}])
    cell = Cell("in-batch+logq", {}, 0, Config(temperature=0.3, epochs=3, prior=0.5))
    arms = {arm: chosen(arm) for arm in QUALITY} | {
        cell.arm: choice or chosen(cell.arm)
    }
    choices = {(arm, "{}"): one for arm, one in arms.items()}
    return "\n".join(choose._answer(cell, choices, frame, ["ease"]))


def test_the_answer_is_what_was_shown():
    """The values to train with in any case; a simple model where it is better."""
    values = "temperature 0.3, learning rate 0.003, 3 epochs, prior 0.5"
    for verdict in ("better", "worse", "equivalent", "undecided"):
        said = answer(verdict)
        assert values in said
        assert ("use        ease: a simple model wins" in said) == (verdict == "worse")
        assert (f"train      in-batch+logq: {values}" in said) == (verdict != "worse")
        simpler = "no difference shown to ease, which is simpler" in said
        assert simpler == (verdict in ("equivalent", "undecided"))
        words = {
            "better": "it is better",
            "worse": "it is worse",
            "equivalent": "within 2 %",
            "undecided": "no difference shown",
        }
        interval = "-0.0100 [-0.0200, +0.0010] NDCG@20 on test"
        assert f"{interval}, {words[verdict]}; a trial" in said


def test_the_answer_tells_of_a_training_that_was_still_getting_better():
    more = "the last epoch tried was the best"
    assert more not in answer("better", chosen("in-batch+logq", epochs=19))
    assert more in answer("better", chosen("in-batch+logq", epochs=20))
