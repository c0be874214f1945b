"""This project's side of the benchmarks: a task for each kind of request."""

import dataclasses
import functools
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.bench.protocol import (
    COMPARED,
    Answers,
    peak_bytes,
    portion_slices,
    resident_bytes,
    serve,
    timed_lists,
)
from experiments.bench.work import RANKING, TOWERS, TRAINING, changed, work_of
from experiments.engine.local import RunStatus, run_in_workers
from experiments.estimate import of_first_users
from experiments.output.plan import Run
from experiments.serve import score
from experiments.serve import serve as scorer_of
from research import rng
from research.batches import epoch_batches
from research.compiler import compute_where_called, cores
from research.config import Config, compile_key
from research.evaluate.metrics import summary
from research.evaluate.top_k import seen_items_of, top_k
from research.logits.candidates import Block, candidate_logits
from research.logits.reducers import WHOLE, Limits, Plan, choose_plan
from research.losses import LOSSES
from research.negatives import entries_of, held_whole, make_sources
from research.negatives.source import Pool
from research.prepare import prepare
from research.serving import AS_TRAINED
from research.temperature.kinds import Temperature
from research.towers.towers import normalise
from research.train.loop import compiled_epoch, train
from research.train.run_state import init_state, refreshed, traced_values
from research.types import Fold, InputError, Pairs

_RESET = Path("/proc/self/clear_refs")


