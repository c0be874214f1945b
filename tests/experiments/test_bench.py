"""The benchmarks: their files and page, their arithmetic, and sides that fail."""

import ast
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.arms import ARMS
from experiments.bench import setting
from experiments.bench.command import BENCHMARKS
from experiments.bench.cost import LEFT_OUT, arm_cases
from experiments.bench.ours import PLAIN, TASKS, beyond, negatives_of, possible
from experiments.bench.protocol import PEERS as PYTHON
from experiments.bench.protocol import (
    Failed,
    Turns,
    peak_bytes,
    portion_slices,
    process,
    take_turns,
)
from experiments.bench.results import BenchmarkResult, Row, Target, page_of, save_result
from experiments.bench.speed import ids_apart
from experiments.bench.work import changed, find_work, save_arrays, work_of
from research.files import read_json, write_arrays
from research.types import InputError

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "experiments" / "bench" / "peers"
SIDE = """
import os
from pathlib import Path
from experiments.bench.protocol import serve

def one(request):
    Path(request["pid"]).write_text(str(os.getpid()))
    while True:
        yield {}

serve({"one": one})
"""
ROWS = (
    Row("a", "ours", "steps/s", (10.0, 30.0, 20.0), {"peak MiB": 5.0}),
    Row("a", "theirs", "steps/s", (4.0, 5.0, 6.0)),
    Row("a", "broken", note="failed: exit code 1"),
)


@pytest.mark.parametrize(
    "only",
    [("train", "loss", "top-k"), pytest.param((), marks=pytest.mark.slow, id="all")],
)
def test_a_quick_run_writes_what_it_measured(only, call, tmp_path):
    named = ["--only", *only] if only else []
    words = ("bench", "--quick", "--no-peers", *named, "--out", tmp_path)
    assert call(*words).status == 0
    folder, names = tmp_path / "benchmarks", only or tuple(BENCHMARKS)
    for name in names:
        result = read_json(folder / f"{name}.json")
        assert result["benchmark"] == name
        assert result["setting"]["quick"]
        assert not result["targets"]
        assert any(row["values"] for row in result["rows"])
        for row in result["rows"]:
            assert all(np.isfinite(value) and value > 0 for value in row["values"])
            assert row["values"] or row["note"]
    page = (folder / "README.md").read_text()
    assert page == page_of(folder, tuple(BENCHMARKS))
    assert [n for n in BENCHMARKS if f"## {n}\n" in page] == list(names)
    assert page.count("its numbers aren't results") == len(names)


def test_the_committed_page_is_that_of_the_committed_files():
    folder = ROOT / "results" / "benchmarks"
    assert page_of(folder, tuple(BENCHMARKS)) == (folder / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / PYTHON).is_file(), reason=f"no {PYTHON} (docs/cost.md)")
