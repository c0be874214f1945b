"""Devices and processes that train one run together: how they meet; their numbers."""

import socket
import threading
import time

import numpy as np
import pytest

from experiments import runs
from experiments.engine import processes as module
from experiments.engine.processes import Place, meet
from research.files import read_json
from research.train.loop import NotFinite
from research.types import InputError
from tests.experiments.made import contents, refused, runs_of
from tests.process import started
from tests.train.test_mesh import run_on

RUN = {"run": "0123456789ab"}
# Of no arm of the tests' own: another process doesn't know those. Without a ReLU, near
# whose kink training would magnify rounding.
WORDS = (
    *("train", "--arm", "in-batch+logq", "--dim", "8", "--user-hidden"),
    *("--item-hidden", "--history", "5", "--batch", "128", "--epochs", "2"),
)


def vectors_of(out):
    """A run's folder and its vectors, by side."""
    (path,) = out.glob("runs/*/train/*/vectors.npz")
    return path.parent, dict(np.load(path))


def test_training_is_told_how_many_devices(call, tmp_path, monkeypatch):
    told = []

    def train(prepared, on_epoch, validate, devices, checkpoint):
        told.append(devices)
        return [NotFinite("seen enough")]

    monkeypatch.setattr(runs, "train_together", train)
    monkeypatch.setattr("research.train.mesh.jax.devices", lambda: ["cpu"] * 4)
    monkeypatch.setattr("research.train.mesh.jax.make_mesh", lambda *a, **k: None)
    for words in ((), ("--devices", "4")):
        called = call("train", "--arm", "tiny", *words, "--out", tmp_path)
        assert called.status == 1
    assert told == [1, 4]


@pytest.mark.slow
def test_four_devices_give_the_vectors_of_one(done, data, tmp_path):
    where = ("--data-dir", str(data), "--out", str(tmp_path / "four"))
    run_on(4, "experiments", *WORDS, *where, "--devices", "4")
    done(*WORDS, "--out", tmp_path / "one")
    (many, found), (one, expected) = (vectors_of(tmp_path / n) for n in ("four", "one"))
    assert many.name == one.name, "how many devices there were makes no other run"
    assert read_json(many / "env.json")["devices"] == 4
    assert read_json(one / "env.json")["devices"] == 1
    for side in ("users", "items"):
        np.testing.assert_allclose(found[side], expected[side], atol=1e-5)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def all_at(address, *given, patience=20.0):
    """What meet gives or raises in each process: (number, of how many, common, go)."""
    found = [None] * len(given)

    def one(at, number, processes, common, go):
        try:
            place = Place(processes, number, address)
            with meet(place, common, go, patience) as found[at]:
                pass
        except InputError as error:
            found[at] = str(error)

    threads = [
        threading.Thread(target=one, args=(at, *what)) for at, what in enumerate(given)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.fixture
def address():
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize("go", [True, False])
def test_all_are_told_what_the_first_has_in_mind(address, go):
    given = [(n, 3, RUN, go if n == 0 else not go) for n in (2, 0, 1)]
    assert all_at(address, *given) == [go, go, go]


OTHERS = {
    "another run": (
        [(0, 2, RUN, True), (1, 2, {"run": "ba9876543210"}, True)],
        ("run is ba98", "0123", "process 1"),
    ),
    "another number": (
        [(0, 2, RUN, True), (1, 3, RUN, True)],
        ("processes is 3 in process 1 and 2",),
    ),
    "too many": ([(0, 2, RUN, True), (2, 3, RUN, True)], ("process 2 too many",)),
    "twice": (
        [(0, 3, RUN, True), *[(1, 3, RUN, True)] * 2],
        ("there is a process 1 too many",),
    ),
    "nobody": (
        [(0, 3, RUN, True), (2, 3, RUN, True)],
        ("process 1 of 3 hasn't come within 0.5 s",),
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_who_has_something_else_in_mind_is_refused(address, case):
    given, parts = OTHERS[case]
    found = all_at(address, *given, patience=0.5 if case == "nobody" else 20.0)
    assert found == [found[0]] * len(given), "all are told the same"
    assert all(part in found[0] for part in parts)


def test_a_stranger_at_the_port_is_let_go(address):
    host, port = address.split(":")

    def strange():
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port)), timeout=5) as line:
                    line.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    return line.recv(10)
            except ConnectionResetError:  # let go before its words were read
                return None
            except ConnectionRefusedError:
                time.sleep(0.02)

    stranger = threading.Thread(target=strange)
    stranger.start()
    time.sleep(0.1)
    assert all_at(address, (0, 2, RUN, True), (1, 2, RUN, True)) == [True, True]
    stranger.join()


