"""How fast does the streaming estimate of frequency follow a shift, and at what error?

The simulation of [yi2019]: 1,000 items, batches of 128 without replacement, q_i ~ i^2
and after step 10,000 q_i ~ (999 - i)^2. The rate of the moving average and the number
of hashes, over 5,000 buckets in all, are swept. Nothing is trained.

    error = 1 / (2 |B|) sum_i |p_i estimated - p_i|,  p_i = P(item i is in a batch)

    python -m experiments run frequency            about 3 minutes on 2 cores, 5 seeds
    python -m experiments run frequency --quick    about 10 seconds

Expect: a higher rate follows faster and settles at a higher error; more hashes settle
lower (at rate 0.01: 0.14 with one, 0.05 with four, at step 20,000).
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from scipy.optimize import brentq

from experiments.output.folders import records_path
from experiments.study import SIMULATED, Report, StudyOptions
from research import rng
from research.negatives.frequency import Estimate, at_least_one, init_estimate, observe
from research.report.intervals import over_seeds
from research.report.pages import interval_text, markdown_table
from research.report.pictures import SPARE_COLOURS, Drawing, above, blank, styled
from research.report.records import (
    RESULTS_VERSION,
    RunResult,
    Stored,
    results_of,
    save_records,
    study_header,
)
from research.report.tables import LEADING, TRAILING

NAME = "frequency"
ARM = "in-batch+logq-streaming"  # the arm whose log q the estimate is
SWEEP: dict[str, tuple[float, ...]] = {
    "hashes": (1, 2, 4),
    "frequency_rate": (0.002, 0.01, 0.05),
}
ITEMS, BATCH, BUCKETS = 1000, 128, 5000
SHIFT, STEPS, EVERY = 10_000, 20_000, 100
START = {"last": 0, "gap": 100.0}  # the paper's


def run_frequency(options: StudyOptions) -> Path:
    """Simulates each number of hashes at each rate; returns the file of records.

    A quick run keeps the first and the last combination.
    """
    combined = [
        dict(zip(SWEEP, values)) for values in itertools.product(*SWEEP.values())
    ]
    cells = [
        (swept, seed)
        for swept in (combined[:: len(combined) - 1] if options.quick else combined)
        for seed in range(options.seeds)
    ]
    rows = []
    for n, (swept, seed) in enumerate(cells, 1):
        curves = simulate(int(swept["hashes"]), swept["frequency_rate"], seed)
        rows.append(RunResult(ARM, swept, seed, None, "", curves))
        values = " ".join(f"{name} {value:g}" for name, value in swept.items())
        error = f"error {curves['error'][-1]:.4f}"
        options.progress(f"[{n}/{len(cells)}] {values} seed {seed}: {error}")
    path = records_path(options.out, SIMULATED, NAME)
    return save_records(path, rows, study_header(NAME, SIMULATED, options.quick))


def report_frequency(stored: Stored) -> Report:
    """The table (error at each step, over seeds), page and figure of the curves.

    The columns are those of every grid's table; k is the step, and no user is counted.
    """
    frame = _table(results_of(stored))
    drawings = {"-error": error_figure(frame, stored.header["quick"])}
    return Report({".csv": frame}, _paragraphs(frame), drawings)


def simulate(hashes: int, rate: float, seed: int) -> dict[str, list[float]]:
    """The estimate's error every 100 steps: {"step": [s], "error": [s]}.

    Args:
      hashes: of 5,000 buckets in all, so that more hashes have fewer each.
      rate: of the moving average.
      seed: of the batches.
    """
    logs = jnp.log(jnp.asarray(weights(), jnp.float32))
    truth = jnp.stack([in_a_batch(w, BATCH) for w in weights()])
    estimate = init_estimate(hashes, BUCKETS, **START)  # type: ignore[arg-type]
    key = rng.stream(rng.root(seed), "simulation")
    errors = _run(estimate, logs, truth, jnp.float32(rate), key)
    steps = range(EVERY, STEPS + 1, EVERY)
    return {"step": [float(s) for s in steps], "error": np.asarray(errors).tolist()}


def weights() -> Float[np.ndarray, "2 i"]:
    """Weights before and after the shift; an item of weight 0 is never drawn."""
    rising = np.arange(ITEMS, dtype=np.float64) ** 2
    return np.stack([rising, rising[::-1]])


def in_a_batch(weight: Float[np.ndarray, " i"], batch: int) -> Float[Array, " i"]:
    """P(item in a batch drawn without replacement): 1 - exp(-w_i t), with sum = batch.

    Draws in proportion to weight are the order in which independent exponential clocks
    of rate w_i ring [efraimidis2006]; a batch is what rang by the time t of the last.
    t is taken as the time by which ``batch`` are expected: for 128 of 1,000 items that
    is within 1 % of p.

    >>> [round(float(p), 4) for p in in_a_batch(np.array([1.0, 1.0, 0.0]), 1)]
    [0.5, 0.5, 0.0]
    """
    weight = weight * batch / weight.sum()  # so that t is of the order of 1
    t = brentq(lambda t: -np.expm1(-weight * t).sum() - batch, 0.0, 1e3, xtol=1e-15)
    return jnp.asarray(-np.expm1(-weight * t), jnp.float32)


@jax.jit
def _run(
    estimate: Estimate,
    logs: Float[Array, "2 i"],
    truth: Float[Array, "2 i"],
    rate: Float[Array, ""],
    key: Key[Array, ""],
) -> Float[Array, " s"]:
    ids = jnp.arange(ITEMS, dtype=jnp.int32)

    def step(estimate: Estimate, t: Array) -> tuple[Estimate, None]:
        noise = jax.random.gumbel(jax.random.fold_in(key, t), (ITEMS,))
        rang = jax.lax.top_k(logs[(t > SHIFT).astype(jnp.int32)] + noise, BATCH)[1]
        return observe(estimate, rang.astype(jnp.int32), t, rate), None

    def block(estimate: Estimate, first: Array) -> tuple[Estimate, Array]:
        times = first + jnp.arange(EVERY, dtype=jnp.int32)
        estimate, _ = jax.lax.scan(step, estimate, times)
        p = at_least_one(estimate, ids, times[-1])
        gap = jnp.abs(p - truth[(times[-1] > SHIFT).astype(jnp.int32)])
        return estimate, jnp.sum(gap) / (2 * BATCH)

    starts = jnp.arange(1, STEPS + 1, EVERY, dtype=jnp.int32)
    return jax.lax.scan(block, estimate, starts)[1]


def _table(rows: Sequence[RunResult]) -> pd.DataFrame:
    cells: dict[tuple[float, ...], list[RunResult]] = defaultdict(list)
    for row in rows:
        cells[tuple(row.swept[n] for n in SWEEP)].append(row)
    lines = []
    for values, runs in cells.items():
        curves = [run.history or {} for run in runs]
        errors = np.array([curve["error"] for curve in curves])
        for n, step in enumerate(curves[0]["step"]):
            line: dict[str, Any] = {"arm": runs[0].arm, "metric": "error"}
            line |= over_seeds(errors[:, n]).interval()._asdict()
            line |= {"k": int(step), "seeds": len(runs), "users": 0}
            lines.append(line | dict(zip(SWEEP, values)))
    frame = pd.DataFrame(lines, columns=[*LEADING, *SWEEP, *TRAILING])
    return frame.assign(against="", note="")


def _paragraphs(frame: pd.DataFrame) -> Sequence[str]:
    """The error at the middle and at the end, one row per combination."""
    last = int(frame.k.max())
    ends = [last // 2, last]
    rows = []
    for values, cell in frame[frame.k.isin(ends)].groupby(list(SWEEP), sort=False):
        errors = (
            interval_text(r.mean, r.low, r.high, ".4f") for r in cell.itertuples()
        )
        rows.append([*(f"{value:g}" for value in values), *errors])
    heads = [*SWEEP, *(f"error at step {k:,}" for k in ends)]
    note = (
        f"Mean and 95 % t interval over {int(frame.seeds.max())} seeds; "
        f"results version {RESULTS_VERSION}."
    )
    return markdown_table(heads, rows), note


DASHES = ("solid", (0, (5, 2)), (0, (2, 1.5)), "dashdot")


@styled
def error_figure(frame: pd.DataFrame, quick: bool) -> Drawing:
    """Draws the error along the steps: by rate at one hash, by hashes at one rate.

    Args:
      frame: a long table with k as the step, and columns hashes and frequency_rate.
      quick: whether the heading says that it was a quick run.
    """
    points = frame[[*SWEEP, "k", "mean", "low", "high"]]
    points = points.rename(columns={"k": "step", "mean": "error"})
    rates = sorted(points.frequency_rate.unique())
    few, rate = points.hashes.min(), rates[len(rates) // 2]
    figure, (left, right) = blank(3.6, ncols=2, sharey=True)
    by_rate = points[points.hashes == few]
    _curves(left, by_rate, "frequency_rate", f"by rate, {few:g} hash")
    by_hashes = points[points.frequency_rate == rate]
    _curves(right, by_hashes, "hashes", f"by number of hashes, rate {rate:g}")
    left.set_ylabel("half the sum of |estimate - p|,\nover the batch's size")
    for axes in (left, right):
        axes.set_xlabel("step; the distribution shifts at 10,000")
        axes.set_ylim(bottom=0)
        axes.set_xticks(
            [0, 5_000, 10_000, 15_000, 20_000], ["0", "5k", "10k", "15k", "20k"]
        )
    smoke = "A quick run: error" if quick else "Error"
    above(figure, f"{smoke} of the streaming estimate of q, before and after a shift")
    return Drawing(figure, points)


def _curves(axes: Axes, points: pd.DataFrame, by: str, title: str) -> None:
    for n, (value, curve) in enumerate(points.groupby(by)):
        colour = SPARE_COLOURS[n % len(SPARE_COLOURS)]
        line = DASHES[n % len(DASHES)]
        label = f"{value:g}"
        axes.plot(curve.step, curve.error, color=colour, linestyle=line, label=label)
        axes.fill_between(
            curve.step, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0
        )
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
