"""A compiled epoch, a portion of steps at a time: how every benchmark trains."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.bench.memory import beyond
from experiments.bench.protocol import Answers
from research.batches import epoch_batches
from research.config import Config, structure
from research.train.course import refreshed
from research.train.loop import compiled_epoch
from research.train.model import make_model
from research.train.start import init_state, traced_values
from research.train.world import build_world
from research.types import Fold

__all__ = ["portions"]

COMPARED = 5  # steps whose losses all sides tell


def portions(config: Config, fold: Fold, steps: int) -> Answers:
    """Gets ready and compiles, then runs ``steps`` steps each time it is asked.

    Args:
      config: the run; its features are named.
      fold: the phase.
      steps: of a portion; the first of all is part of getting ready.
    """
    world, sizes = build_world(config, fold)
    model = make_model(config)
    state = init_state(config, model, world, sizes)
    state = refreshed(config, model, state, world)  # as before any epoch
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
