"""How much of the sampling bias does each correction leave, and what does it add?

No training run is judged here. For an untrained model, and for one after 10 epochs of
full softmax, each way to draw and to correct negatives is compared with the exact
gradient at the same rows. Two columns answer two questions: is the expected gradient
zero at the truth, and is it faithful to the full softmax away from it?

    python -m experiments run probe                about 8 minutes on 2 cores
    python -m experiments run probe --quick        about 1 minute

Expect on MovieLens 100K at n = 1,024, gradient of the item vectors: uncorrected
in-batch above 50 % off and pushed towards what is unpopular, every estimator with its
right q below 6 %; at the truth Yi's estimator is at zero for every n.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.arms import arm
from experiments.inputs import fold_of, ratings_of
from experiments.studies.probe.bias import (
    TARGETS,
    BiasEstimate,
    CompiledError,
    Drawer,
    Probe,
    ProbePoint,
    compile_error,
    draw_laws,
    draw_many,
    enumerated_bias,
    make_drawer,
    make_point,
    probe,
    small_world,
)
from experiments.studies.probe.estimators import (
    ESTIMATORS,
    ProbedArm,
    estimator_config,
    estimator_sources,
    probed_arm,
)
from experiments.studies.probe.negatives import follow, sample_sources
from experiments.study import StudyOptions, save_study
from research.config import Config, with_values
from research.negatives.source import Pool
from research.prepare import prepare
from research.report.records import study_header

NAME = "probe"
WIDTH = 1024
MASKED = ("in-batch", "in-batch+logq", "importance", "leave-own-out", "mixed+logq")
SHARED = ("in-batch", "in-batch+logq")
FAITHFUL = "faithful"  # positives of the data: is E[g] the full softmax's gradient?
ZERO = "zero at truth"  # positives from the model: is E[g] zero?
SMALL, PER_ROW = "6 items", "per row"
# Arrays of the first fields of Products, [measurement, target, ...], and their types.
PRODUCTS = {"own": "<f4", "all": "<f4", "along": "<f4", "norm": "<f8"}
SOURCES = (
    "in-batch",
    "popularity:511",  # alpha is 0.5
    "uniform:511",
    "fifo-cache:4096",
    "vector-cache:511",
    "rank-band:511",
)


class Size(NamedTuple):
    """How much is measured: rows, draws, numbers of negatives, epochs of training.

    small are the numbers of negatives on the 6 items.
    """

    rows: int
    draws: int
    sizes: tuple[int, ...]
    masked_sizes: tuple[int, ...]
    small: tuple[int, ...]
    epochs: int


FULL = Size(512, 20, (4, 16, 64, 256, 1024), (16, 1024), (2, 4, 6), 10)
QUICK = Size(128, 3, (1024,), (), (2,), 1)


class Measurement(NamedTuple):
    """What is measured, and where.

    Attributes:
      world: "6 items" (enumerated) or the data set.
      model: "untrained", "trained", or "made" on the 6 items.
      library: the catalogue: "fitted" (items clicked in the training part) or "whole".
      estimator: as in ESTIMATORS.
      masked: whether columns that hold the row's own positive are masked.
      drawn: "per row", or "shared" by all rows.
      n: draws per row.
      question: FAITHFUL or ZERO.
    """

    world: str
    model: str
    library: str
    estimator: str
    masked: bool
    drawn: str
    n: int
    question: str


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
    config, model, (world, _) = run.config, run.model, run.world
    models, drifts = follow(run, progress)
    runner = ProbeRunner(config, world.pool)
    measured: list[tuple[Measurement, Probe]] = []
    for name, params in models.items():
        for library in ("fitted",) if options.quick else ("fitted", "whole"):
            temperature, only = config.temperature, library == "fitted"
            point = make_point(
                model, params, world, temperature, size.rows, only_fitted=only
            )
            cells = _cells(dataset, name, library, size)
            for cell, result in runner.measure(point, cells, size.draws):
                measured.append((cell, result))
                what = f"{cell.estimator} n {cell.n} {cell.question}"
                progress(f"{name}, {library}: {what}")
    enumerated = enumerate_all(size.small, config, progress)
    arrays = arrays_of(measured, enumerated)
    arrays["counts"] = np.asarray(world.pool.counts, "<i4")
    for lag, (steps, drift) in drifts.items():
        arrays[f"steps{lag}"] = np.asarray(steps, "<i4")
        arrays[f"drift{lag}"] = np.asarray(drift, "<f4")
    seen: list[list[Any]] = []
    sampled = dataclasses.replace(config, negatives=SOURCES)
    sampled = with_values(sampled, {"popularity.alpha": 0.5})
    for name, params in models.items():
        found = sample_sources(sampled, model, params, world)
        for source, (counts, *numbers) in found.items():
            arrays[f"seen{len(seen)}"] = counts.astype("<i4")
            seen.append([name, source, f"seen{len(seen)}", *numbers])
    digest = ratings_of(dataset, options.data_dir).digest
    about = {"rows": size.rows, "draws": size.draws}
    return save_study(
        options.out,
        study_header(NAME, dataset, options.quick, digest, config.split, **about),
        arrays,
        cells=[[*cell, one.products[TARGETS[0]].repeats] for cell, one in measured],
        enumerated=[list(cell) for cell, _ in enumerated],
        seen=seen,
        lags=sorted(drifts),
    )


def arrays_of(
    measured: Sequence[tuple[Measurement, Probe]],
    enumerated: Sequence[tuple[Measurement, BiasEstimate]],
) -> dict[str, ndarray]:
    """What is stored of the measurements, first axis by measurement."""
    inner = [[one.products[target] for target in TARGETS] for _, one in measured]
    arrays = {
        name: np.array([[each[n] for each in row] for row in inner], kind)
        for n, (name, kind) in enumerate(PRODUCTS.items())
    }
    arrays["signed"] = np.array([one.signed for _, one in measured], "<f2")
    return arrays | {"enumerated": np.array([[*one] for _, one in enumerated], "<f8")}


def _cells(dataset: str, model: str, library: str, size: Size) -> list[Measurement]:
    """Every estimator against n on the items with clicks; elsewhere the largest n."""
    largest = max(size.sizes)
    cells = [
        Measurement(dataset, model, library, name, masked, PER_ROW, n, question)
        for name in ESTIMATORS
        for masked in (False, True)
        if not masked or name in MASKED
        for n in (size.masked_sizes if masked else size.sizes)
        for question in (FAITHFUL, ZERO)
    ]
    if library == "whole":
        return [cell for cell in cells if cell.n == largest and not cell.masked]
    return cells + [
        Measurement(dataset, model, library, name, False, "shared", largest, FAITHFUL)
        for name in SHARED
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
    ) -> Iterator[tuple[Measurement, Probe]]:
        """Yields what is measured for each cell; equal draws are shared."""
        families = defaultdict(list)
        for cell in cells:
            estimator = ESTIMATORS[cell.estimator]
            own_out = estimator.changes.get("leave_own_out", False) and not cell.masked
            family = estimator.sources, own_out, cell.drawn == "shared"
            families[family, cell.question].append(cell)
        for (family, question), members in families.items():
            draws = draw_many(point, self._drawer(*family), m, question == ZERO)
            for cell in members:
                error = self._error(cell.estimator, cell.n, cell.masked)
                yield cell, probe(point, error, draws)

    def _compiled_error(self, name: str, n: int, masked: bool) -> CompiledError:
        width = self._width // len(ESTIMATORS[name].sources)
        return compile_error(_arm(name, n, masked, self._base, self._pool), width)

    def _compiled_drawer(
        self, names: tuple[str, ...], own_out: bool, shared: bool
    ) -> Drawer:
        first = next(n for n, one in ESTIMATORS.items() if one.sources == names)
        widest = _arm(first, self._width, False, self._base, self._pool)
        return make_drawer(widest, shared, own_out)


def _arm(name: str, n: int, masked: bool, base: Config, pool: Pool) -> ProbedArm:
    config = estimator_config(name, n, masked, base)
    return probed_arm(config, pool, estimator_sources(name, config))


def enumerate_all(
    sizes: Sequence[int], base: Config, progress: Callable[[str], None]
) -> list[tuple[Measurement, BiasEstimate]]:
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
                cell = (SMALL, "made", "whole", name, masked, PER_ROW, n)
                measured += [
                    (Measurement(*cell, question), estimate)
                    for question, estimate in zip((ZERO, FAITHFUL), both, strict=True)
                ]
        progress(f"enumerated {name}")
    return measured
