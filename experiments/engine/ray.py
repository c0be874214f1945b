"""Finishes runs on a Ray cluster, one per core, and again if a machine dies.

Nothing is shared between machines but the code, which travels with the job, and a run's
files, which come back in one piece and are written here: a machine that dies midway
leaves nothing behind. Each machine finds the data as the command line does.
"""

import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.commands.signals import handlers_kept
from experiments.engine.local import Finished, Running, RunStatus, attempt, run_failed
from experiments.output.checkpoints import discard
from experiments.output.plan import Run
from experiments.output.seals import METRICS
from research.compiler import THREADS
from research.files import replace
from research.types import InputError

RETRIES = 3  # after the death of a worker or of its machine
PATIENCE = 10.0  # seconds for a port to answer
DEADLINE = 45.0  # seconds to join a cluster
PULSE = 1.0  # seconds between two looks at how many machines there are
Files = dict[str, bytes]


def run_on_ray(
    runs: list[Run],
    data_dir: str | None,
    finished: Finished,
    running: Running,
    address: str | None = None,
) -> None:
    """All runs on the cluster at the address, or on one started here.

    Raises:
      InputError: Ray isn't installed, or the address doesn't answer.
    """
    ray = _import_ray()
    _connect(ray, address)
    try:
        _finish(ray, runs, data_dir, finished, running)
    except SystemError as error:  # a signal's exception, met in Ray's native code
        raise error.__cause__ or error from None
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InputError(
            "--engine ray needs Ray: pip install -r requirements-ray.txt"
        ) from None


def _connect(ray: ModuleType, address: str | None) -> None:
    """Joins the cluster at the address, or starts one."""
    root = Path(__file__).parents[2]
    threads = {n: v for n, v in os.environ.items() if n == THREADS}
    code = {
        "py_modules": [str(root / name) for name in ("research", "experiments")],
        # Threads: else each machine sums in its own order. Retries: a worker whose
        # cluster dies while it starts would look for it for 20 s.
        "env_vars": {"RAY_NUM_REDIS_GET_RETRIES": "3", **threads},
    }
    if address is not None:
        _answers(address)
    try:
        with handlers_kept():  # Ray's own prints a stack and aborts
            ray.init(
                address=address,
                runtime_env=code,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"ray address {address}: {reason}") from None


def _answers(address: str) -> None:
    """Refuses an address where no cluster is.

    Ray itself never gives up on a port where something else listens, so a separate
    process tries to join first, with a deadline.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"ray address {address!r}: it must be HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        reason = f"no cluster answers at ray address {address} ({error})"
        raise InputError(reason) from None
    join = "import sys, ray; ray.init(address=sys.argv[1])"
    words = [sys.executable, "-c", join, address]
    try:
        subprocess.run(words, capture_output=True, check=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        reason = f"no cluster at ray address {address}: no answer in {DEADLINE:g} s"
        raise InputError(reason) from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1]
        raise InputError(f"ray address {address}: {last}") from None


def _finish(
    ray: Any,
    runs: list[Run],
    data_dir: str | None,
    finished: Finished,
    running: Running,
) -> None:
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
    waiting = {
        remote.remote(run, data_dir, _files(run.folder)): run
        for run in sorted(runs, key=lambda run: repr(run.shape))
    }
    while waiting:
        done, _ = ray.wait(list(waiting), timeout=PULSE)
        alive = sum(node["Alive"] for node in ray.nodes())
        running(f"{len(waiting) - len(done)} runs to go on {alive} machines")
        for reference in done:
            run = waiting.pop(reference)
            finished(_gather(ray, reference, run))


def _gather(ray: Any, reference: Any, run: Run) -> RunStatus:
    """How one run ended, its files written here."""
    try:
        status, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = f"{type(error).__name__} after {RETRIES} more tries"
        return run_failed(run, reason)
    # A run is finished by its metrics, so they are written when all else is.
    for name in sorted(files, key=lambda name: (Path(name).name == METRICS, name)):
        replace(run.folder / name, files[name])
    if not status.failed:
        (run.folder / "failed.json").unlink(missing_ok=True)
        discard(run.folder)  # of a training here, which the cluster went on with
    result: RunStatus = status._replace(run=run)
    return result


def _do(run: Run, data_dir: str | None, files: Files) -> tuple[RunStatus, Files]:
    """Does a run on a machine of the cluster, in a temporary folder there.

    A worker that takes over from a dead one there finds its folder and its checkpoint.
    The folder has the name of the run's own, which the run's seal holds.
    """
    context = _import_ray().get_runtime_context()
    task = f"two-tower-{context.get_node_id()}-{context.get_task_id()}"
    scratch = Path(tempfile.gettempdir()) / task
    folder = scratch / run.folder.name
    try:
        scratch.mkdir(mode=0o700, exist_ok=True)  # others may use that machine, too
        for name, content in files.items():
            if not (folder / name).is_file():
                replace(folder / name, content)
        moved = run._replace(folder=folder)
        status = attempt(moved, data_dir, lambda line: None, "ray")
        after = _files(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return status, {n: c for n, c in after.items() if files.get(n) != c}


def _files(folder: Path) -> Files:
    """The contents of a folder's files, by path within it."""
    if not folder.is_dir():
        return {}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".part"
    }
