"""The simulation of [yi2019]: a distribution that shifts under the estimate.

A thousand items, batches of 128 without replacement, q_i ~ i^2 and after step 10,000
q_i ~ (999 - i)^2; error = 1 / (2 |B|) sum_i |p_i estimated - p_i|, where p_i is the
probability that item i is in a batch.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes

from research import rng
from research.negatives.frequency import Estimate, at_least_one, init_estimate, observe
from research.report.pictures import SPARE_COLOURS, STYLE, Drawing, blank

__all__ = [
    "BUCKETS",
    "SHIFT",
    "STEPS",
    "error_figure",
    "in_a_batch",
    "simulate",
    "weights",
]

ITEMS, BATCH, BUCKETS = 1000, 128, 5000
SHIFT, STEPS, EVERY = 10_000, 20_000, 100
START = {"last": 0, "gap": 100.0}  # the paper's


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
    low, high = 0.0, 1e3 * batch / weight.sum()
    for _ in range(100):  # bisection to the last bit
        middle = (low + high) / 2
        few = np.sum(-np.expm1(-weight * middle)) < batch
        low, high = (middle, high) if few else (low, middle)
    return jnp.asarray(-np.expm1(-weight * low), jnp.float32)


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


DASHES = ("solid", (0, (5, 2)), (0, (2, 1.5)), "dashdot")


def error_figure(frame: pd.DataFrame, quick: bool = False) -> Drawing:
    """Draws the error along the steps: by rate at one hash, by hashes at one rate.

    Args:
      frame: a long table with k as the step, and columns hashes and frequency_rate.
      quick: said in the heading.
    """
    points = frame[["hashes", "frequency_rate", "k", "mean", "low", "high"]]
    points = points.rename(columns={"k": "step", "mean": "error"})
    rates = sorted(points.frequency_rate.unique())
    few, rate = points.hashes.min(), rates[len(rates) // 2]
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = blank(3.6, ncols=2, sharey=True)
        by_rate = points[points.hashes == few]
        _curves(left, by_rate, "frequency_rate", f"by rate, {few:g} hash")
        by_hashes = points[points.frequency_rate == rate]
        _curves(right, by_hashes, "hashes", f"by number of hashes, rate {rate:g}")
        left.set_ylabel("error (half the sum of |p - true p|, over |B|)")
        for axes in (left, right):
            axes.set_xlabel("step; the distribution shifts at 10,000")
            axes.set_ylim(bottom=0)
            axes.set_xticks(
                [0, 5_000, 10_000, 15_000, 20_000], ["0", "5k", "10k", "15k", "20k"]
            )
        if quick:
            figure.suptitle("A quick run")
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
    axes.set_title(title, loc="left", fontweight="bold")
    axes.legend(frameon=False)
