"""Finishes runs on this machine: in this process, or in one worker process per core.

In this process, runs that are alike may be trained in one program. On two CPU cores
that is the slower way (results/benchmarks, sweep); on an accelerator small runs leave
most of the device idle, and the program is compiled once for all of them.
"""

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from experiments.commands.signals import die_with_parent
from experiments.loaded import prepared_run
from experiments.output.environment import keep_compiled
from experiments.output.plan import Run
from experiments.runs import execute, stored_vectors
from research.compiler import compute_where_called, cores
from research.config import Config, batch_key
from research.data.cache import default_root
from research.files import sweep, write_json
from research.notices import named
from research.prepare import is_towers
from research.train.loop import NotFinite, Trained, train_together

PATIENCE = 10.0  # seconds for an idle worker to end by itself
GRACE = 2.0  # seconds for a worker to end after SIGTERM


class RunStatus(NamedTuple):
    """How a run ended: a line on its result, or on why it failed."""

    run: Run
    line: str
    failed: bool
    seconds: float


Finished = Callable[[RunStatus], None]
Running = Callable[[str], None]


def run_failed(run: Run, reason: str, seconds: float = 0.0) -> RunStatus:
    """The status of a run that failed; its reason is written to its folder, too."""
    with contextlib.suppress(OSError):  # a full disk: the status tells the reason
        write_json(run.folder / "failed.json", {"reason": reason})
    return RunStatus(run, f"failed: {reason}", True, seconds)


def groups(runs: list[Run], at_once: int) -> Iterator[list[Run]]:
    """Groups of up to ``at_once`` runs that are alike.

    A run that is trained already, has no towers or is validated on the way stays alone.
    """
    waiting: dict[Config, list[Run]] = {}
    for run in sorted(runs, key=lambda run: repr(run.shape)):
        if at_once == 1 or not _can_be_grouped(run):
            yield [run]
            continue
        group = waiting.setdefault(batch_key(run.config), [])
        group.append(run)
        if len(group) == at_once:
            yield waiting.pop(batch_key(run.config))
    yield from waiting.values()


def _can_be_grouped(run: Run) -> bool:
    stored = stored_vectors(run) is not None
    plain = is_towers(run.config) and not run.config.evaluate_every
    return plain and run.devices == 1 and not stored


def train_group(
    runs: list[Run], data_dir: str | None, running: Running
) -> list[Trained | NotFinite]:
    """Trains the runs in one program; returns the result of each."""
    configs = [run.config for run in runs]

    def on_epoch(number: int, epoch: int, row: dict[str, float]) -> None:
        if number == 0:
            of = f"epoch {epoch}/{configs[0].epochs} of {len(runs)} runs at once"
            running(f"{runs[0].name} and others: {of}")

    prepared = [prepared_run(run.config, data_dir, run.start) for run in runs]
    return train_together(prepared, on_epoch)


