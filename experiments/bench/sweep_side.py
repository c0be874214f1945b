"""This project's side of the benchmark sweep: run after run, one compilation."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np

from experiments.bench.protocol import Answers
from experiments.bench.work import RANKING, TOWERS, work_of
from experiments.engine.local import RunStatus, cores, run_in_workers
from experiments.plan import Run
from research.batches import epoch_batches
from research.config import Config, structure
from research.prepare import prepare
from research.train.loop import compiled_epoch, train
from research.train.run_state import init_state, traced_values

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


def at_once_portions(told: dict[str, Any]) -> Answers:
    """An epoch of all temperatures of a seed each time, in one program."""
    fold = work_of(told["dataset"], told["made"], told["data_dir"], RANKING).fold
    configs = swept({**told, "seeds": 1})
    runs = [prepare(config, fold) for config in configs]
    world, sizes = runs[0].world
    state = _stack([init_state(run, world, sizes) for run in runs])
    hyper = _stack([traced_values(config) for config in configs])
    epoch = compiled_epoch(structure(configs[0]), len(configs))
    examples = len(world.pairs.candidate)
    yield {}
    for n in range(1, 1 + told["epochs"]):
        batches = epoch_batches(examples, configs[0].batch, configs[0].seed, n)
        state, seen = epoch(state, np.stack([batches] * len(configs)), hyper, world)
        yield {"loss": float(jax.block_until_ready(seen["loss"]).mean())}


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def engine_portions(told: dict[str, Any]) -> Answers:
    """All runs at once, over a worker a core, evaluated and written as in any grid."""
    yield {}
    failed: list[str] = []

    def finished(status: RunStatus) -> None:
        if status.failed:
            failed.append(status.line)

    with tempfile.TemporaryDirectory() as scratch:
        runs = [
            Run(config, (0.0,), Path(scratch) / str(n), f"run {n}")
            for n, config in enumerate(swept(told))
        ]
        workers = len(cores())
        run_in_workers(runs, told["data_dir"], finished, lambda line: None, workers)
    yield {"failed": failed, "workers": workers}
