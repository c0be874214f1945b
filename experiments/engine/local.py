"""Runs that are alike, trained in one program: for devices that one run doesn't fill.

On two CPU cores this is the slower way (results/benchmarks, sweep); on an accelerator
small runs leave most of the device idle, and the program is compiled for all of them.
"""

import contextlib
import multiprocessing
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from experiments.folders import keep_compiled, write_json
from experiments.inputs import prepared_run
from experiments.plan import Task
from experiments.runs import execute
from research.config import Config, alike
from research.data.cache import default_root
from research.prepare import is_towers
from research.train.loop import NotFinite, Trained, train_together

__all__ = ["RunStatus", "cores", "groups", "run_here", "run_in_workers", "train_group"]


def groups(tasks: list[Task], at_once: int) -> Iterator[list[Task]]:
    """The tasks, up to ``at_once`` of those that are alike in a group.

    What has been trained already, has no towers, or is measured on the way stays alone.
    """
    waiting: dict[Config, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: repr(task.shape)):
        if at_once == 1 or not _can(task):
            yield [task]
            continue
        group = waiting.setdefault(alike(task.config), [])
        group.append(task)
        if len(group) == at_once:
            yield waiting.pop(alike(task.config))
    yield from waiting.values()


def _can(task: Task) -> bool:
    stored = (task.folder / "vectors.npz").is_file()
    plain = is_towers(task.config) and not task.config.evaluate_every
    return plain and task.devices == 1 and not stored


def train_group(
    tasks: list[Task], data_dir: str | None, running: Callable[[str], None]
) -> list[Trained | NotFinite]:
    """What came of each task's training."""
    configs = [task.config for task in tasks]

    def on_epoch(run: int, epoch: int, row: dict[str, float]) -> None:
        if run == 0:
            of = f"epoch {epoch}/{configs[0].epochs} of {len(tasks)} runs at once"
            running(f"{tasks[0].name} and others: {of}")

    runs = [prepared_run(config, data_dir) for config in configs]
    return train_together(runs, on_epoch)


class RunStatus(NamedTuple):
    """How a task ended: a line on its result, or failed."""

    task: Task
    line: str
    failed: bool
    seconds: float


PATIENCE = 10.0  # seconds for an idle worker to end by itself
Finished = Callable[[RunStatus], None]
Running = Callable[[str], None]


def cores() -> list[int]:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def attempt(
    task: Task,
    data_dir: str | None,
    running: Running,
    place: str,
    done: Trained | NotFinite | None = None,
) -> RunStatus:
    """Does one task; an error of any kind is a failed outcome with its reason."""
    start = time.perf_counter()
    keep_compiled(default_root())

    def progress(line: str) -> None:
        running(f"{task.name}: {line}")

    try:
        what = task.config, task.priors, task.folder
        line = execute(*what, data_dir, progress, place, task.devices, done)
    except BrokenPipeError:
        raise  # whoever asked is gone: the run is unfinished, not failed
    except Exception as error:
        line = _failed(task, error)
    seconds = time.perf_counter() - start
    return RunStatus(task, line, line.startswith("failed"), seconds)


def _failed(task: Task, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    reason = f"{type(error).__name__} at {where}: {error}".splitlines()[0]
    write_json(task.folder / "failed.json", {"reason": reason})
    return f"failed: {reason}"


def run_here(
    tasks: list[Task],
    data_dir: str | None,
    finished: Finished,
    running: Running,
    at_once: int = 1,
) -> None:
    """All tasks in this process, one after the other, tasks of one shape together.

    With at_once above 1, up to so many that are alike are trained in one program.
    """
    keep_compiled(default_root())
    for group in groups(tasks, at_once):
        start = time.perf_counter()
        done: Sequence[Trained | NotFinite | None] = [None] * len(group)
        if len(group) > 1:
            try:
                done = train_group(group, data_dir, running)
            except Exception as error:
                seconds = (time.perf_counter() - start) / len(group)
                for task in group:
                    finished(RunStatus(task, _failed(task, error), True, seconds))
                continue
        each = (time.perf_counter() - start) / len(group)
        for task, trained in zip(group, done, strict=True):
            outcome = attempt(task, data_dir, running, "in process", trained)
            finished(outcome._replace(seconds=outcome.seconds + each))


def run_in_workers(
    tasks: list[Task],
    data_dir: str | None,
    finished: Finished,
    running: Running,
    jobs: int,
) -> None:
    """The tasks over ``jobs`` worker processes, each bound to one core.

    A worker that dies takes only its own task with it: that task is marked failed and
    another worker takes over.
    """
    pending: dict[Config, list[Task]] = {}
    for task in tasks:
        pending.setdefault(task.shape, []).append(task)
    available, users = cores(), Counter[Config]()
    workers = [
        _Worker(available[n % len(available)], data_dir)
        for n in range(min(jobs, len(tasks)))
    ]
    try:
        for worker in workers:
            worker.give(pending, users)
        while busy := [worker for worker in workers if worker.task]:
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(w for w in busy if w.pipe is ready)
                message = worker.receive()
                if isinstance(message, str):
                    running(message)
                    continue
                finished(message)
                worker.give(pending, users)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process, the pipe to it, and what it is doing."""

    def __init__(self, core: int, data_dir: str | None) -> None:
        self.core, self.data_dir = core, data_dir
        self.task: Task | None = None
        self.shape: Config | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, self.core, self.data_dir), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, pending: dict[Config, list[Task]], users: Counter[Config]) -> None:
        """Hands over the next task: of the same shape, else of the one least shared."""
        self.task = None
        if not pending:
            return
        if self.shape not in pending:
            # The largest of the shapes that the fewest workers have compiled.
            self.shape = min(pending, key=lambda s: (users[s], -len(pending[s])))
            users[self.shape] += 1
        assert self.shape is not None
        self.task = pending[self.shape].pop(0)
        if not pending[self.shape]:
            del pending[self.shape]
        self.pipe.send(self.task)

    def receive(self) -> str | RunStatus:
        """A line on what is running, or an outcome; a death is an outcome too."""
        assert self.task is not None
        try:
            message: str | RunStatus = self.pipe.recv()
            return message
        except (EOFError, ConnectionError):
            self.process.join()
            reason = f"worker died (exit code {self.process.exitcode})"
            write_json(self.task.folder / "failed.json", {"reason": reason})
            outcome = RunStatus(self.task, f"failed: {reason}", True, 0.0)
            self._start()
            return outcome

    def stop(self) -> None:
        """Ends the process: by itself, so that its libraries tidy up, if it is idle."""
        self.pipe.close()
        if self.task is None:
            self.process.join(PATIENCE)
        self.process.terminate()
        self.process.join()


def _serve(pipe: Connection, core: int, data_dir: str | None) -> None:
    """The worker: bound to its core before jax counts them, then task after task."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            task = pipe.recv()
            pipe.send(attempt(task, data_dir, pipe.send, f"worker on core {core}"))
