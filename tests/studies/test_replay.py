"""Replays of published runs: the numbers of C, and tables of the other process."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.bench.peers.c_random import c_rand, distinct_outside
from experiments.inputs import prepared_run
from experiments.studies import STUDIES, outside
from experiments.studies.outside import measure, replay, run_outside
from experiments.studies.outside.measure import CHOSEN, LAST, measured, phase
from experiments.studies.outside.runs import NUMBERS, RUNS, Run
from experiments.study import StudyOptions
from research.report.records import load_stored
from research.types import InputError

# What a C program prints with the GNU library, for srand(42) and srand(7).
OF_C = {
    42: [71876166, 708592740, 1483128881, 907283241],
    7: [1045618677, 1863967299, 1272579899, 461085871],
}
ROWS = "\n".join(
    f"u{user:02d},i{item:03d},{'test' if (user + item) % 5 == 0 else 'train'}"
    for user in range(12)
    for item in range(120)  # the tables have a cut-off of 100
    if (user * 7 + item * 3) % 4
)


def test_rand_is_that_of_the_gnu_library():
    drawn = c_rand(np.array([*OF_C]), 4)
    assert drawn.T.tolist() == [*OF_C.values()]


@pytest.mark.parametrize("count", [1, 3, 6])
def test_negatives_are_the_first_distinct_items_that_are_not_the_rows_own(count):
    # 6 of 6: the last one may take many draws, more than are made at first
    seeds, items = np.arange(1, 200), 8
    owned = np.repeat(np.arange(199), 2), np.tile([5, 2], 199)
    drawn = distinct_outside(seeds, items, count, owned)
    for seed, row in zip(seeds, drawn.tolist(), strict=True):
        named = c_rand(np.array([seed]), 400)[:, 0] % items
        first = [*dict.fromkeys(int(n) for n in named if n not in (5, 2))]
        assert row == first[:count]


def test_more_negatives_than_items_are_refused():
    with pytest.raises(ValueError, match="5 distinct items of the 4"):
        distinct_outside(np.arange(2), 5, 5, (np.array([1]), np.array([0])))


@pytest.fixture
def run(tmp_path, monkeypatch) -> tuple[Run, str]:
    """A run of made data, whose peer is the stub, and its data."""
    monkeypatch.setattr(replay, "PEER", "tests.studies.stub_peer")
    monkeypatch.setattr(measure, "replayed", _with_this_python)
    (tmp_path / "made.csv").write_text(f"user,item,part\n{ROWS}\n")
    changes = {"epochs": 10, "negatives": ("uniform-outside:3",), "batch": 16}
    made = Run(str(tmp_path / "made.csv"), "whole", "mf-dot", changes, 1, 2024)
    return made, made.data


def _with_this_python(test, seed, every):
    return replay.replayed(test, seed, every, python=Path(sys.executable))


def test_the_vectors_of_a_replay_are_those_of_their_users_and_items(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    looks = [*_with_this_python(test, 2024, 5)]
    assert [users[0, 1] for users, _ in looks] == [5, 10]
    users, items = looks[0]
    fitted = test.fold.fitted
    named = fitted.users.names[test.fold.evaluated]
    assert users[:, 0].tolist() == [int(name[1:]) for name in named]
    assert items[:, 0].tolist() == [int(name[1:]) for name in fitted.items.names]


def test_under_a_cosine_the_vectors_have_length_1(run):
    test = prepared_run(phase(run[0]._replace(arm="mf-cosine"), 0, run[1]))
    (users, items), *_ = _with_this_python(test, 2024, 5)
    assert np.linalg.norm(users, axis=1) == pytest.approx(1)
    assert np.linalg.norm(items, axis=1) == pytest.approx(1)


def test_a_replay_is_measured_as_a_trained_run_is(run):
    views = measured(run[0], 0, run[1])
    place = NUMBERS.index("ndcg@20")
    assert {*views} == {CHOSEN, LAST}
    assert 0 < views[CHOSEN][0, place] <= 1


def test_a_peer_that_fails_is_one_line(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    with pytest.raises(InputError, match="no such run"):
        next(_with_this_python(test, 0, 5))


def test_other_negatives_cannot_be_replayed(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    for negatives in (("uniform:3",), ("uniform-outside:3", "uniform:3")):
        config = dataclasses.replace(test.config, negatives=negatives)
        with pytest.raises(InputError, match="uniform-outside:N"):
            replay.request(dataclasses.replace(test, config=config), 1, 5)


def test_only_the_named_runs_are_measured_and_the_other_rows_stay(
    tmp_path, monkeypatch
):
    folder = tmp_path / "data" / "ml-1m-ge3"
    folder.mkdir(parents=True)
    users, items = np.nonzero(np.random.default_rng(0).random((60, 120)) < 0.5)
    lines = [f"{user},{item}" for user, item in zip(users, items, strict=True)]
    (folder / "interactions-unsplit.csv").write_text("\n".join(["user,item", *lines]))
    data = "ml-1m-ge3/interactions-unsplit.csv"
    few = {n: RUNS[n]._replace(data=data) for n in ("ease-1000", "popularity", "slim")}
    monkeypatch.setattr(outside, "RUNS", few)
    options = StudyOptions(tmp_path / "out", data_dir=str(tmp_path / "data"), seeds=2)
    first = load_stored(run_outside(options._replace(arms=("popularity", "slim"))))
    assert first.header["runs"] == ["popularity", "slim"]  # in the order of RUNS
    shutil.rmtree(tmp_path / "out" / "runs")
    again = options._replace(arms=("ease-1000", "slim"), seeds=1)
    stored = load_stored(run_outside(again))
    assert stored.header["runs"] == ["ease-1000", "popularity", "slim"]
    for name, array in stored.arrays.items():
        kept, other = first.arrays[name]
        np.testing.assert_array_equal(array[1], kept)
        np.testing.assert_array_equal(
            array[2], [other[0], np.full_like(other[1], np.nan)]
        )
    with pytest.raises(InputError, match="has no arm one more"):
        STUDIES["outside"].check_arms(("one more",))


def test_without_pytorch_replays_are_left_out(tmp_path, monkeypatch, run):
    monkeypatch.setattr(outside, "PEERS", tmp_path / "no such file")
    monkeypatch.setattr(outside, "RUNS", {"replay": run[0]})
    said: list[str] = []
    options = StudyOptions(
        tmp_path / "out", data_dir=str(tmp_path), progress=said.append, arms=("replay",)
    )
    with pytest.raises(InputError, match=r"no .*no such file .*replays are left out"):
        run_outside(options)


def test_repetitions_of_a_replay_share_the_published_seed(run):
    tests = [prepared_run(phase(run[0], seed, run[1])) for seed in (0, 2)]
    first, third = (replay.request(test, 2024, 5) for test in tests)
    assert (first.pop("repetition"), third.pop("repetition")) == (0, 2)
    assert first == third
