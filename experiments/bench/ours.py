"""This project's side: what it can be asked for."""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.bench.protocol import Answers, peak_bytes, serve
from experiments.bench.sweep_side import at_once_portions, engine_portions, run_portions
from experiments.bench.work import RANKING, TOWERS, changed, work_of
from experiments.runs import score
from experiments.runs import serve as scorer_of
from research import rng
from research.batches import epoch_batches
from research.config import Config, structure
from research.evaluate.metrics import summary
from research.evaluate.top_k import seen_items_of, top_k
from research.logits.candidates import Block, candidate_logits
from research.logits.reducers import WHOLE, Limits, Plan, choose_plan
from research.losses import LOSSES
from research.losses.square import PairVectors
from research.negatives import Size, check_negatives, held_whole, make_sources
from research.negatives.source import Pool
from research.prepare import prepare
from research.temperature.kinds import Temperature
from research.towers.towers import normalise
from research.train.loop import compiled_epoch
from research.train.run_state import init_state, refreshed, traced_values
from research.types import Fold, InputError, Pairs

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def beyond(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """Calls, waits for the arrays, and tells the most that was held beyond the start.

    On a CPU that is resident memory, whose peak Linux can be told to forget; on an
    accelerator what its allocator says.

    Returns:
      what the call returned; the bytes, None where the system doesn't tell.
    """
    before = _held(forget=True)
    result = jax.block_until_ready(call())
    after = _held(forget=False)
    if before is None or after is None:
        return result, None
    return result, max(after[1] - before[0], 0)


def _held(forget: bool) -> tuple[int, int] | None:
    """Bytes held now, and at most since they were forgotten last."""
    stats = jax.devices()[0].memory_stats()
    if stats is not None:
        return stats["bytes_in_use"], stats["peak_bytes_in_use"]
    try:
        if forget:
            peak_bytes()  # keeps what is about to be forgotten
            descriptor = os.open(_RESET, os.O_WRONLY)
            os.write(descriptor, b"5")
            os.close(descriptor)
        text = _STATUS.read_text()
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


COMPARED = 5  # steps whose losses all sides tell


def portions(config: Config, fold: Fold, steps: int) -> Answers:
    """Gets ready and compiles, then runs ``steps`` steps each time it is asked.

    Args:
      config: the run; its features are named.
      fold: the phase.
      steps: of a portion; the first of all is part of getting ready.
    """
    run = prepare(config, fold)
    world, sizes = run.world
    state = refreshed(run, init_state(run, world, sizes), world)  # as before an epoch
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


def rank_portions(told: dict[str, Any]) -> Answers:
    """Seconds of the exact top 100 of all users, and of every metric of a report."""
    fold = work_of(told["dataset"], told["made"], told["data_dir"], RANKING).fold
    with np.load(told["work"]) as file:
        users, items = file["users"], file["items"]
    run, seen = prepare(Config(), fold), seen_items_of(fold)

    def once() -> dict[str, float]:
        clock = time.perf_counter()
        top_k(users, items, None, *seen)
        ranked = time.perf_counter()
        summary(score(run, scorer_of(run, users, items)))
        return {"rank": ranked - clock, "metrics": time.perf_counter() - ranked}

    yield {"compile_seconds": sum(once().values())}
    while True:
        yield once()


LARGE = 2048  # rows of the square product whose speed is called full


def loss_portions(told: dict[str, Any]) -> Answers:
    """Milliseconds of each form of the loss, one after the other, at a batch."""
    config = dataclasses.replace(TOWERS, batch=told["batch"])
    work = work_of(told["dataset"], told["made"], told["data_dir"])
    world, _ = prepare(config, work.fold).world
    # The examples in steps of a prime, so that a batch isn't one user's.
    index = jnp.arange(config.batch, dtype=jnp.int32) * 7919
    index = index % len(world.pairs.candidate)
    batch = Pairs(*(column[index] for column in world.pairs))
    keys = jax.random.split(rng.root(0), 3)
    shape = (config.batch, config.dim)
    query, vectors = (normalise(jax.random.normal(key, shape)) for key in keys[:2])
    side = min(LARGE, 8 * config.batch)
    square = jax.random.normal(keys[2], (side, side))
    always = Limits(one_pass=0)
    in_blocks = choose_plan(
        config.batch, config.batch, whole=False, one_pass=True, limits=always
    )
    dense, blocked = (
        _gradient(config, batch, world.pool, plan) for plan in (WHOLE, in_blocks)
    )
    forms: dict[str, tuple[Callable[..., Any], Array, Array]] = {
        "dense": (dense, query, vectors),
        "blocked": (blocked, query, vectors),
        "products": (_products, query, vectors),
        "large": (jax.jit(jnp.matmul), square, square),
    }
    clock = time.perf_counter()
    for run, left, right in forms.values():
        jax.block_until_ready(run(left, right))
    chosen = choose_plan(
        config.batch,
        config.batch,
        whole=held_whole(config) is not None,
        one_pass=LOSSES[config.loss].one_pass,
    )
    flops = 3 * 2 * config.batch**2 * config.dim
    yield {
        "compile_seconds": time.perf_counter() - clock,
        "chosen": "dense" if chosen.whole else "blocked",
        "full_speed": flops / (2 * side**3),  # of the large product's time
    }
    while True:
        found = {}
        for name, (run, left, right) in forms.items():
            clock = time.perf_counter()
            jax.block_until_ready(run(left, right))
            found[name] = time.perf_counter() - clock
        yield found


def _gradient(
    config: Config, batch: Pairs, pool: Pool, plan: Plan
) -> Callable[..., Any]:
    """(query, vectors) -> mean loss and both gradients, by that plan."""
    (source,), hyper = make_sources(config.negatives, config), traced_values(config)
    source_state = source.init(pool, hyper)
    drawn = source.draw(rng.root(0), batch, source_state, pool)
    temperature = Temperature(hyper["temperature"])

    def mean_loss(
        query: Float[Array, "b d"], vectors: Float[Array, "b d"]
    ) -> Float[Array, ""]:
        pair = PairVectors(query, vectors)
        blocks = (Block(source, source_state, drawn, vectors),)
        positive, negatives = candidate_logits(
            config, *pair, blocks, batch, pool, None, hyper, temperature, plan
        )
        traced = {**hyper, "items": jnp.float32(pool.counts.shape[0])}
        return jnp.mean(LOSSES[config.loss](positive, negatives, traced, pair))

    return jax.jit(jax.value_and_grad(mean_loss, argnums=(0, 1)))


@jax.jit
def _products(
    query: Float[Array, "b d"], vectors: Float[Array, "b d"]
) -> tuple[Array, Array, Array]:
    """The logits, and what multiplies them back into both gradients."""
    # The barrier keeps the compiler from multiplying the small matrices first.
    logits = jax.lax.optimization_barrier(query @ vectors.T)
    return logits, logits @ vectors, logits.T @ query


# The towers of the benchmarks, with every switch as an arm finds it.
PLAIN = dataclasses.replace(TOWERS, logq=0.0, mask_same_item=False)


def cost_portions(told: dict[str, Any]) -> Answers:
    """Seconds a step and bytes of each case in turn; or why it isn't possible."""
    fold = work_of(told["dataset"], told["made"], told["data_dir"]).fold
    yield {}
    for changes in told["cases"]:
        try:
            config = possible(changed(PLAIN, changes), fold)
        except InputError as error:
            yield {"refused": str(error)}
            continue
        steps = 1 if _per_row(config) else told["steps"]
        asked = itertools.islice(portions(config, fold, steps), 1 + told["repeats"])
        ready, *found = asked
        yield {
            "seconds": [portion["seconds"] / portion["steps"] for portion in found],
            "negatives": negatives_of(config, fold.fitted.n_items),
            **{n: ready[n] for n in ("planned_bytes", "state_bytes")},
        }


def negatives_of(config: Config, items: int) -> int:
    """How many columns a row is compared with, beside its own.

    >>> negatives_of(Config(batch=8, negatives=("in-batch", "uniform:5")), 100)
    12
    """
    known = {"in-batch": config.batch - 1, "catalogue": items - 1}
    total = 0
    for spec in config.negatives:
        name, _, number = spec.partition(":")
        total += known[name] if name in known else config.draws or int(number)
    return total


def possible(config: Config, fold: Fold) -> Config:
    """The config as it can be run on the fold.

    What can't take so many draws keeps those that its arm names.

    Raises:
      InputError: it can't be run.
    """
    candidate = fold.fitted.item
    size = Size(fold.fitted.n_items, len(np.unique(candidate)), len(candidate))
    config.check()
    try:
        check_negatives(config, size)
    except InputError:
        config = dataclasses.replace(config, draws=0)
        check_negatives(config, size)
    return prepare(config, fold).config


def _per_row(config: Config) -> bool:
    """Whether each row has columns of its own, so that a step is long."""
    named = ("uniform-per-row", "rank-band")
    return any(spec.partition(":")[0] in named for spec in config.negatives)


def train_steps(told: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    work = work_of(told["dataset"], told["made"], told["data_dir"])
    config = changed(TOWERS, {"batch": told["batch"], **told["changes"]})
    yield from portions(config, work.fold, told["steps"])


TASKS = {
    "train": train_steps,
    "loss": loss_portions,
    "rank": rank_portions,
    "runs": run_portions,
    "at once": at_once_portions,
    "engine": engine_portions,
    "cost": cost_portions,
}

if __name__ == "__main__":
    serve(TASKS)
