"""This project's side of the benchmark sweep: run after run, one compilation."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax.monitoring

from experiments.bench.protocol import Answers
from experiments.bench.work import RANKING, TOWERS, work_of
from experiments.engine import Outcome, cores, run_in_workers
from experiments.tasks import Task
from research.config import Config
from research.train.loop import train

__all__ = ["engine_portions", "run_portions", "swept"]

COMPILED = "/jax/core/compile/backend_compile_duration"


def swept(told: dict[str, Any]) -> list[Config]:
    """A config for each temperature and seed."""
    base = dataclasses.replace(
        TOWERS, dataset="ml-100k", batch=told["batch"], epochs=told["epochs"]
    )
    return [
        dataclasses.replace(base, temperature=temperature, seed=seed)
        for seed in range(told["seeds"])
        for temperature in told["temperatures"]
    ]


def run_portions(told: dict[str, Any]) -> Answers:
    """A run each time; compiled counts the compilations that it took."""
    compiled: list[float] = []

    def count(event: str, duration_secs: float, **_: Any) -> None:
        if event == COMPILED:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(count)
    fold = work_of(told["dataset"], told["made"], told["data_dir"], RANKING).fold
    yield {}
    for config in swept(told):
        before = len(compiled)
        train(config, fold)
        yield {"compiled": len(compiled) - before}


def engine_portions(told: dict[str, Any]) -> Answers:
    """All runs at once, over a worker a core, evaluated and written as in any grid."""
    yield {}
    failed: list[str] = []

    def finished(outcome: Outcome) -> None:
        if outcome.failed:
            failed.append(outcome.line)

    with tempfile.TemporaryDirectory() as scratch:
        tasks = [
            Task(config, (0.0,), Path(scratch) / str(n), f"run {n}")
            for n, config in enumerate(swept(told))
        ]
        workers = len(cores())
        run_in_workers(tasks, told["data_dir"], finished, lambda line: None, workers)
    yield {"failed": failed, "workers": workers}
