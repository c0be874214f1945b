"""What --show prints of runs before they are trained: nothing is trained or written.

Data is read and shapes are traced. The time comes from finished runs of the same shapes
under the output folder; where there is none, from the compiler's count of operations.
"""

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from experiments.loaded import Start, prepared_run
from experiments.output.folders import FINISHED
from experiments.output.plan import plan
from experiments.resolve import Cell
from research.config import REFERENCE, Config, batch_key, compile_key
from research.files import read_json
from research.marks import HYPER, SERVING, SWEPT, UNCOMPILED, marked
from research.prepare import Prepared, is_towers
from research.temperature import kind_of, widest
from research.types import InputError

WIDTH = 13  # of the names in front of the values
_ORIGINS = {"batch": "the batch's", "fresh": "encoded anew", "stored": "stored"}


def show(
    cells: list[Cell],
    grid: str,
    out: Path,
    data_dir: str | None,
    start: Start | None = None,
) -> int:
    """Prints the runs that the cells stand for; returns an exit status."""
    prepared, runs, total = plan(cells, grid, out, data_dir, start)
    configs = [dataclasses.asdict(cell.config) for cell in prepared]
    names = [
        field.name
        for field in dataclasses.fields(Config)
        if all(config[field.name] == configs[0][field.name] for config in configs)
    ]
    print("config of every run" if len(cells) > 1 else "config")
    for name in names:
        print(f"  {name:22}{_word(configs[0][name])}")
    past = list(_finished_runs(out))
    estimates: dict[Config, Estimate] = {}
    shown: set[tuple[str, str]] = set()
    for asked, cell in zip(cells, prepared, strict=True):
        towers = is_towers(cell.config)  # what is swept means nothing to a baseline
        swept = {n: v for n, v in cell.swept.items() if towers and n not in names}
        if (cell.arm, repr(swept)) in shown:  # another seed
            continue
        shown.add((cell.arm, repr(swept)))
        title = [f"{name} {_word(value)}" for name, value in swept.items()]
        print("", " ".join([cell.arm, *title]), sep="\n")
        if start is not None:
            print(f"  {'starts from':{WIDTH}}{start.folder}")
        run = prepared_run(cell.config, data_dir, start)
        shape = batch_key(cell.config)
        if towers and shape not in estimates:
            estimates[shape] = _estimate(run, past)
        titled = {**cell.swept, "seed": 0}
        lines = _lines(asked.config, run, titled, names, estimates.get(shape))
        for name, text in lines:
            print(f"  {name:{WIDTH}}{text}")
    due = [estimates.get(batch_key(one.config)) for one in runs]
    left = sum(one.seconds for one in due if one is not None)
    note = "" if all(is_towers(one.config) for one in runs) else ", baselines apart"
    print(f"\nruns: {total}, {len(runs)} of them still to do")
    print(f"time: about {_duration(left)} one after the other{note}")
    return FINISHED


def _lines(
    asked: Config,
    run: Prepared,
    swept: Mapping[str, Any],
    shared: list[str],
    estimate: "Estimate | None",
) -> Iterator[tuple[str, str]]:
    """The lines that are printed about one run, as names and values."""
    changed = [
        f"{f.name} {_word(getattr(asked, f.name))} ({_word(f.default)})"
        for f in dataclasses.fields(Config)
        if getattr(asked, f.name) != getattr(REFERENCE, f.name)
    ]
    yield "differs", ", ".join(changed) or "in nothing from the reference recipe"
    resolved = [
        f"{f.name} {_word(getattr(run.config, f.name))}"
        for f in dataclasses.fields(Config)
        if f.name not in shared
        and f.name not in swept
        and getattr(run.config, f.name) != getattr(asked, f.name)
    ]
    if resolved:
        yield "resolved", ", ".join(resolved)
    if estimate is None:
        yield "model", f"{run.config.model}, a baseline: no batches and no steps"
        return
    yield from _batch(run)
    yield from _parameters(run)
    yield from _log_q(run)
    steps, per_epoch = _steps(run)
    epochs = run.config.epochs
    yield "steps", f"{steps:,}: {epochs} epochs of {per_epoch:,}"
    yield "time", f"about {_duration(estimate.seconds)}, from {estimate.basis}"


def _batch(run: Prepared) -> Iterator[tuple[str, str]]:
    """The shapes of a batch: queries, positives, the columns of each source."""
    import jax
    import jax.numpy as jnp

    from research.types import Pairs

    config, (world, _) = run.config, run.world
    rows = jax.ShapeDtypeStruct((config.batch,), jnp.int32)
    pairs = Pairs(rows, rows, rows, jax.ShapeDtypeStruct(rows.shape, jnp.float32))
    clicks = run.model.history
    history = f", each with up to {clicks} clicks" if clicks else ""
    yield "queries", f"{config.batch:,}{history}"
    yield "positives", f"{config.batch:,}"
    key, total = jax.random.key(0), 0
    for source, state in zip(run.sources, _state(run).source_states, strict=True):
        drawn = jax.eval_shape(source.draw, key, pairs, state, world.pool)
        columns = drawn.ids.shape[-1]
        total += columns
        whose = "of each row's own" if drawn.ids.ndim > 1 else "shared by all rows"
        columns_of = f"{source.name}: {columns:,} columns {whose}"
        yield "negatives", f"{columns_of}, vectors {_ORIGINS[source.origin]}"
    yield "logits", f"{config.batch:,} x {total:,} of negatives"


