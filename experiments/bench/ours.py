"""This project's side: its own compiled epoch, asked for some steps at a time."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.bench.loss_alone import loss_portions
from experiments.bench.memory import beyond
from experiments.bench.protocol import Answers, serve
from experiments.bench.ranking import rank_portions
from experiments.bench.sweep_side import engine_portions, run_portions
from experiments.bench.work import TOWERS, work_of
from research.batches import epoch_batches
from research.config import Config, structure
from research.train.loop import compiled_epoch, traced_values
from research.train.model import make_model
from research.train.start import init_state
from research.train.world import build_world
from research.types import Fold

__all__ = ["TASKS", "portions", "train_steps"]

COMPARED = 5  # steps whose losses all sides tell


def train_steps(told: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    work = work_of(told["dataset"], told["made"], told["data_dir"])
    changes = {name: _fixed(value) for name, value in told["changes"].items()}
    config = dataclasses.replace(TOWERS, batch=told["batch"], **changes)
    yield from portions(config, work.fold, told["steps"])


def portions(config: Config, fold: Fold, steps: int) -> Answers:
    """Gets ready and compiles, then runs ``steps`` steps each time it is asked.

    Args:
      config: the run; its features are named.
      fold: the phase.
      steps: of a portion; the first of all is part of getting ready.
    """
    world, sizes = build_world(config, fold)
    state = init_state(config, make_model(config), world, sizes)
    hyper = traced_values(config)
    epoch_of: Any = compiled_epoch(structure(config))  # jit, which can be lowered
    parts = _cycle(config, len(world.pairs.candidate), steps)
    part = jax.block_until_ready((state, world)) and next(parts)
    clock = time.perf_counter()
    compiled = epoch_of.lower(state, part, hyper, world).compile()
    compile_seconds = time.perf_counter() - clock
    planned, held = compiled.memory_analysis(), _bytes((state.params, state.optimiser))
    (state, seen), step = beyond(lambda: compiled(state, part, hyper, world))
    yield {
        "compile_seconds": compile_seconds,
        "losses": np.asarray(seen["loss"])[:COMPARED].tolist(),
        "state_bytes": held,
        "planned_bytes": None if planned is None else planned.temp_size_in_bytes,
        "step_bytes": step,
        "versions": {"jax": jax.__version__},
    }
    while True:
        part = next(parts)
        clock = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, part, hyper, world))
        yield {"seconds": time.perf_counter() - clock, "steps": len(part)}


def _bytes(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _cycle(config: Config, examples: int, steps: int) -> Iterator[np.ndarray]:
    """Portions of the first epoch's batches, from its start again when it ends."""
    batches = epoch_batches(examples, config.batch, config.seed, 1)
    steps, at = min(steps, len(batches)), 0
    while True:
        if at + steps > len(batches):
            at = 0
        yield batches[at : at + steps]
        at += steps


def _fixed(value: Any) -> Any:
    """JSON has lists where a config has tuples."""
    return tuple(value) if isinstance(value, list) else value


TASKS = {
    "train": train_steps,
    "loss": loss_portions,
    "rank": rank_portions,
    "runs": run_portions,
    "engine": engine_portions,
}

if __name__ == "__main__":
    serve(TASKS)
