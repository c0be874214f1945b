"""A grid on a real Ray cluster of two nodes, one of which is killed midway."""

import importlib
import signal
import socket
import stat
import sys
import time
from types import SimpleNamespace

import pytest

from experiments.engine.local import RunStatus, run_here
from experiments.engine.ray import _do, run_on_ray
from experiments.grids import GRIDS
from experiments.output.plan import plan
from experiments.resolve import expand
from research.config import Config
from research.files import PART, replace
from research.types import InputError
from tests.experiments.made import contents, runs_of, without_seals
from tests.experiments.test_safe_signals import (
    PROGRAM,
    gone,
    processes_of,
    skip_if_ignored,
)
from tests.process import started

NOTHING = {"finished": lambda status: None, "running": lambda line: None}


def test_ray_is_imported_only_where_it_is_asked_for(call):
    assert "ray" not in sys.modules
    call("list", "losses")
    assert "ray" not in sys.modules


def test_without_ray_the_engine_says_what_to_install(call, tmp_path, monkeypatch):
    inner = importlib.import_module

    def missing(name: str, *package: str):
        if name == "ray":
            raise ImportError(name)
        return inner(name, *package)

    monkeypatch.setattr("experiments.engine.ray.importlib.import_module", missing)
    called = call("run", "few", "--engine", "ray", "--out", tmp_path / "out")
    assert called.status == 2
    assert "pip install -r requirements-ray.txt" in called.err


def test_a_workers_folder_is_named_as_the_run_and_can_be_read_by_its_user_alone(
    data, tmp_path, monkeypatch
):
    """Else the seal that is made in it would be that of a copy, where it arrives."""
    about = SimpleNamespace(get_node_id=lambda: "node", get_task_id=lambda: "task")
    fake = SimpleNamespace(get_runtime_context=lambda: about)
    monkeypatch.setattr("experiments.engine.ray._import_ray", lambda: fake)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []

    def attempt(run, *about):
        seen.append((run.folder, stat.S_IMODE(run.folder.parents[0].stat().st_mode)))
        replace(run.folder / "made", b"1")
        return RunStatus(run, "", False, 0.0)

    monkeypatch.setattr("experiments.engine.ray.attempt", attempt)
    cells = expand(GRIDS["few"], Config(dataset="ml-100k"), seeds=1)
    run = plan(cells, "few", tmp_path / "out", str(data))[1][0]
    _, files = _do(run, None, {})
    ((folder, mode),) = seen
    assert (folder.name, mode) == (run.folder.name, 0o700)
    assert files == {"made": b"1"}
    assert not list(tmp_path.glob("two-tower-*"))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:x", "127.0.0.1:"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(InputError, match="HOST:PORT"):
        run_on_ray([], None, address=address, **NOTHING)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listens", "reason"), [(False, "no cluster answers"), (True, "ray address")]
)
def test_an_address_without_a_cluster_is_refused_within_a_minute(listens, reason):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{door.getsockname()[1]}"
        if listens:
            door.listen()
        start = time.monotonic()
        with pytest.raises(InputError, match=reason):
            run_on_ray([], None, address=address, **NOTHING)
        assert time.monotonic() - start < 60


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_node_that_is_killed_costs_nothing_but_time(data, tmp_path, monkeypatch):
    """Every run ends, with the bytes it has on one core in process; none is lost."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy machine
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster_utils = importlib.import_module("ray.cluster_utils")
    base, data_dir = Config(dataset="ml-100k"), str(data)
    cells = expand(GRIDS["killed"], base, seeds=2)
    runs = {
        where: plan(cells, "killed", tmp_path / where, data_dir)[1]
        for where in ("ray", "here")
    }
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1}
    )
    node = cluster.add_node(num_cpus=1)
    statuses, lines, killed = [], [], []

    def running(line: str) -> None:
        lines.append(line)
        if "on 2 machines" in line and statuses and not killed:
            killed.append(len(statuses))
            cluster.remove_node(node, allow_graceful=False)

    try:
        run_on_ray(runs["ray"], data_dir, statuses.append, running, cluster.address)
    finally:
        cluster.shutdown()
    assert any("on 2 machines" in line for line in lines)
    # Both nodes of one core were at work, so that one run was lost and done again.
    assert killed[0] <= len(runs["ray"]) - 2
    assert len(statuses) == len(runs["ray"])
    assert not any(status.failed for status in statuses)
    did = [status.run for status in statuses]
    folders = [sorted(run.folder for run in some) for some in (did, runs["ray"])]
    assert folders[0] == folders[1]
    assert not plan(cells, "killed", tmp_path / "ray", data_dir)[1]
    run_here(runs["here"], data_dir, **NOTHING)
    names = ("metrics.json", "per_user.npz", "config.json", "history.csv")
    on_ray, here = (
        {n: d for n, d in contents(tmp_path / where).items() if n.endswith(names)}
        for where in ("ray", "here")
    )
    assert without_seals(on_ray) == without_seals(here)
    assert len(runs_of(tmp_path / "ray", "killed")) == len(runs["ray"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_grid_on_ray(number, data, tmp_path, monkeypatch):
    skip_if_ignored(number)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # a busy machine
    words = ("run", "killed", "--engine", "ray", "--data-dir", data)
    process = started(PROGRAM, *words, "--out", tmp_path, start_new_session=True)
    assert "3 to do" in process.stdout.readline()
    while not any("ray::_do" in line for line in processes_of(process.pid).values()):
        assert process.poll() is None
        time.sleep(0.1)
    everyone = processes_of(process.pid)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told.endswith("finished runs are kept, run again to go on\n")
    assert told.count("\n") == 1
    assert not [line for p, line in everyone.items() if not gone(p, 60.0)]
    assert not [name for name in contents(tmp_path) if name.endswith(PART)]
