"""What --show prints of runs before they are trained: nothing is written.

Data is read and shapes are traced; a few steps of each structure, and an evaluation,
are timed (experiments/estimate.py).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.estimate import Estimate, advice, estimated, state_of, steps_per_epoch
from experiments.loaded import Start, prepared_run
from experiments.output.folders import FINISHED
from experiments.output.plan import plan
from experiments.resolve import Cell
from research.config import REFERENCE, Config, batch_key
from research.prepare import Prepared, is_towers
from research.temperature import kind_of, widest
from research.types import Pairs

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
            estimates[shape] = estimated(run)
        titled = {**cell.swept, "seed": 0}
        lines = _lines(asked.config, run, titled, names, estimates.get(shape))
        for name, text in lines:
            print(f"  {name:{WIDTH}}{text}")
    left = sum(
        estimates[batch_key(one.config)].seconds(
            prepared_run(one.config, data_dir, start), len(one.servings)
        )
        for one in runs
        if is_towers(one.config)
    )
    note = "" if all(is_towers(one.config) for one in runs) else ", baselines apart"
    print(f"\nruns: {total}, {len(runs)} of them still to do")
    print(f"time: about {_duration(left)} one after the other{note}")
    return FINISHED


def _lines(
    asked: Config,
    run: Prepared,
    swept: Mapping[str, Any],
    shared: list[str],
    estimate: Estimate | None,
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
    epochs, per_epoch = run.config.epochs, steps_per_epoch(run)
    yield "steps", f"{epochs * per_epoch:,}: {epochs} epochs of {per_epoch:,}"
    yield "time", _time(run, estimate)
    yield "memory", f"about {estimate.memory / 2**30:.2g} GiB a process"
    for line in advice(run):
        yield "advice", line


def _time(run: Prepared, estimate: Estimate) -> str:
    """The estimate in words, with what it was made from."""
    parts = (
        f"{1000 * estimate.step:.3g} ms a step, {estimate.evaluation:.2g} s an "
        f"evaluation, {estimate.once:.2g} s once, as timed here"
    )
    if estimate.smaller is not None:
        parts += (
            f" at batch {estimate.smaller:,} and scaled by operations, as the run "
            "doesn't fit this machine"
        )
    return f"about {_duration(estimate.seconds(run))}: {parts}"


def _batch(run: Prepared) -> Iterator[tuple[str, str]]:
    """The shapes of a batch: queries, positives, the columns of each source."""
    config, (world, _) = run.config, run.world
    rows = jax.ShapeDtypeStruct((config.batch,), jnp.int32)
    pairs = Pairs(rows, rows, rows, jax.ShapeDtypeStruct(rows.shape, jnp.float32))
    clicks = run.model.history
    history = f", each with up to {clicks} clicks" if clicks else ""
    yield "queries", f"{config.batch:,}{history}"
    yield "positives", f"{config.batch:,}"
    key, total = jax.random.key(0), 0
    for source, state in zip(run.sources, state_of(run).source_states, strict=True):
        drawn = jax.eval_shape(source.draw, key, pairs, state, world.pool)
        columns = drawn.ids.shape[-1]
        total += columns
        whose = "of each row's own" if drawn.ids.ndim > 1 else "shared by all rows"
        columns_of = f"{source.name}: {columns:,} columns {whose}"
        yield "negatives", f"{columns_of}, vectors {_ORIGINS[source.origin]}"
    yield "logits", f"{config.batch:,} x {total:,} of negatives"


def _parameters(run: Prepared) -> Iterator[tuple[str, str]]:
    """The number of parameters of each table and net."""
    params = state_of(run).params

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