@pytest.mark.parametrize("other", [None, "no.such.host.invalid:80"])
def test_a_coordinator_that_does_not_answer(address, other):
    where = other or address
    (found,) = all_at(where, (1, 2, RUN, True), patience=0.3)
    assert f"coordinator {where} doesn't answer" in found


def test_what_answers_may_be_no_process_of_ours(address):
    host, port = address.split(":")
    with socket.create_server((host, int(port))) as door:
        (found,) = all_at(address, (0, 2, RUN, True))
        assert f"coordinator {address}: process 0 can't listen there" in found

        def answer():
            line, _ = door.accept()
            with line:
                line.sendall(b"220 mail ready\r\n")

        other = threading.Thread(target=answer)
        other.start()
        (found,) = all_at(address, (1, 2, RUN, True))
        other.join()
    assert found == (
        f"coordinator {address}: what answers there is no process 0 of this run"
    )


def test_process_0_leaves_last(address):
    left = []

    def stays():
        with meet(Place(2, 1, address), RUN, True, 20.0):
            time.sleep(0.3)
            left.append(time.monotonic())

    other = threading.Thread(target=stays)
    other.start()
    with meet(Place(2, 0, address), RUN, True, 20.0):
        pass
    assert time.monotonic() >= left[0]
    other.join()


def test_a_process_that_waits_in_vain_writes_nothing(
    call, tmp_path, address, monkeypatch
):
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    words = ("train", "--arm", "tiny", "--processes", "2", "--coordinator", address)
    words += ("--out", tmp_path / "out")
    refused(call(*words), "process 1 of 2 hasn't come")
    refused(call(*words, "--process-id", "1"), address, "doesn't answer")
    assert not (tmp_path / "out").exists()


def one_of_two(address, number, data, out, *words):
    """One of two processes, which run by themselves."""
    place = ("--processes", "2", "--process-id", number, "--coordinator", address)
    where = ("--data-dir", data, "--out", out)
    return started(("-m", "experiments"), *WORDS, *where, *place, *words)


@pytest.mark.slow
def test_two_processes_give_the_vectors_of_one(call, done, data, tmp_path, address):
    both = [one_of_two(address, n, data, tmp_path / str(n)) for n in range(2)]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert not (tmp_path / "1").exists(), "process 0 alone writes"
    assert not any(tmp_path.glob("cache/compiled/*")), "no process is to be ahead"
    done(*WORDS, "--out", tmp_path / "one")
    (_, found), (_, expected) = (vectors_of(tmp_path / name) for name in ("0", "one"))
    for side in ("users", "items"):
        np.testing.assert_allclose(found[side], expected[side], atol=1e-5)
    again = call(*WORDS, "--out", tmp_path / "0")
    assert "finished already" in again.out, "it is the same run"


@pytest.mark.slow
def test_a_process_that_is_lost_fails_the_run_of_the_other(data, tmp_path, address):
    words = ("--epochs", "100000")
    both = [one_of_two(address, n, data, tmp_path / str(n), *words) for n in range(2)]
    assert both[1].stdout.readline().startswith("[Gloo]"), "they have begun to train"
    both[1].kill()
    both[1].communicate()
    told, complaint = both[0].communicate(timeout=300)
    assert both[0].returncode == 1, complaint
    assert "failed: " in told
    (folder,) = runs_of(tmp_path / "0", "train")
    assert sorted(contents(folder)) == ["failed.json"]