def beyond(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """Calls, waits for the arrays, and measures how far memory rose above the start.

    On a CPU that is resident memory, whose peak Linux can reset; on an accelerator what
    its allocator reports.

    Returns:
      what the call returned; the bytes, None where the system doesn't report them.
    """
    before = _held(reset=True)
    result = jax.block_until_ready(call())
    after = _held(reset=False)
    if before is None or after is None:
        return result, None
    return result, max(after[1] - before[0], 0)


def _held(reset: bool) -> tuple[int, int] | None:
    """Bytes held now, and the most since the peak was last reset."""
    stats = jax.devices()[0].memory_stats()
    if stats is not None:
        return stats["bytes_in_use"], stats["peak_bytes_in_use"]
    if reset:
        peak_bytes()  # remembers the peak that is about to be reset
        try:
            _RESET.write_text("5")
        except OSError:
            return None
    return resident_bytes()


def portions(config: Config, fold: Fold, steps: int) -> Answers:
    """Gets ready and compiles, then runs ``steps`` steps each time it is asked."""
    run = prepare(config, fold)
    world, sizes = run.world
    state = refreshed(run, init_state(run, world, sizes), world)  # as before an epoch
    hyper = traced_values(config)
    epoch_of: Any = compiled_epoch(compile_key(config))  # jit, which can be lowered
    batches = epoch_batches(len(world.pairs.candidate), config.batch, config.seed, 1)
    parts = (batches[steps_of] for steps_of in portion_slices(len(batches), steps))
    part = jax.block_until_ready((state, world)) and next(parts)
    clock = time.perf_counter()
    compiled = epoch_of.lower(state, part, hyper, world).compile()
    compile_seconds = time.perf_counter() - clock
    planned = compiled.memory_analysis()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.optimiser)))
    (state, diagnostics), step = beyond(lambda: compiled(state, part, hyper, world))
    yield {
        "compile_seconds": compile_seconds,
        "losses": np.asarray(diagnostics["loss"])[:COMPARED].tolist(),
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


def rank_portions(request: dict[str, Any]) -> Answers:
    """Seconds of the exact top 100 of all users, and of every metric of a report."""
    fold = _fold(request, RANKING)
    with np.load(request["work"]) as file:
        users, items = file["users"], file["items"]
    run, seen_items = prepare(Config(), fold), seen_items_of(fold)

    def once() -> dict[str, float]:
        clock = time.perf_counter()
        top_k(users, items, None, *seen_items, k=100)
        ranked = time.perf_counter()
        summary(score(run, scorer_of(run, users, items)))
        return {"rank": ranked - clock, "metrics": time.perf_counter() - ranked}

    yield {"compile_seconds": sum(once().values())}
    while True:
        yield once()


def evaluation_portions(request: dict[str, Any]) -> Answers:
    """Seconds of lists and every metric of the first users, by random vectors."""
    fold = of_first_users(_fold(request), request["users"])
    run, draw = prepare(PLAIN, fold), np.random.default_rng(0)
    user_vectors, item_vectors = (
        draw.standard_normal((rows, PLAIN.dim), np.float32)
        for rows in (fold.fitted.n_users, fold.fitted.n_items)
    )

    def once() -> dict[str, float]:
        clock = time.perf_counter()
        summary(score(run, scorer_of(run, user_vectors, item_vectors)))
        return {"seconds": time.perf_counter() - clock}

    yield {"compile_seconds": once()["seconds"]}
    while True:
        yield once()


def list_portions(request: dict[str, Any]) -> Answers:
    """Seconds of the exact top 100 of a part of the users; no item is removed."""
    with np.load(request["work"]) as file:
        users, items = file["users"], file["items"]
    none = np.zeros(0, np.int64)

    def rank(part: np.ndarray) -> np.ndarray:
        return top_k(part, items, None, np.zeros(len(part) + 1, np.int64), none, k=100)

    return timed_lists(users, request["portion"], rank)


LARGE = 2048  # rows of the square product whose speed counts as full speed


def loss_portions(request: dict[str, Any]) -> Answers:
    """Seconds of each way to compute the loss, one after the other, at a batch."""
    config = dataclasses.replace(TOWERS, batch=request["batch"])
    world, _ = prepare(config, _fold(request)).world
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
    gradient = functools.partial(_gradient, config, batch, world.pool)
    ways: dict[str, tuple[Callable[..., Any], Array, Array]] = {
        "dense": (gradient(WHOLE), query, vectors),
        "blocked": (gradient(in_blocks), query, vectors),
        "products": (_products, query, vectors),
        "large": (jax.jit(jnp.matmul), square, square),
    }

    def seconds() -> dict[str, float]:
        found = {}
        for name, (run, left, right) in ways.items():
            clock = time.perf_counter()
            jax.block_until_ready(run(left, right))
            found[name] = time.perf_counter() - clock
        return found

    compile_seconds = sum(seconds().values())
    chosen = choose_plan(
        config.batch,
        config.batch,
        whole=held_whole(config) is not None,
        one_pass=LOSSES.choose(config.loss).one_pass,
    )
    flops = 3 * 2 * config.batch**2 * config.dim
    yield {
        "compile_seconds": compile_seconds,
        "chosen": "dense" if chosen.whole else "blocked",
        "full_speed": flops / (2 * side**3),  # of the large product's time
    }
    while True:
        yield seconds()


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
        blocks = (Block(source, source_state, drawn, vectors),)
        positive, negatives = candidate_logits(
            config, query, vectors, blocks, batch, pool, None, hyper, temperature, plan
        )
        traced = {**hyper, "items": jnp.float32(pool.counts.shape[0])}
        return jnp.mean(LOSSES.choose(config.loss)(positive, negatives, traced, None))

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


def cost_portions(request: dict[str, Any]) -> Answers:
    """Seconds per step and bytes of each case in turn, or why it isn't possible."""
    fold = _fold(request)
    yield {}
    for changes, steps in zip(request["cases"], request["steps"], strict=True):
        try:
            config = possible(changed(PLAIN, changes), fold)
        except InputError as error:
            yield {"refused": str(error)}
            continue
        # Negatives drawn for each row make a step long.
        named = entries_of(config.negatives, config)
        is_long = any(n.entry.per_row and n.entry.origin == "fresh" for n in named)
        answers = portions(config, fold, 1 if is_long else steps)
        ready, *measured = itertools.islice(answers, 1 + request["repeats"])
        yield {
            "seconds": [portion["seconds"] / portion["steps"] for portion in measured],
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

    Sources that can't take so many draws keep the number that the arm names.

    Raises:
      InputError: it can't be run.
    """
    try:
        return prepare(config, fold).config
    except InputError:
        return prepare(dataclasses.replace(config, draws=0), fold).config


def train_steps(request: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    config = changed(TOWERS, {"batch": request["batch"], **request["changes"]})
    yield from portions(config, _fold(request), request["steps"])


def _fold(request: dict[str, Any], phase: str = TRAINING) -> Fold:
    where = request["dataset"], request["synthetic"], request["data_dir"]
    return work_of(*where, phase).fold


COMPILED = "/jax/core/compile/backend_compile_duration"


def _swept(request: dict[str, Any]) -> list[Config]:
    """A config for each temperature and seed."""
    base = dataclasses.replace(
        TOWERS, dataset="ml-100k", batch=request["batch"], epochs=request["epochs"]
    )
    return [
        dataclasses.replace(base, temperature=temperature, seed=seed)
        for seed in range(request["seeds"])
        for temperature in request["temperatures"]
    ]


def run_portions(request: dict[str, Any]) -> Answers:
    """A run each time; compiled counts the compilations that it took."""
    compiled: list[float] = []

    def count(event: str, duration_secs: float, **_: Any) -> None:
        if event == COMPILED:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(count)
    fold = _fold(request, RANKING)
    yield {}
    for config in _swept(request):
        before = len(compiled)
        train(config, fold)
        yield {"compiled": len(compiled) - before}


def at_once_portions(request: dict[str, Any]) -> Answers:
    """An epoch of all temperatures of a seed each time, in one program."""
    fold = _fold(request, RANKING)
    configs = _swept({**request, "seeds": 1})
    runs = [prepare(config, fold) for config in configs]
    world, sizes = runs[0].world
    state = _stack([init_state(run, world, sizes) for run in runs])
    hyper = _stack([traced_values(config) for config in configs])
    epoch = compiled_epoch(compile_key(configs[0]), len(configs))
    examples = len(world.pairs.candidate)
    yield {}
    for n in range(1, 1 + request["epochs"]):
        batches = epoch_batches(examples, configs[0].batch, configs[0].seed, n)
        stacked = np.stack([batches] * len(configs))
        state, diagnostics = epoch(state, stacked, hyper, world)
        yield {"loss": float(jax.block_until_ready(diagnostics["loss"]).mean())}


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def engine_portions(request: dict[str, Any]) -> Answers:
    """All runs at once in one worker per core, evaluated and written as in a grid."""
    yield {}
    failed: list[str] = []

    def finished(status: RunStatus) -> None:
        if status.failed:
            failed.append(status.line)

    with tempfile.TemporaryDirectory() as scratch:
        runs = [
            Run(config, (AS_TRAINED,), Path(scratch) / str(n), f"run {n}")
            for n, config in enumerate(_swept(request))
        ]
        workers = len(cores())
        run_in_workers(runs, request["data_dir"], finished, lambda line: None, workers)
    yield {"failed": failed, "workers": workers}


TASKS = {
    "train": train_steps,
    "loss": loss_portions,
    "rank": rank_portions,
    "evaluate": evaluation_portions,
    "lists": list_portions,
    "runs": run_portions,
    "at once": at_once_portions,
    "engine": engine_portions,
    "cost": cost_portions,
}

if __name__ == "__main__":
    compute_where_called()  # as run and train do
    serve(TASKS)