@pytest.mark.parametrize("name", sorted(path.stem for path in PEERS.glob("*_peer.py")))
def test_each_peer_starts_in_its_environment(name):
    ran = subprocess.run(
        [ROOT / PYTHON, "-c", f"import experiments.bench.peers.{name}"],
        env={**os.environ, **setting.PEER_VARIABLES},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_file_says_what_was_asked_beside_what_was_seen(tmp_path):
    targets = (
        *(Target("ours over theirs", 3.5, True, seen) for seen in (3.0, 4.0)),
        *(Target("y", 1, False, seen) for seen in (None, 0.5, 2.0)),
    )
    setting = {
        **{"quick": False, "date": "2020-01-01", "device": "cpu"},
        "machine": {"processor": "p", "cores": 2, "memory GiB": 1.0},
        "packages": {"jax": "0"},
    }
    save_result(BenchmarkResult("train", "What.", ROWS, targets, setting), tmp_path)
    content = json.loads((tmp_path / "train.json").read_text())
    assert [row["median"] for row in content["rows"]] == [20.0, 5.0, None]
    assert [target["met"] for target in content["targets"]] == [
        *(False, True, None, True, False)
    ]
    page = page_of(tmp_path, ("train", "absent"))
    assert "| a | ours | 20 steps/s [10, 30] | 5 |  |" in page
    assert "| a | broken |  |  | failed: exit code 1 |" in page
    assert "| ours over theirs | at least 3.5 times | 3 | not met |" in page
    assert "| y | at most 1 times | not measured |  |" in page


def test_sides_take_turns_and_one_that_fails_stops_nobody():
    order = []

    def side(name, last):
        for n in range(last):
            order.append(name)
            yield {"n": n}
        raise Failed("no more")

    answers = take_turns({"a": side("a", 9), "b": side("b", 2), "c": side("c", 0)}, 3)
    assert order == ["a", "b", "a", "b", "a", "a"]
    turns = answers["a"]
    assert turns == Turns({"n": 0}, [{"n": 1}, {"n": 2}, {"n": 3}], turns.seconds)
    assert len(turns.seconds) == 4
    assert answers["b"] == answers["c"] == Turns({}, [], [], "no more")


def test_what_interrupts_the_turns_leaves_no_stopped_side(tmp_path):
    (tmp_path / "side.py").write_text(SIDE)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    request = {"task": "one", "pid": str(tmp_path / "pid")}
    env = {**os.environ, "PYTHONPATH": path}
    first = process(Path(sys.executable), "side", request, env)

    def second():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        take_turns({"first": first, "second": second()}, 3)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_tensorflow_recommenders_gets_the_keras_it_is_written_for(
    tmp_path, monkeypatch
):
    asked = {}
    monkeypatch.setattr(setting, "process", lambda *args: asked.setdefault("env", args))
    made = setting.Setting(True, None, tmp_path / "python", tmp_path, print)
    setting.peer(made, "tfrs_peer", {})
    assert asked["env"][-1]["TF_USE_LEGACY_KERAS"] == "1"
    assert "XLA_FLAGS" not in asked["env"][-1]


def test_lists_that_differ_are_counted_by_their_items():
    lists = [[1, 2], [3, 4]], [[2, 1], [3, 9]]
    mine, theirs = (Turns({"lists": each}, [], []) for each in lists)
    assert ids_apart(mine, theirs) == {"ids apart %": 25.0}
    assert ids_apart(mine, Turns({}, [], [], "exit code 1")) == {}


def test_the_lists_that_are_timed_are_the_exact_ones(tmp_path):
    columns = np.tile(np.arange(300.0), (8, 1))
    items = np.random.default_rng(0).permuted(columns, axis=1).T
    vectors = {"users": np.eye(3, 8), "items": items}  # no score twice
    path = write_arrays(tmp_path / "lists.npz", vectors)
    answers = TASKS["lists"]({"work": str(path), "portion": 2})
    scores = vectors["users"] @ vectors["items"].T
    expected = np.argsort(-scores, axis=1)[:, :100]
    assert next(answers)["lists"] == expected.tolist()
    assert next(answers)["seconds"] > 0


def test_portions_begin_again_where_no_whole_one_is_left():
    slices = portion_slices(7, 3, start=3)
    assert [next(slices).start for _ in range(4)] == [3, 0, 3, 0]
    assert next(portion_slices(2, 3)) == slice(0, 2)


def test_a_process_that_dies_says_why():
    side = process(Path(sys.executable), "experiments.bench.absent", {})
    with pytest.raises(Failed, match=r"exit code 1: .*No module named"):
        next(side)


def test_the_peers_see_the_examples_that_training_sees(tmp_path):
    work = find_work("tiny", None)
    with np.load(save_arrays(work, (64,), tmp_path / "work.npz")) as file:
        arrays = dict(file)
    fitted = work.fold.fitted
    n, none = len(fitted.item), fitted.n_items
    np.testing.assert_array_equal(arrays["user"], fitted.user)
    np.testing.assert_array_equal(arrays["item"], fitted.item)
    for at in (0, 1, 11, 12, n - 1):
        before = fitted.item[fitted.offsets[fitted.user[at]] : at][::-1][:20]
        there = arrays["history"][at, : len(before)]
        np.testing.assert_array_equal(there, before)
        assert (arrays["history"][at, len(before) :] == none).all()
    share = np.bincount(fitted.item, minlength=none) / n
    clicked = share > 0
    q = np.exp(arrays["log_q"][clicked])
    np.testing.assert_allclose(q, share[clicked], rtol=1e-5)
    order = arrays["batches_64"]
    assert len(np.unique(order)) == order.size == n // 64 * 64


@pytest.mark.parametrize("path", sorted(PEERS.rglob("*.py")), ids=lambda p: p.stem)
def test_peers_compile_and_use_nothing_of_jax(path, tmp_path):
    py_compile.compile(str(path), cfile=str(tmp_path / "x.pyc"), doraise=True)
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in names:
            assert name.split(".")[0] not in ("jax", "research")
            assert not name.startswith("experiments") or name.endswith(".protocol")


def test_every_arm_of_the_cost_table_can_be_run():
    """But for those that need titles, or more than one epoch: no window ends in it."""
    fold = work_of("6038x3533x2", True, None).fold
    cases, refused = arm_cases(), []
    for case in cases:
        try:
            config = possible(changed(PLAIN, case.changes), fold)
        except InputError:
            refused.append(case.name)
            continue
        assert negatives_of(config, fold.fitted.n_items) >= 63
    one_epoch = {"in-batch+logq-periodic", "in-batch+logq-periodic+time-order"}
    halves = "full-softmax+time-halves"  # it needs times
    assert {*refused} - one_epoch == {"encoder-query", halves}
    assert all(any(n.startswith(prefix) for n in ARMS) for prefix in LEFT_OUT)
    named = {case.name for case in cases}
    assert {"in-batch", "uniform-softmax", "pointwise-sigmoid", "full-softmax"} <= named


def test_a_call_is_seen_to_take_what_it_takes_beyond_what_is_there():
    """64 MiB and more: what the allocator always asks the system for anew."""

    def twice() -> jax.Array:
        part = jax.numpy.ones(1 << 24)
        return jax.numpy.concatenate([part, part])

    made, rose = beyond(twice)
    assert made.nbytes == 1 << 27
    assert rose is None or 1 << 27 <= rose < 1 << 29
    assert peak_bytes() > made.nbytes


def test_an_unknown_benchmark_is_refused(call):
    called = call("bench", "--only", "tarin")
    assert called.status == 2
    assert called.err.count("\n") == 1
    assert "tarin" in called.err
    assert "train" in called.err


def test_a_side_is_told_where_the_data_were_found(monkeypatch, tmp_path):
    """ml-100k may be elsewhere than in the folder that has ml-1m."""
    fold = work_of("tiny", True, None).fold

    def fold_of(config, data_dir):
        if data_dir is not None and config.dataset == "ml-100k":
            raise InputError("not there")
        return fold

    monkeypatch.setattr("experiments.bench.work.fold_of", fold_of)
    request = find_work("ml-100k", str(tmp_path)).request()
    assert request == {"dataset": "ml-100k", "synthetic": False, "data_dir": None}
    assert find_work("ml-1m", str(tmp_path)).request()["data_dir"] == str(tmp_path)


def test_a_folder_without_the_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="ml-1m isn't in the data folder"):
        find_work("ml-1m", str(tmp_path))