def attempt(
    run: Run,
    data_dir: str | None,
    running: Running,
    place: str,
    done: Trained | NotFinite | None = None,
) -> RunStatus:
    """Does one run; an error of any kind is a failed status with its reason."""
    start = time.perf_counter()
    keep_compiled(default_root())

    def progress(line: str) -> None:
        running(f"{run.name}: {line}")

    try:
        line = execute(run, data_dir, progress, place, done)
    except BrokenPipeError:
        raise  # the parent process is gone: the run is unfinished, not failed
    except Exception as error:
        return run_failed(run, _reason(error), time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return RunStatus(run, line, line.startswith("failed"), seconds)


def _reason(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    return f"{type(error).__name__} at {where}: {error}".splitlines()[0]


def run_here(
    runs: list[Run],
    data_dir: str | None,
    finished: Finished,
    running: Running,
    at_once: int = 1,
) -> None:
    """Does all runs in this process, one after the other, ordered by shape.

    With at_once above 1, up to so many alike runs are trained in one program.
    """
    compute_where_called()
    keep_compiled(default_root())
    for group in groups(runs, at_once):
        start = time.perf_counter()
        done: Sequence[Trained | NotFinite | None] = [None] * len(group)
        if len(group) > 1:
            try:
                done = train_group(group, data_dir, running)
            except Exception as error:
                seconds = (time.perf_counter() - start) / len(group)
                for run in group:
                    finished(run_failed(run, _reason(error), seconds))
                continue
        each = (time.perf_counter() - start) / len(group)
        for run, trained in zip(group, done, strict=True):
            with named(run.name) if len(runs) > 1 else contextlib.nullcontext():
                status = attempt(run, data_dir, running, "in process", trained)
            finished(status._replace(seconds=status.seconds + each))


def run_in_workers(
    runs: list[Run],
    data_dir: str | None,
    finished: Finished,
    running: Running,
    jobs: int,
) -> None:
    """Does the runs in ``jobs`` worker processes, each bound to one core.

    If a worker dies, only its own run is lost: it is marked failed, and another worker
    takes over.
    """
    pending: dict[Config, list[Run]] = {}
    for run in runs:
        pending.setdefault(run.shape, []).append(run)
    available, users = cores(), Counter[Config]()
    workers = [
        _Worker(available[n % len(available)], data_dir)
        for n in range(min(jobs, len(runs)))
    ]
    ended = False
    try:
        for worker in workers:
            worker.give(pending, users)
        while busy := [worker for worker in workers if worker.run]:
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(w for w in busy if w.pipe is ready)
                message = worker.receive()
                if isinstance(message, str):
                    running(message)
                    continue
                finished(message)
                worker.give(pending, users)
        ended = True
    finally:
        for worker in workers:
            worker.stop(wait=ended)
        for worker in workers:
            worker.end()


def death(code: int) -> str:
    """How a worker ended that wasn't asked to end.

    >>> death(-9)
    'worker killed by signal 9 (out of memory?)'
    """
    if code >= 0:
        return f"worker died (exit code {code})"
    kernel = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"worker killed by signal {-code}{kernel}"


class _Worker:
    """A process, the pipe to it, and what it is doing."""

    def __init__(self, core: int, data_dir: str | None) -> None:
        self.core, self.data_dir = core, data_dir
        self.run: Run | None = None
        self.shape: Config | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        arguments = theirs, self.core, self.data_dir, os.getpid()
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        # A terminal sends these to workers, too; but it is their parent that ends them.
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP)
        )
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, pending: dict[Config, list[Run]], users: Counter[Config]) -> None:
        """Hands over a run: of the same shape, else of one that few have compiled."""
        self.run = None
        if not pending:
            return
        if self.shape not in pending:
            # The largest of the shapes that the fewest workers have compiled.
            self.shape = min(pending, key=lambda s: (users[s], -len(pending[s])))
            users[self.shape] += 1
        assert self.shape is not None
        self.run = pending[self.shape].pop(0)
        if not pending[self.shape]:
            del pending[self.shape]
        try:
            self.pipe.send(self.run)
        except OSError:  # it died while it was idle
            self.process.join()
            self._start()
            with contextlib.suppress(OSError):  # it died again: receive() says so
                self.pipe.send(self.run)

    def receive(self) -> str | RunStatus:
        """Waits for the worker: a line on its run, or how that ended, if only by death.

        Returns:
          The line, or the run's status.
        """
        assert self.run is not None
        try:
            message: str | RunStatus = self.pipe.recv()
            return message
        except (EOFError, ConnectionError):
            self.process.join()
            reason = death(self.process.exitcode or 0)
            sweep(self.run.folder)
            self._start()
            return run_failed(self.run, reason)

    def stop(self, wait: bool) -> None:
        """Asks the process to end; an idle one ends by itself and libraries exit."""
        self.pipe.close()
        if wait and self.run is None:
            self.process.join(PATIENCE)
        self.process.terminate()

    def end(self) -> None:
        """Waits for the process's end, and removes its part files."""
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        if self.run is not None:
            sweep(self.run.folder)


def _serve(pipe: Connection, core: int, data_dir: str | None, parent: int) -> None:
    """The worker: bound to its core before jax counts them, then run after run."""
    die_with_parent(parent)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            run = pipe.recv()
            with named(run.name):
                pipe.send(attempt(run, data_dir, pipe.send, f"worker on core {core}"))
