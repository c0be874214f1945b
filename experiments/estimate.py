"""What a run would cost on this machine: steps and an evaluation, timed for real."""

import dataclasses
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench.protocol import resident_bytes
from experiments.looks import MOST_USERS, PRIORS
from experiments.serve import score, serve
from research.batches import epoch_batches
from research.config import compile_key
from research.memory import machine_bytes
from research.prepare import Prepared, prepare
from research.train.loop import compiled_epoch
from research.train.model import serve_task
from research.train.optimisers import OPTIMISERS
from research.train.run_state import init_state, refreshed, traced_values
from research.train.step import TrainState
from research.types import Fold, TooLarge

STEPS = 3  # of a call, as each call copies the state once
SHORT = 0.5  # seconds of the calls that are timed, at least
LONG = 10.0  # seconds from which the first call is timed alone
USERS = 1000  # most of those that an evaluation is timed with
SMALLEST = 32  # batch that is timed in place of a larger one
LARGE = 1_000_000  # rows of a table, or items, from which advice is given


class Estimate(NamedTuple):
    """Seconds of a step and of an evaluation; those spent once; bytes of a process.

    Compilations and the initial parameters are what is done once.

    smaller is the batch that was timed where the run's own doesn't fit the machine; its
    step was scaled by the compiler's count of operations.
    """

    step: float
    once: float
    evaluation: float
    memory: float
    smaller: int | None = None

    def seconds(self, run: Prepared, servings: int = 1) -> float:
        """Of a whole run: its epochs, its looks at validation and its evaluations."""
        config, evaluations = run.config, float(servings)
        if config.evaluate_every:
            looks = config.epochs // config.evaluate_every
            evaluations += looks * _of_a_look(run)
        steps = config.epochs * steps_per_epoch(run)
        return self.once + steps * self.step + evaluations * self.evaluation


def steps_per_epoch(run: Prepared) -> int:
    """Whole batches of the run's pairs."""
    assert run.positives is not None
    return len(run.positives.pairs.candidate) // run.config.batch


def estimated(run: Prepared) -> Estimate:
    """Compiles a step of the run, and times it and an evaluation with its own data.

    A run that doesn't fit the memory has half the batch, and so on, timed for it.

    Raises:
      TooLarge: no batch fits.
    """
    clock = time.perf_counter()
    compiled, needed, operations = _compiled(run)
    seconds = time.perf_counter() - clock
    now, peak = resident_bytes() or (0, 0)
    memory = needed + now
    if memory <= machine_bytes():
        step, evaluation, more = _timed(run, compiled)
        _, higher = resident_bytes() or (0, 0)
        if higher > peak:  # else that of an earlier run hides this one's
            memory = max(memory, higher)
        return Estimate(step, seconds + more, evaluation, memory)
    half = run.config.batch // 2
    if half < SMALLEST:
        raise TooLarge(
            f"a step needs {memory / 2**30:.2g} GiB, and this machine has "
            f"{machine_bytes() / 2**30:.2g} GiB: take a smaller --dim or fewer items "
            "(--core)"
        )
    small = prepare(dataclasses.replace(run.config, batch=half), run.fold)
    found = estimated(small)
    step = found.step * operations / _compiled(small)[2]
    timed = half if found.smaller is None else found.smaller
    return found._replace(step=step, memory=memory, smaller=timed)


def state_of(run: Prepared) -> TrainState:
    """The shapes of the state before the first epoch; nothing is computed."""
    world, sizes = run.world
    fresh = dataclasses.replace(run, initial=lambda drawn: drawn)
    state: TrainState = jax.eval_shape(
        lambda: refreshed(fresh, init_state(fresh, world, sizes), world)
    )
    return state


def of_first_users(fold: Fold, count: int) -> Fold:
    """The fold with the first of its evaluated users alone, and their positives."""
    some = fold.evaluated[:count]
    held, times, removed = np.isin(fold.held_user, some), fold.held_time, fold.removed
    if removed is not None:
        offsets, items = removed[0][: len(some) + 1], removed[1]
        removed = offsets, items[: offsets[-1]]
    return fold._replace(
        evaluated=some,
        held_user=fold.held_user[held],
        held_item=fold.held_item[held],
        held_time=None if times is None else times[held],
        removed=removed,
    )


def advice(run: Prepared) -> list[str]:
    """What is clearly wrong for the size of the data, and what to take in its place."""
    config, items = run.config, run.fold.fitted.n_items
    found = []
    rows = max(len(table) for table in state_of(run).params["tables"].values())
    if rows >= LARGE and not OPTIMISERS[config.optimiser].touched_only:
        found.append(
            f"{config.optimiser} updates all {rows:,} rows of a table in each step: "
            "--optimiser lazy-adam updates those of the batch"
        )
    if items >= LARGE and "catalogue" in config.negatives:
        found.append(
            f"each row is compared with all {items:,} items: --negatives in-batch "
            "uniform:4096 --logq 1 compares it with a sample"
        )
    return found


def _of_a_look(run: Prepared) -> float:
    """How many evaluations a look at validation counts as."""
    if run.config.evaluate_prior != "best":
        return 1.0
    users = len(run.task.fold.evaluated)
    return len(PRIORS) * min(1.0, MOST_USERS / max(users, 1))


def _compiled(run: Prepared) -> tuple[Any, float, float]:
    """The program of a few steps; the bytes that it needs; its operations."""
    index = jax.ShapeDtypeStruct((STEPS, run.config.batch), jnp.int32)
    epoch: Any = compiled_epoch(compile_key(run.config))
    arguments = state_of(run), index, traced_values(run.config), run.world[0]
    compiled = epoch.lower(*arguments).compile()
    plan, costs = compiled.memory_analysis(), compiled.cost_analysis()
    needed = (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        - plan.alias_size_in_bytes
        + plan.temp_size_in_bytes
    )
    return compiled, float(needed), float(costs["flops"])


def _timed(run: Prepared, compiled: Any) -> tuple[float, float, float]:
    """Seconds of a step, of an evaluation, and of all that only the first ones take."""
    world, sizes = run.world
    clock = time.perf_counter()
    state = refreshed(run, init_state(run, world, sizes), world)
    config, hyper = run.config, traced_values(run.config)
    batches = epoch_batches(len(world.pairs.candidate), config.batch, config.seed, 1)
    index = batches[np.arange(STEPS) % len(batches)]
    begun = time.perf_counter() - clock
    taken: list[float] = []
    while not taken or sum(taken[1:]) < SHORT:
        clock = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, index, hyper, world))
        taken.append(time.perf_counter() - clock)
        if taken[0] > LONG:
            break
    call = statistics.median(taken[1:] or taken)
    first, second = (_evaluation(run, state.params) for _ in range(2))
    once = begun + taken[0] - call + max(first - second, 0.0)
    return call / STEPS, second, once


def _evaluation(run: Prepared, params: Any) -> float:
    """Seconds of encoding and evaluating everybody, in proportion from some users."""
    clock = time.perf_counter()
    users, items = map(
        np.asarray, serve_task(run.model, params, run.world[0], run.task)
    )
    encoded = time.perf_counter() - clock
    fold = of_first_users(run.task.fold, USERS)
    part = dataclasses.replace(run, task=run.task._replace(fold=fold))
    clock = time.perf_counter()
    score(part, serve(part, users[: len(fold.evaluated)], items))
    share = len(run.task.fold.evaluated) / max(len(fold.evaluated), 1)
    return encoded + share * (time.perf_counter() - clock)
