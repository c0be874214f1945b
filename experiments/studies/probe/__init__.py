"""How much of the sampling bias does each correction leave, and what does it add?

No training run is judged here. For an untrained model, and for one after 10 epochs of
full softmax, each way to draw and to correct negatives is compared with the exact
gradient at the same rows. Two columns answer two questions: is the expected gradient
zero at the truth, and is it faithful to the full softmax away from it? Rows are fixed
and negatives drawn anew; E is over draws, and over positives where these are drawn from
the model itself, the case in which the model is the truth. On six items every draw is
enumerated (estimators.py).

    python -m experiments run probe                about 8 minutes on 2 cores
    python -m experiments run probe --quick        about 1 minute

Expect on MovieLens 100K at n = 1,024, gradient of the item vectors: uncorrected
in-batch above 50 % off, every estimator with its right q below 6 %; at the truth Yi's
estimator is at zero for every n.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int, Key
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy import ndarray

from experiments.arms import arm
from experiments.kit import draw, lines
from experiments.loaded import fold_of
from experiments.studies.probe.estimators import (
    ESTIMATORS,
    BiasEstimate,
    ProbedArm,
    draw_laws,
    draw_rows,
    enumerated_bias,
    estimate_bias,
    estimator_config,
    estimator_sources,
    full_gradient,
    probed_arm,
    score_gradient,
    small_world,
)
from experiments.study import Report, StudyOptions, described, save_measured
from research import rng
from research.config import Config
from research.negatives.source import Pool
from research.prepare import Prepared, prepare
from research.report.pages import markdown_table
from research.report.pictures import Drawing, legend_above, look, styled
from research.report.records import Stored
from research.train.loop import train
from research.train.model import Model, Params
from research.train.run_state import init_state
from research.train.world import World
from research.types import Pairs

NAME = "probe"
WIDTH = 1024
FAITHFUL = "faithful"  # positives of the data: is E[g] the full softmax's gradient?
ZERO = "zero at truth"  # positives from the model: is E[g] zero?
SMALL = "6 items"
NEVER = -1e6  # a score whose weight is zero, far from what overflows
MAX_REPEATS = 8  # gradients averaged in one replicate where n is small


class ProbePoint(NamedTuple):
    """A model at fixed rows: user vectors, and scores over temperature."""

    users: Float[Array, "b d"]
    scores: Float[Array, "b i"]
    positive: Int[Array, " b"]
    temperature: float
    world: World


def make_point(
    model: Model,
    params: Params,
    world: World,
    temperature: float,
    rows: int,
    seed: int = 0,
    only_fitted: bool = False,
) -> ProbePoint:
    """The model at a sample of the training pairs, as it serves: without dropout."""
    n = world.pairs.candidate.shape[0]
    chosen = rng.generator(seed, "probe").choice(n, min(rows, n), replace=False)
    batch = Pairs(*(column[jnp.asarray(np.sort(chosen))] for column in world.pairs))
    every = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)
    users = model.serve_users(params, world, batch.query, batch.position)
    scores = users @ model.serve_items(params, world, every).T / temperature
    if only_fitted:
        scores = jnp.where(world.pool.counts[None, :] > 0, scores, NEVER)
    return ProbePoint(users, scores, batch.candidate, temperature, world)


@jax.jit
def of_items(point: ProbePoint, gradient: Float[Array, "b i"]) -> Float[Array, " p"]:
    """A gradient with respect to scores as one to item vectors, mean over rows."""
    mean = gradient / gradient.shape[0]
    return (mean.T @ point.users / point.temperature).ravel()


# One draw for the rows of a point: positives, and a wide block of ids per source.
Draw = tuple[Int[Array, " b"], tuple[Int[Array, "b w"], ...]]
Drawer = Callable[..., Draw]
# How many gradients it averages, and (scores, positive, wide ids, pool) -> [b, i].
CompiledError = tuple[int, Callable[..., Float[Array, "b i"]]]


def make_drawer(arm: ProbedArm, leave_own_out: bool = False) -> Drawer:
    """Compiles the draws of all arms whose blocks are parts of this one."""

    @functools.partial(jax.jit, static_argnums=0)
    def drawer(
        at_truth: bool,
        key: Key[Array, ""],
        scores: Float[Array, "b i"],
        positive: Int[Array, " b"],
        world: World,
    ) -> Draw:
        if at_truth:
            positive = jax.random.categorical(rng.stream(key, "positive"), scores)
            positive = positive.astype(jnp.int32)
        key = rng.stream(key, "negatives")
        return positive, draw_rows(
            key, arm, world.pairs, positive, world.pool, leave_own_out
        )

    return drawer


def draw_many(
    point: ProbePoint, drawer: Drawer, m: int, at_truth: bool = False
) -> list[Draw]:
    """Makes m independent draws, always the same ones for all arms of a family."""
    keys = jax.random.split(rng.stream(rng.root(0), "probe"), m)
    rows = point.scores, point.positive, point.world
    return [drawer(at_truth, key, *rows) for key in keys]


def compile_error(arm: ProbedArm, width: int) -> CompiledError:
    """Compiles an arm's error for wide blocks of ids, used up in turns.

    An arm that needs n of ``width`` ids per source and row averages up to width / n
    gradients in one replicate.
    """
    needs = [
        int(s.draws(m, None, 0))  # type: ignore[arg-type]
        for s, m in zip(arm.sources, arm.source_states, strict=True)
    ]
    repeats = max(1, min(width // max(needs), MAX_REPEATS))

    @jax.jit
    def error(
        scores: Float[Array, "b i"],
        positive: Int[Array, " b"],
        wide: tuple[Int[Array, "b w"], ...],
        pool: Pool,
    ) -> Float[Array, "b i"]:
        def add(total: Float[Array, "b i"], turn: Int[Array, ""]):  # type: ignore[no-untyped-def]
            ids = tuple(
                jax.lax.dynamic_slice_in_dim(block, turn * n, n, axis=1)
                for block, n in zip(wide, needs, strict=True)
            )
            return total + score_gradient(arm, scores, positive, ids, pool), None

        turns = jnp.arange(repeats, dtype=jnp.int32)
        total = jax.lax.scan(add, jnp.zeros_like(scores), turns)[0]
        return total / repeats - full_gradient(scores, positive)

    return repeats, error


def probe(
    point: ProbePoint, compiled: CompiledError, draws: list[Draw], at_truth: bool
) -> BiasEstimate:
    """The bias of an arm's gradient of the item vectors at a point, over draws.

    The reference is the exact gradient of the rows, at the truth too, where its
    expectation is zero: so the two questions have one scale. There the exact gradient
    of the sampled positives is subtracted from each draw, which lowers the noise and
    not the mean, and the cosine means nothing.
    """
    (repeats, error_of), errors = compiled, []
    for positive, ids in draws:
        error = error_of(point.scores, positive, ids, point.world.pool)
        errors.append(np.asarray(of_items(point, error)))
    reference = of_items(point, full_gradient(point.scores, point.positive))
    return estimate_bias(np.stack(errors), np.asarray(reference), repeats, not at_truth)


class Size(NamedTuple):
    """How much is measured: rows, draws, numbers of negatives, epochs of training.

    small are the numbers of negatives on the 6 items.
    """

    rows: int
    draws: int
    sizes: tuple[int, ...]
    small: tuple[int, ...]
    epochs: int


FULL = Size(512, 20, (4, 16, 64, 256, 1024), (2, 4, 6), 10)
QUICK = Size(128, 3, (1024,), (2,), 1)


class Measurement(NamedTuple):
    """What is measured, and where.

    Attributes:
      world: "6 items" (enumerated) or the data set.
      model: "untrained", "trained", or "made" on the 6 items.
      library: the catalogue: "fitted" (items clicked in the training part) or "whole".
      estimator: as in ESTIMATORS.
      masked: whether columns that hold the row's own positive are masked; of the 6
        items alone.
      n: draws per row.
      question: FAITHFUL or ZERO.
    """

    world: str
    model: str
    library: str
    estimator: str
    masked: bool
    n: int
    question: str


Found = tuple[Measurement, BiasEstimate]


def run_probe(options: StudyOptions) -> Path:
    """Measures every estimator at the untrained and the trained model.

    A quick run has every estimator, but few rows and draws, one n and one epoch.
    """
    dataset, progress = options.dataset, options.progress
    size = QUICK if options.quick else FULL
    fold = fold_of(options.config(), options.data_dir)
    config = dataclasses.replace(
        arm("full-softmax", options.config()), epochs=size.epochs
    )
    run = prepare(config, fold)
    config, (world, _) = run.config, run.world
    runner, found = ProbeRunner(config, world.pool), list[Found]()
    for name, params in models_of(run).items():
        for library in ("fitted",) if options.quick else ("fitted", "whole"):
            point = make_point(
                *(run.model, params, world, config.temperature, size.rows),
                only_fitted=library == "fitted",
            )
            cells = _cells(dataset, name, library, size)
            for cell, estimate in runner.measure(point, cells, size.draws):
                found.append((cell, estimate))
                what = f"{cell.estimator} n {cell.n} {cell.question}"
                progress(f"{name}, {library}: {what}")
    found += enumerate_all(size.small, config, progress)
    about: dict[str, Any] = {"rows": size.rows, "draws": size.draws}
    return save_measured(options, NAME, *packed(found), **about)


def packed(found: Sequence[Found]) -> tuple[dict[str, ndarray], dict[str, Any]]:
    """The arrays and the content of records: an estimate for each cell."""
    estimates = np.array([[*one] for _, one in found], "<f8")
    return {"estimates": estimates}, {"cells": [[*cell] for cell, _ in found]}


def models_of(run: Prepared) -> dict[str, Params]:
    """The parameters of a run before and after its training."""
    untrained = init_state(run, *run.world).params
    return {"untrained": untrained, "trained": train(run.config, run.fold).params}


def _cells(dataset: str, model: str, library: str, size: Size) -> list[Measurement]:
    """Every estimator against n on the items with clicks; elsewhere the largest n."""
    sizes = size.sizes if library == "fitted" else (max(size.sizes),)
    return [
        Measurement(dataset, model, library, name, False, n, question)
        for name in ESTIMATORS
        for n in sizes
        for question in (FAITHFUL, ZERO)
    ]


class ProbeRunner:
    """Measures estimators at many points; each is compiled once.

    All share the base config and the pool; width is the most draws per row.
    """

    def __init__(self, base: Config, pool: Pool, width: int = WIDTH) -> None:
        self._base, self._pool, self._width = base, pool, width
        self._error = functools.cache(self._compiled_error)
        self._drawer = functools.cache(self._compiled_drawer)

    def measure(
        self, point: ProbePoint, cells: Sequence[Measurement], m: int
    ) -> Iterator[Found]:
        """Yields what is measured for each cell; equal draws are shared."""
        families = defaultdict(list)
        for cell in cells:
            estimator = ESTIMATORS[cell.estimator]
            own_out = estimator.changes.get("leave_own_out", False)
            families[estimator.sources, own_out, cell.question].append(cell)
        for (sources, own_out, question), members in families.items():
            at_truth = question == ZERO
            draws = draw_many(point, self._drawer(sources, own_out), m, at_truth)
            for cell in members:
                error = self._error(cell.estimator, cell.n)
                yield cell, probe(point, error, draws, at_truth)

    def _compiled_error(self, name: str, n: int) -> CompiledError:
        width = self._width // len(ESTIMATORS[name].sources)
        return compile_error(_arm(name, n, False, self._base, self._pool), width)

    def _compiled_drawer(self, names: tuple[str, ...], own_out: bool) -> Drawer:
        first = next(n for n, one in ESTIMATORS.items() if one.sources == names)
        widest = _arm(first, self._width, False, self._base, self._pool)
        return make_drawer(widest, own_out)


def _arm(name: str, n: int, masked: bool, base: Config, pool: Pool) -> ProbedArm:
    config = estimator_config(name, n, masked, base)
    return probed_arm(config, pool, estimator_sources(name, config))


def enumerate_all(
    sizes: Sequence[int], base: Config, progress: Callable[[str], None]
) -> list[Found]:
    """Every estimator on the 6 items by enumeration, with and without the mask.

    An estimator that leaves the row's own positive out draws from the rest; masked, it
    draws from everything and drops it, as training does.
    """
    worlds = small_world(True), small_world(False)
    measured = []
    for name, estimator in ESTIMATORS.items():
        for masked in (False, True):
            for n in sizes:
                ready = _arm(name, n, masked, base, worlds[0].pool)
                own_out = ready.config.leave_own_out and not masked
                laws = draw_laws(estimator.sources, worlds[0], own_out)
                each = (n // len(estimator.sources),) * len(estimator.sources)
                both = enumerated_bias(ready, each, laws, worlds)
                cell = (SMALL, "made", "whole", name, masked, n)
                measured += [
                    (Measurement(*cell, question), estimate)
                    for question, estimate in zip((ZERO, FAITHFUL), both, strict=True)
                ]
        progress(f"enumerated {name}")
    return measured


def bias_table(stored: Stored) -> pd.DataFrame:
    """One row per measurement: bias, standard error, cosine, variance."""
    frame = pd.DataFrame(stored.content["cells"], columns=[*Measurement._fields])
    frame = frame.rename(columns={"estimator": "form"})
    frame["q exact"] = frame.form.map(lambda form: _yes(ESTIMATORS[form].exact))
    numbers = stored.arrays["estimates"].T
    estimates = dict(zip(BiasEstimate._fields, numbers, strict=True))
    return frame.assign(masked=frame.masked.map(_yes), **estimates)


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def probe_page(stored: Stored, bias: pd.DataFrame) -> Sequence[str]:
    """The tables in Markdown: bias at the largest n, and against n."""
    shown = bias[bias.masked == "no"]
    real, small = shown[shown.world != SMALL], shown[shown.world == SMALL]
    header, n = stored.header, int(real.n.max())
    about = described(
        f"{header['dataset']}, {header['rows']} training pairs, n = {n} negatives "
        "drawn anew for each row. The bias is that of the gradient with respect to the "
        "item vectors, in % of the full softmax's gradient at the same rows, ± one "
        "standard error over draws. Candidates are the items with a training click, "
        "unless a column says the whole catalogue.",
        {
            "zero at truth": "positives are drawn from the model itself, so that the "
            "expected gradient should be zero (of the 6 items: in % of the positives' "
            "pull)",
            "faithful": "positives are those of training; compared with the full "
            "softmax",
        },
    )
    trained = real[(real.model == "trained") & (real.library == "fitted")]
    every_draw = "6 items, every draw enumerated, gradient of the scores"
    return (
        about,
        _at_n(real[real.n == n]),
        _against_n(small, every_draw),
        _against_n(trained, "trained, gradient of the item vectors"),
    )


def _at_n(rows: pd.DataFrame) -> str:
    """The bias of each estimator by model and question, one row per estimator."""
    keys = [(m, q) for m in ("untrained", "trained") for q in (ZERO, FAITHFUL)]
    heads = ["form", "q is right", *(f"{m}: {q}" for m, q in keys)]
    heads += ["trained: noise of a draw", "trained, whole catalogue: faithful"]
    lines = []
    for name, estimator in ESTIMATORS.items():
        by_key = {
            (row.library, row.model, row.question): row
            for row in rows[rows.form == name].itertuples()
        }
        last = by_key.get(("fitted", *keys[3]))
        lines.append(
            [
                *(f"`{name}`", _yes(estimator.exact)),
                *(_bias(by_key.get(("fitted", *key))) for key in keys),
                "-" if last is None else f"{100 * np.sqrt(last.variance):.1f}",
                _bias(by_key.get(("whole", *keys[3]))),
            ]
        )
    return markdown_table(heads, lines)


def _bias(row: Any) -> str:
    return "-" if row is None else f"{100 * row.bias:.1f} ± {100 * row.error:.1f}"


def _against_n(rows: pd.DataFrame, what: str) -> str:
    """The bias of each estimator by question and n, one row per estimator."""
    keys = [(q, n) for q in (ZERO, FAITHFUL) for n in sorted(rows.n.unique())]
    lines = []
    for name in ESTIMATORS:
        bias = rows[rows.form == name].set_index(["question", "n"]).bias
        cells = (f"{100 * bias[key]:.2f}" if key in bias.index else "-" for key in keys)
        lines.append([f"`{name}`", *cells])
    heads = [f"bias in %: {what}", *(f"{q}, n = {n}" for q, n in keys)]
    return markdown_table(heads, lines)


FLOOR = 0.1  # percent: below it a bias is drawn at the edge
WITH_MASK = "in-batch+logq"  # the estimator whose mask is shown


def _percent(x: float, _: Any) -> str:
    return f"≤{FLOOR:g}" if x == FLOOR else f"{x:g}"


@styled
def sizes_figure(frame: pd.DataFrame) -> Drawing:
    """Draws bias against the number of draws n: on six items exactly, and trained."""
    small = frame[(frame.world == SMALL) & (frame.question == ZERO)]
    real = frame[(frame.model == "trained") & (frame.library == "fitted")]
    real = real[real.question == FAITHFUL]
    of_small = "n: 6 items, exact, at the truth\n(dotted: same item masked)"
    of_real = "n: trained model, away from the truth\n "
    parts = {of_small: small[small.masked == "no"], of_real: real}
    points = pd.concat(part.assign(panel=name) for name, part in parts.items())
    points["percent"] = np.maximum(100 * points.bias, FLOOR)
    masked = small[(small.form == WITH_MASK) & (small.masked == "yes")]
    masked = masked.assign(percent=np.maximum(100 * masked.bias, FLOOR))
    labels, columns = ("n", "bias (% of exact gradient)"), ("n", "percent", "form")
    figure, panels = lines(points, columns, look, labels, facet="panel", ms=5)
    draw(panels[of_small], masked, columns, look, "_{}".format, ls=":", ms=5)
    for name, panel in panels.items():
        panel.set(xlabel=name, yscale="log", ylim=(FLOOR, 100))
        panel.yaxis.set_major_formatter(FuncFormatter(_percent))
        panel.set_xscale("log", base=2)
        sizes = sorted(parts[name].n.unique())
        panel.set_xticks(sizes, [f"{n:,}" for n in sizes])
        panel.xaxis.set_minor_locator(NullLocator())
    title = "Bias of each estimator by its number of draws"
    legend_above(figure, panel, title, 4, fontsize=8.5, columnspacing=1.2)
    return Drawing(figure, pd.concat([points, masked]).reset_index(drop=True))


def report_probe(stored: Stored) -> Report:
    """The study's table and figure."""
    bias = bias_table(stored)
    drawings = {"-sizes": sizes_figure(bias)}
    return Report({".csv": bias}, probe_page(stored, bias), drawings)