def _parameters(run: Prepared) -> Iterator[tuple[str, str]]:
    """The number of parameters of each table and net."""
    import jax

    params = _state(run).params

    def count(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    for name, table in params["tables"].items():
        rows, width = table.shape
        yield "table", f"{name}: {rows:,} x {width} = {table.size:,}"
    for side in ("user", "item"):
        yield "tower", f"{side}: {count(params[side]):,}"
    yield "parameters", f"{count(params):,} in all"


def _log_q(run: Prepared) -> Iterator[tuple[str, str]]:
    """The range of log q of a click, and the temperature from which it counts less."""
    import numpy as np

    world, _ = run.world
    counts, log_q = np.asarray(world.pool.counts), np.asarray(world.pool.log_share)
    unseen = int((counts == 0).sum())
    low, high = float(log_q[counts > 0].min()), float(log_q.max())
    none = f"; {unseen:,} without a click at {log_q.min():.2f}" if unseen else ""
    yield "log q", f"{low:.2f} to {high:.2f}, {high - low:.2f} nats wide{none}"
    largest = widest(run.config, counts)
    useful = "no bound: log q corrects cosines only where logq is above 0"
    if largest is not None:
        useful = f"from about {largest:.2f} on log q counts for less in the loss"
    yield "temperature", f"{kind_of(run.config).lowest(run.config):g}; {useful}"


def _steps(run: Prepared) -> tuple[int, int]:
    """All steps of a run, and those of an epoch."""
    assert run.positives is not None
    per_epoch = len(run.positives.pairs.candidate) // run.config.batch
    return per_epoch * run.config.epochs, per_epoch


class PastRun(NamedTuple):
    """A finished run: what its time depends on, and the seconds of a step."""

    shape: dict[str, Any]
    step: float
    compile: float


class Estimate(NamedTuple):
    """Seconds of training, and what they are estimated from."""

    seconds: float
    basis: str


def _shape(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields on which the time of a step depends: structure, and the data set."""
    free = marked(Config, SWEPT, HYPER, SERVING, UNCOMPILED)
    shape = {n: v for n, v in fields.items() if n not in free and n != "arm"}
    # JSON has no tuples.
    shape = {n: list(v) if isinstance(v, tuple) else v for n, v in shape.items()}
    return {**shape, "dataset": fields.get("dataset")}


def _finished_runs(out: Path) -> Iterator[PastRun]:
    """The runs under an output folder that recorded how long they took."""
    for folder in sorted((out / "runs").glob("*/*/*/")):
        try:
            env = read_json(folder / "env.json")
            config = read_json(folder / "config.json")
            last = (folder / "history.csv").read_text().splitlines()[-1].split(",")
            epochs, steps = float(last[0]), float(last[1])
            rest = steps - steps / epochs  # the first epoch compiles
            step = env["run_seconds"] / rest
            yield PastRun(_shape(config), step, env["compile_seconds"])
        except (InputError, OSError, KeyError, ValueError, IndexError, ArithmeticError):
            continue  # a baseline, a run of one epoch, or one that isn't finished


def _estimate(run: Prepared, past: list[PastRun]) -> Estimate:
    shape, (steps, _) = _shape(dataclasses.asdict(run.config)), _steps(run)
    like = [one for one in past if one.shape == shape]
    if like:
        step = statistics.median(one.step for one in like)
        first = statistics.median(one.compile for one in like)
        runs = f"{len(like)} finished run{'s' if len(like) > 1 else ''}"
        basis = f"{runs} of this shape: {1000 * step:.3g} ms per step"
        return Estimate(first + step * steps, basis)
    operations, speed = _operations(run), _speed() / 2
    basis = (
        f"{operations / 1e6:,.0f} million operations per step by the compiler's count, "
        f"at {speed / 1e9:.3g} billion per second, half of what a product of two "
        f"matrices reached here just now, compiling apart; the output folder has no "
        f"finished run of this shape"
    )
    return Estimate(steps * operations / speed, basis)


def _state(run: Prepared) -> Any:
    """The shapes of the state before the first epoch; nothing is computed."""
    import jax

    from research.train.run_state import init_state, refreshed

    world, sizes = run.world
    fresh = dataclasses.replace(run, initial=lambda drawn: drawn)
    return jax.eval_shape(
        lambda: refreshed(fresh, init_state(fresh, world, sizes), world)
    )


def _operations(run: Prepared) -> float:
    """Floating-point operations of a step, counted on its traced program."""
    import jax
    import jax.numpy as jnp

    from research.train.run_state import traced_values
    from research.train.step import make_step

    index = jax.ShapeDtypeStruct((run.config.batch,), jnp.int32)
    arguments = _state(run), index, traced_values(run.config), run.world[0]
    lowered = jax.jit(make_step(compile_key(run.config))).lower(*arguments)
    costs: Any = lowered.cost_analysis()
    return float(costs["flops"])


@cache
def _speed(size: int = 1024, turns: int = 5) -> float:
    """Floating-point operations per second of a product of matrices, the best turn."""
    import jax
    import jax.numpy as jnp

    product, matrix = jax.jit(jnp.matmul), jnp.ones((size, size))
    product(matrix, matrix).block_until_ready()
    best = float("inf")
    for _ in range(turns):
        begun = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def _duration(seconds: float) -> str:
    """A length of time in words.

    >>> _duration(42.4), _duration(150), _duration(7200)
    ('42 s', '2.5 min', '2 h')
    """
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"


def _word(value: Any) -> str:
    """A field's value as on the command line."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    if value is None:
        return "by the data set"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
