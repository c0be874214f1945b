"""Replays of published runs: the numbers of C, and tables of the other process."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.bench.peers import irb
from experiments.bench.peers.irb import loops
from experiments.bench.peers.irb.c_random import distinct_outside
from experiments.inputs import prepared_run
from experiments.output.folders import records_path
from experiments.studies import STUDIES, outside
from experiments.studies.outside import measure, replay, run_outside
from experiments.studies.outside.measure import CHOSEN, LAST, measured, phase
from experiments.studies.outside.protocols import NUMBERS
from experiments.studies.outside.runs import RUNS, Run
from experiments.study import StudyOptions
from research.report.records import load_stored, save_stored
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


def draws(seeds, items, count, owned=()) -> list[list[int]]:
    """Rows of distinct_outside, all of which own the same items."""
    spans = np.tile([0, len(owned)], (len(seeds), 1))
    own = spans, np.array(owned, int)
    return distinct_outside(np.array(seeds), items, count, own).tolist()


def test_rand_is_that_of_the_gnu_library():
    items = 1_000_003
    assert draws([*OF_C], items, 4) == [
        [n % items for n in row] for row in OF_C.values()
    ]


def test_the_seed_0_is_the_seed_1():
    assert draws([0], 1_000_003, 9) == draws([1], 1_000_003, 9)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_negatives_are_the_first_distinct_items_that_are_not_the_rows_own(count):
    # Among many items rand() modulo 8 follows from rand() modulo a multiple of 8.
    seeds, items, many = range(1, 60), 8, 8 * 10**5
    for row, named in zip(
        draws(seeds, items, count, owned=(5, 2)), draws(seeds, many, 60), strict=True
    ):
        first = dict.fromkeys(n % items for n in named if n % items not in (5, 2))
        assert row == [*first][:count]


def test_rows_that_own_other_items_do_not_disturb_each_other():
    seeds, spans, owned = (
        np.array([3, 3, 3]),
        np.array([[0, 2], [2, 3], [3, 3]]),
        [1, 4, 0],
    )
    drawn = distinct_outside(seeds, 6, 3, (spans, np.array(owned)))
    alone = [draws([3], 6, 3, owned=own)[0] for own in ((1, 4), (0,), ())]
    assert drawn.tolist() == alone


def test_more_negatives_than_items_are_refused():
    spans = np.array([[0, 0], [0, 1]])
    with pytest.raises(ValueError, match="5 distinct items of the 4"):
        distinct_outside(np.arange(2), 5, 5, (spans, np.array([0])))


def test_sampled_scores_and_gradients_are_those_of_the_whole_product():
    draw = np.random.default_rng(0)
    query, items = draw.normal(size=(4, 3)), draw.normal(size=(9, 3))
    index, slopes = draw.integers(9, size=(4, 20)), draw.normal(size=(4, 20))
    scores, of_query, of_items = np.empty((4, 20)), np.ones((4, 3)), np.ones((9, 3))
    loops.score(query, items, index, scores)
    np.testing.assert_allclose(scores, np.take_along_axis(query @ items.T, index, 1))
    loops.spread_to_queries(items, index, slopes, of_query)
    pairs = np.zeros(10, int), np.empty(80, int), np.empty(80)
    loops.by_item(index, slopes, *pairs)
    loops.spread_to_items(query, *pairs, of_items)
    whole = np.zeros((4, 9))
    np.add.at(whole, (np.arange(4)[:, None], index), slopes)
    np.testing.assert_allclose(of_query, 1 + whole @ items)
    np.testing.assert_allclose(of_items, 1 + whole.T @ query)


@pytest.fixture
def run(tmp_path, monkeypatch) -> tuple[Run, str]:
    """A run of made data, whose peer is the stub, and its data."""
    monkeypatch.setattr(replay, "PEER", "tests.studies.stub_peer")
    monkeypatch.setattr(measure, "replayed", _with_this_python)
    (tmp_path / "made.csv").write_text(f"user,item,part\n{ROWS}\n")
    changes = {"epochs": 10, "negatives": ("uniform-outside:3",), "batch": 16}
    made = Run(str(tmp_path / "made.csv"), "whole", "mf-dot", changes, 1, 2024)
    return made, made.data


def _with_this_python(test, published, every):
    return replay.replayed(test, published, every, python=Path(sys.executable))


def test_the_vectors_of_a_replay_are_those_of_their_users_and_items(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    looks = [*_with_this_python(test, (2024, 4), 5)]
    assert [users[0, 1] for users, _ in looks] == [5, 10]
    users, items = looks[0]
    fitted = test.fold.fitted
    named = fitted.users.names[test.fold.evaluated]
    assert users[:, 0].tolist() == [int(name[1:]) for name in named]
    assert items[:, 0].tolist() == [int(name[1:]) for name in fitted.items.names]


def test_under_a_cosine_the_vectors_have_length_1(run):
    test = prepared_run(phase(run[0]._replace(arm="mf-cosine"), 0, run[1]))
    (users, items), *_ = _with_this_python(test, (2024, 4), 5)
    assert np.linalg.norm(users, axis=1) == pytest.approx(1)
    assert np.linalg.norm(items, axis=1) == pytest.approx(1)


def test_a_replay_is_measured_as_a_trained_run_is(run):
    views = measured(run[0], 0, run[1])
    place = NUMBERS.index("ndcg@20")
    assert {*views} == {CHOSEN, LAST}
    assert 0 < views[CHOSEN][0, place] <= 1


def test_a_replay_by_other_code_of_the_peer_is_made_again(run, tmp_path, monkeypatch):
    peer = tmp_path / "irb" / "peer.py"
    peer.parent.mkdir()
    monkeypatch.setattr(irb, "__file__", str(peer.with_name("__init__.py")))
    options = StudyOptions(tmp_path / "out", seeds=1)
    made = []
    monkeypatch.setattr(
        outside, "measured", lambda *args: made.append(1) or measured(*args[:3])
    )
    for code, count in (("a = 1", 1), ("a = 1  # one", 1), ("a = 2", 2)):
        peer.write_text(code)
        outside.measured_once("made", run[0], 0, run[1], options)
        assert len(made) == count


def test_a_peer_that_fails_is_one_line(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    with pytest.raises(InputError, match="no such run"):
        next(_with_this_python(test, (0, 4), 5))


def test_other_negatives_cannot_be_replayed(run):
    test = prepared_run(phase(run[0], 0, run[1]))
    for negatives in (("uniform:3",), ("uniform-outside:3", "uniform:3")):
        config = dataclasses.replace(test.config, negatives=negatives)
        with pytest.raises(InputError, match="uniform-outside:N"):
            replay.request(dataclasses.replace(test, config=config), (1, 4), 5)


def _without_first_seed(records: Path, row: int) -> None:
    header, _, arrays = load_stored(records)
    for array in arrays.values():
        array[row, 0] = np.nan
    save_stored(records, header, arrays)


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
    _without_first_seed(records_path(tmp_path / "out", "outside", "outside"), row=0)
    shutil.rmtree(tmp_path / "out" / "runs")
    again = options._replace(arms=("ease-1000", "slim"), seeds=1)
    stored = load_stored(run_outside(again))
    assert stored.header["runs"] == ["ease-1000", "popularity", "slim"]
    for name, array in stored.arrays.items():
        kept, other = first.arrays[name]
        assert np.isnan(array[1, 0]).all()  # no other seed takes its place
        np.testing.assert_array_equal(array[1, 1:], kept[1:])
        np.testing.assert_array_equal(
            array[2], [other[0], np.full_like(other[1], np.nan)]
        )
    with pytest.raises(InputError, match="has no arm one more"):
        STUDIES["outside"].check_arms(("one more",))
    monkeypatch.setattr(outside, "RUNS", {"ease-1": few.pop("ease-1000"), **few})
    rest = load_stored(run_outside(options._replace(arms=("popularity",))))
    assert rest.header["runs"] == ["popularity", "slim"]  # "ease-1000" is no view


def test_each_way_to_validate_has_a_digest_of_its_own():
    ways = "", " (validation part rounded down)", " (another validation part)"
    labels = [measure.data_label(RUNS[f"electronic sl{way}"]) for way in ways]
    assert len(set(labels)) == len(ways)


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
    first, third = (replay.request(test, (2024, 6), 5) for test in tests)
    assert (first.pop("repetition"), third.pop("repetition")) == (0, 2)
    assert first == third
    assert (first["seed"], first["cutoffs"]) == (2024, 6)
