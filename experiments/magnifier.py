"""The study behind the grid magnifier: whom does the gradient fall on?"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments.arms import arm
from experiments.runs import fold_of, ratings_of
from experiments.study_records import load_study, records_path, save_study
from research.config import Config
from research.diagnostics.bed import make_bed
from research.diagnostics.follow import follow
from research.diagnostics.magnifier import formula_share, measured_share
from research.report.magnifier import Magnifier, write_magnifier
from research.train.model import make_model
from research.train.world import build_world, resolve_features

__all__ = ["report_magnifier", "run_magnifier"]

NAME = "magnifier"
MODELS = ("untrained", "trained")
TEMPERATURES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
KS = (1, 10, 100)
EPOCHS, ROWS, SEEDS = 10, 512, 5
QUICK_EPOCHS, QUICK_ROWS = 1, 64


def run_magnifier(
    out: Path,
    dataset: str = "ml-100k",
    data_dir: str | None = None,
    quick: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Measures the shares on untrained and trained models; writes all files under out.

    Args:
      out: the output folder.
      dataset: whose pairs and catalogue.
      data_dir: as on the command line.
      quick: three temperatures, one seed, few rows, one epoch: no result.
      progress: told a line a model.
    """
    temperatures = (0.02, 0.1, 1.0) if quick else TEMPERATURES
    seeds, rows = (1, QUICK_ROWS) if quick else (SEEDS, ROWS)
    shape = (2, len(MODELS), len(temperatures), len(KS), seeds)
    found = np.zeros(shape)
    for seed in range(seeds):
        config = dataclasses.replace(
            arm("full-softmax", Config(dataset=dataset)),
            epochs=QUICK_EPOCHS if quick else EPOCHS,
            seed=seed,
        )
        models = _shares(config, data_dir, temperatures, rows)
        for m, name in enumerate(MODELS):
            found[:, m, :, :, seed] = models[name]
            first = found[0, m, :, 1, seed]
            low, high = temperatures[0], temperatures[-1]
            progress(
                f"seed {seed}, {name}: the 10 hardest get {first[0]:.3f} of the "
                f"gradient at {low:g}, {first[-1]:.3f} at {high:g}"
            )
    path = save_study(
        records_path(out, dataset, NAME),
        {
            "measured": found[0].astype("<f4"),
            "formula": found[1].astype("<f4"),
            "temperatures": np.array(temperatures, "<f4"),
        },
        dataset,
        quick,
        ratings_of(dataset, data_dir).digest,
        rows=rows,
    )
    report_magnifier(path, out)
    return path


def report_magnifier(records: Path, out: Path) -> list[Path]:
    """Writes the study's table and figure under out from its records.

    Raises:
      InputError: no such file, or of another RESULTS_VERSION.
    """
    header, arrays = load_study(records)
    found = Magnifier(
        models=MODELS,
        temperatures=tuple(round(float(t), 6) for t in arrays["temperatures"]),
        ks=KS,
        measured=arrays["measured"].astype(float),
        formula=arrays["formula"].astype(float),
    )
    table, figure = (
        out / what / header["dataset"] / NAME for what in ("tables", "figures")
    )
    return write_magnifier(found, table, figure, header["quick"])


def _shares(
    config: Config, data_dir: str | None, temperatures: tuple[float, ...], rows: int
) -> dict[str, np.ndarray]:
    """By model: (measured, formula) by temperature by k, means over rows."""
    fold = fold_of(config, data_dir)
    config = resolve_features(config, fold)
    world, sizes = build_world(config, fold)
    model = make_model(config)
    models, _ = follow(config, fold, model, world, sizes)
    out = {}
    for name, params in models.items():
        bed = make_bed(model, params, world, 1.0, rows, config.seed)
        cosines, positive = bed.scores, bed.positive
        shares = []
        for value in temperatures:
            at = dataclasses.replace(config, temperature=value)
            measured = measured_share(
                at, cosines, positive, world.pairs, world.pool, KS
            )
            closed = formula_share(cosines, positive, value, KS)
            shares.append(jnp.stack([measured.mean(axis=0), closed.mean(axis=0)]))
        out[name] = np.stack([np.asarray(s) for s in shares], axis=1)
    return out
