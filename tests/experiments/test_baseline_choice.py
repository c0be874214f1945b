"""A baseline as a run: its values named, a run a seed where it draws; its choice."""

import dataclasses

import pytest

from experiments import baseline_choice
from experiments.arms import arm
from experiments.inputs import prepared_run
from research.baselines import BASELINES
from research.types import InputError


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_what_draws_nothing_is_one_run_however_many_seeds(name, data):
    one, other = (
        prepared_run(
            dataclasses.replace(arm(name), seed=seed, batch=7 + seed), str(data)
        ).config
        for seed in (3, 4)
    )
    assert (one == other) is (not BASELINES[name].seeded)
    assert dataclasses.replace(one, seed=0) == dataclasses.replace(other, seed=0)
    assert len(one.baseline) == len(BASELINES[name].options)
    assert prepared_run(one, str(data)).config == one


def test_the_choice_prints_each_combination_and_the_best(data, capsys, monkeypatch):
    monkeypatch.setitem(baseline_choice.TRIED, "ease", {"l2": (1.0, 50.0)})
    assert baseline_choice.main(["ml-100k", "ease", "--data-dir", str(data)]) == 0
    *lines, best = capsys.readouterr().out.splitlines()
    found = {line.split()[2]: float(line.split()[1]) for line in lines}
    assert set(found) == {"l2=1", "l2=50"}
    assert found["l2=1"] != found["l2=50"]
    winner = max(found, key=found.__getitem__)
    assert best == f"ease: best {found[winner]:.4f} {winner}"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["nosuch"], "data set"), (["ml-100k", "towers"], "baseline with options")],
)
def test_what_cannot_be_chosen_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        baseline_choice.main(words)
