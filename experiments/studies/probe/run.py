"""The probe's files: tables, a page, and figures, all from an archive."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.arms import arm
from experiments.runs import fold_of, ratings_of
from experiments.studies.probe.archive import Archive, load_archive, save_archive
from experiments.studies.probe.figures import (
    bands_figure,
    deciles_figure,
    drift_figure,
    ranking_figure,
    sizes_figure,
)
from experiments.studies.probe.follow import follow
from experiments.studies.probe.forms import FORMS
from experiments.studies.probe.negatives import Seen, seen
from experiments.studies.probe.points import make_point
from experiments.studies.probe.runner import (
    FAITHFUL,
    ZERO,
    Measurement,
    ProbeRunner,
    enumerate_all,
)
from experiments.studies.probe.tables import (
    bias_table,
    decile_table,
    drift_table,
    page,
    seen_table,
)
from research.config import Config
from research.files import beside
from research.report.pages import write_texts
from research.report.pictures import save_figure
from research.report.records import records_path, study_header
from research.train.model import Model, Params, make_model
from research.train.world import World, build_world, resolve_features

__all__ = ["report_probe", "run_probe", "write_findings"]


def write_findings(archive: Archive, table: Path, figure: Path) -> list[Path]:
    """Writes <table>.csv, -deciles.csv, -negatives.csv, .md and <figure>-*.

    Returns:
      The files, each whole; the same archive gives the same bytes.
    """
    bias, deciles = bias_table(archive), decile_table(archive)
    negatives, moved = seen_table(archive), drift_table(archive)
    texts = {
        ".csv": bias,
        "-deciles.csv": deciles,
        "-negatives.csv": negatives,
        ".md": page(archive, bias, negatives),
    }
    written = write_texts(table, texts)
    for what, drawing in (
        ("ranking", ranking_figure(bias)),
        ("deciles", deciles_figure(deciles)),
        ("sizes", sizes_figure(bias)),
        ("bands", bands_figure(negatives)),
        ("drift", drift_figure(moved)),
    ):
        target = beside(figure, f"-{what}")
        written += save_figure(drawing.figure, drawing.points, target)
    return written


NAME = "probe"
MASKED = ("in-batch", "in-batch+logq", "importance", "leave-own-out", "mixed+logq")
SOURCES = (
    "in-batch",
    "popularity:511",  # alpha is 0.5
    "uniform:511",
    "fifo-cache:4096",
    "vector-cache:511",
    "rank-band:511",
)

Progress = Callable[[str], None]


class Size(NamedTuple):
    """How much is measured."""

    rows: int
    draws: int
    sizes: tuple[int, ...]
    masked_sizes: tuple[int, ...]
    small: tuple[int, ...]
    epochs: int


FULL = Size(512, 20, (4, 16, 64, 256, 1024), (16, 1024), (2, 4, 6), 10)
QUICK = Size(128, 3, (1024,), (), (2,), 1)


def run_probe(
    out: Path,
    dataset: str = "ml-100k",
    data_dir: str | None = None,
    quick: bool = False,
    progress: Progress = lambda line: None,
) -> Path:
    """Runs the probe and writes its records, tables and figures under out.

    Args:
      out: the output folder.
      dataset: whose pairs and catalogue.
      data_dir: as on the command line.
      quick: every form, but few rows and draws, one n, one epoch: no result.
      progress: told a short line as it goes on.

    Returns:
      The file of records, from which ``report_probe`` makes the rest.
    """
    size = QUICK if quick else FULL
    config = Config(dataset=dataset)
    fold = fold_of(config, data_dir)
    config = dataclasses.replace(
        arm("full-softmax", resolve_features(config, fold)), epochs=size.epochs
    )
    world, sizes = build_world(config, fold)
    model, counts = make_model(config), np.asarray(world.pool.counts, np.int64)
    models, drifts = follow(config, fold, model, world, sizes, progress)
    runner, measured = ProbeRunner(config, world.pool), []
    for name, params in models.items():
        for library in ("fitted",) if quick else ("fitted", "whole"):
            only = library == "fitted"
            point = make_point(
                model, params, world, config.temperature, size.rows, only_fitted=only
            )
            cells = _cells(dataset, name, library, size)
            for cell, found in runner.measure(point, cells, size.draws):
                measured.append((cell, found))
                progress(f"{name}, {library}: {cell.form} n {cell.n} {cell.question}")
    digest = ratings_of(dataset, data_dir).digest
    about = {"rows": size.rows, "draws": size.draws}
    archive = Archive(
        header=study_header(NAME, dataset, quick, digest, **about),
        measured=measured,
        enumerated=enumerate_all(size.small, config, progress),
        seen={m: _seen(config, model, p, world) for m, p in models.items()},
        counts=counts,
        drifts=drifts,
    )
    path = save_archive(records_path(out, dataset, NAME), archive)
    report_probe(path, out)
    return path


def report_probe(records: Path, out: Path) -> list[Path]:
    """Writes the probe's tables and figures under out from its records.

    Raises:
      InputError: no such file, not the probe's, or of another RESULTS_VERSION.
    """
    archive = load_archive(records)
    dataset = archive.header["dataset"]
    places = [out / what / dataset / NAME for what in ("tables", "figures")]
    return write_findings(archive, *places)


def _cells(dataset: str, model: str, library: str, size: Size) -> list[Measurement]:
    """Every form against n where the library is fitted; at the largest n elsewhere."""
    questions, largest = (FAITHFUL, ZERO), max(size.sizes)
    grid = [
        (form, masked, "per row", n, question)
        for form in FORMS
        for masked in (False, True)
        if not masked or form in MASKED
        for n in (size.masked_sizes if masked else size.sizes)
        for question in questions
    ]
    if library == "whole":
        grid = [g for g in grid if g[3] == largest and not g[1]]
    else:
        grid += [(f, False, "shared", largest, FAITHFUL) for f in list(FORMS)[:2]]
    return [Measurement(dataset, model, library, *rest) for rest in grid]


def _seen(
    config: Config, model: Model, params: Params, world: World
) -> dict[str, Seen]:
    base = dataclasses.replace(config, alpha=0.5, negatives=SOURCES)
    return seen(base, model, params, world)
