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
from typing import NamedTuple

import numpy as np

from experiments.arms import arm
from experiments.inputs import fold_of, ratings_of
from experiments.studies.probe.archive import (
    FAITHFUL,
    PER_ROW,
    SMALL,
    ZERO,
    Archive,
    Measurement,
    archive_of,
    bias_table,
    decile_table,
    drift_table,
    negatives_table,
    probe_page,
    save_archive,
)
from experiments.studies.probe.bias import (
    CompiledError,
    Drawer,
    Probe,
    ProbePoint,
    compile_error,
    draw_many,
    make_drawer,
    make_point,
    probe,
)
from experiments.studies.probe.estimates import (
    BiasEstimate,
    draw_laws,
    enumerated_bias,
    small_world,
)
from experiments.studies.probe.estimators import (
    ESTIMATORS,
    ProbedArm,
    estimator_config,
    estimator_sources,
    probed_arm,
)
from experiments.studies.probe.figures import (
    bands_figure,
    deciles_figure,
    drift_figure,
    ranking_figure,
    sizes_figure,
)
from experiments.studies.probe.negatives import follow, sample_sources
from experiments.study import Report, StudyOptions
from research.config import Config
from research.negatives.source import Pool
from research.prepare import prepare
from research.report.records import Stored, study_header

NAME = "probe"
WIDTH = 1024
MASKED = ("in-batch", "in-batch+logq", "importance", "leave-own-out", "mixed+logq")
SHARED = ("in-batch", "in-batch+logq")
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


def run_probe(options: StudyOptions) -> Path:
    """Measures every estimator at the untrained and the trained model.

    A quick run has every estimator, but few rows and draws, one n and one epoch.

    Returns:
      The file of records, from which ``report_probe`` makes the rest.
    """
    dataset, data_dir, progress = options.dataset, options.data_dir, options.progress
    size = QUICK if options.quick else FULL
    config = options.config()
    fold = fold_of(config, data_dir)
    config = dataclasses.replace(arm("full-softmax", config), epochs=size.epochs)
    run = prepare(config, fold)
    config, model, (world, _) = run.config, run.model, run.world
    models, drifts = follow(run, progress)
    runner, measured = ProbeRunner(config, world.pool), []
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
    digest = ratings_of(dataset, data_dir).digest
    counts = {"rows": size.rows, "draws": size.draws}
    sampled = dataclasses.replace(config, alpha=0.5, negatives=SOURCES)
    archive = Archive(
        header=study_header(
            NAME, dataset, options.quick, digest, config.split, **counts
        ),
        measured=measured,
        enumerated=enumerate_all(size.small, config, progress),
        negatives={
            name: sample_sources(sampled, model, params, world)
            for name, params in models.items()
        },
        counts=np.asarray(world.pool.counts, np.int64),
        drifts=drifts,
    )
    return save_archive(options.out, archive)


def report_probe(stored: Stored) -> Report:
    """The study's tables and figures."""
    archive = archive_of(stored)
    bias, deciles = bias_table(archive), decile_table(archive)
    negatives = negatives_table(archive)
    tables = {".csv": bias, "-deciles.csv": deciles, "-negatives.csv": negatives}
    drawings = {
        "-ranking": ranking_figure(bias),
        "-deciles": deciles_figure(deciles),
        "-sizes": sizes_figure(bias),
        "-bands": bands_figure(negatives),
        "-drift": drift_figure(drift_table(archive)),
    }
    return Report(tables, probe_page(archive, bias, negatives), drawings)


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

    Args:
      base: what all arms share.
      pool: what negatives are drawn from.
      width: the most draws per row.
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
                arm = _arm(name, n, masked, base, worlds[0].pool)
                own_out = arm.config.leave_own_out and not masked
                laws = draw_laws(estimator.sources, worlds[0], own_out)
                each = (n // len(estimator.sources),) * len(estimator.sources)
                both = enumerated_bias(arm, each, laws, worlds)
                cell = (SMALL, "made", "whole", name, masked, PER_ROW, n)
                measured += [
                    (Measurement(*cell, question), estimate)
                    for question, estimate in zip((ZERO, FAITHFUL), both, strict=True)
                ]
        progress(f"enumerated {name}")
    return measured
