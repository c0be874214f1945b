"""Runs for a notebook: trained in this process, loaded from disk, or served anew.

Each is a row for ``table`` and the figures, as a grid's are, and holds the lists and
vectors behind it (``served``), which no file of records has.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from experiments.collect import history_of, settings_of
from experiments.commands.flags import data_words, run_command
from experiments.grids import GRIDS
from experiments.loaded import digest_of, prepared_run
from experiments.looks import validation
from experiments.output.folders import output
from experiments.output.plan import locate
from experiments.output.seals import why_unfinished
from experiments.resolve import Cell, expand, with_swept
from experiments.runs import baseline
from experiments.serve import CLICKS, calibrated, rank, serve
from experiments.tuner import known
from research.calibration import Calibration
from research.config import Config
from research.evaluate.record import evaluate
from research.evaluate.top_k import Scorer
from research.files import read_arrays
from research.marks import Range
from research.prepare import Prepared, check_config, is_towers
from research.report.records import RunResult, Served
from research.serving import Serving
from research.train.loop import NotFinite, train_together
from research.types import InputError, choose


def compare(
    configs: Mapping[str, Config],
    seeds: int = 1,
    data_dir: str | None = None,
    swept: Mapping[str, Sequence[float]] | None = None,
) -> list[RunResult]:
    """Trains each config with each seed, as a grid does, but writes no files.

    Args:
      configs: by the name that tables and figures show.
      seeds: each config is trained with the seeds 0 ... seeds - 1.
      data_dir: as on the command line.
      swept: values by the name of the field; each config is trained with each
        combination.

    Returns:
      One result per run, with its record, its training curve and what it serves.

    Raises:
      InputError: a config is invalid.
      NotFinite: a loss was not finite.
    """
    Range(1).check("seeds", seeds)
    cells = []
    for name, config in configs.items():
        if not isinstance(config, Config):
            raise InputError(f"{name} is {config!r}: it must be a Config, as of arm()")
        for at in _combinations(swept or {}):
            cells.append((name, at, with_swept(config, at)))
    for _, _, config in cells:  # all of them before the first is trained
        check_config(config)
        prepared_run(dataclasses.replace(config, seed=0), data_dir)
    results = []
    for name, at, config in cells:
        for seed in range(seeds):
            start = time.perf_counter()
            run = prepared_run(dataclasses.replace(config, seed=seed), data_dir)
            results.append(_trained(RunResult(name, at, seed), run))
            words = [name, *(f"{n} {v:g}" for n, v in at.items()), f"seed {seed}"]
            seconds = time.perf_counter() - start
            print(f"{', '.join(words)}: {seconds:.1f} s", flush=True)
    return results


def _combinations(swept: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Each combination of the swept values."""
    for name, values in swept.items():
        several = not isinstance(values, str) and isinstance(values, Iterable)
        if not several or not all(isinstance(v, Real) for v in values):
            raise InputError(f"swept {name} is {values!r}: it must be several numbers")
    every = itertools.product(*swept.values())
    return [dict(zip(swept, values, strict=True)) for values in every]


def _trained(result: RunResult, run: Prepared) -> RunResult:
    result = result._replace(settings=settings_of(run.config))
    if not is_towers(run.config):
        return _ranked(result, run, baseline(run))
    validate = validation(run) if run.config.evaluate_every else None
    (done,) = train_together([run], validate=validate)
    if isinstance(done, NotFinite):
        raise done
    names = dict.fromkeys(name for row in done.history for name in row)
    curves = {n: [row.get(n, math.nan) for row in done.history] for n in names}
    result = result._replace(history=curves)
    return _served(result, run, done.user_vectors, done.item_vectors, done.temperature)


def load_run(
    out: Path | str,
    grid: str,
    arm: str,
    seed: int = 0,
    swept: Mapping[str, float] | None = None,
    base: Config | None = None,
    data_dir: str | None = None,
    quick: bool = False,
) -> RunResult:
    """A finished run of a grid from its folder, with its training curve and lists.

    Args:
      out: the output folder that the grid was run into.
      grid: its name.
      arm: one of its arms.
      seed: of the run.
      swept: which of the arm's swept values, by the name of the field; all that it
        sweeps where it has several.
      base: data set, split and whatever else the runs share; default ml-100k.
      data_dir: as on the command line.
      quick: whether the grid was run with --quick.

    Raises:
      InputError: no such grid or arm, no such swept values, or the run isn't finished.
    """
    chosen, base = choose(grid, GRIDS, "grid"), base or Config()
    where = output(Path(out), quick)
    cells = expand(chosen, base, seed + 1, (arm,), quick)
    found = {} if quick else known(chosen, cells, where, data_dir)
    # With --fixed-epochs a run has the values of its grid, whatever was chosen.
    for values in ({key: one.changes for key, one in found.items()}, {}):
        cells = expand(chosen, base, seed + 1, (arm,), quick, values)
        cell = _the_one([cell for cell in cells if cell.seed == seed], swept or {})
        run = prepared_run(cell.config, data_dir)
        digest = digest_of(run.config, data_dir)
        folder = locate(cell._replace(config=run.config), grid, where, digest)[1]
        if not why_unfinished(folder):
            break
    else:
        words = data_words(dataclasses.asdict(base), "split" not in chosen.changes)
        words += ["--arms", arm, "--seeds", str(seed + 1)]
        command = run_command(grid, base.dataset, words, where)
        raise InputError(
            f"no finished run of {arm}, seed {seed}, of grid {grid} in {out}: "
            f"{command} makes it"
        )
    result = RunResult(
        *(arm, cell.swept, seed),
        history=history_of(folder),
        settings=settings_of(run.config),
    )
    if not is_towers(run.config):
        return _ranked(result, run, baseline(run))
    arrays = read_arrays(folder / "vectors.npz")
    temperature = float(arrays.get("temperature", run.config.temperature))
    return _served(result, run, arrays["users"], arrays["items"], temperature)


def _the_one(cells: Sequence[Cell], swept: Mapping[str, float]) -> Cell:
    """The cell with these swept values, among those of an arm and a seed."""
    at = dict(swept)
    found = [cell for cell in cells if at.items() <= cell.swept.items()]
    if len(found) != 1:
        values = "; ".join(str(cell.swept) for cell in cells)
        raise InputError(
            f"{len(found)} runs of {cells[0].arm}, seed {cells[0].seed}, with swept "
            f"values {at}: choose one of {values}"
        )
    return found[0]


def with_prior(
    result: RunResult,
    prior: float,
    exposure: float | None = None,
    min_clicks: int | None = None,
) -> RunResult:
    """The same model served with another popularity prior: nothing is trained.

    Args:
      result: of ``compare`` or ``load_run``, of two towers.
      prior: strength at which log q is added to score / temperature; it becomes a swept
        value of the result.
      exposure: strength at which the log of impressions is subtracted, likewise; None
        subtracts nothing and sweeps nothing.
      min_clicks: items with fewer training clicks are left out of lists, likewise.

    Raises:
      InputError: exposure isn't 0 and the table of items has no impressions; no item
        has so many clicks; a value that the field can't hold; the result is a
        baseline's, or holds no vectors.
    """
    served = result.served
    if served is None or served.users is None or served.items is None:
        raise InputError(f"{result.arm}: it holds no vectors, so no prior can be added")
    fields = {"prior": prior, "exposure": exposure, "min_clicks": min_clicks}
    others = {name: value for name, value in result.swept.items() if name not in fields}
    changes: dict[str, Any] = {n: v for n, v in fields.items() if v is not None}
    result = result._replace(swept={**others, **changes})
    vectors = served.users, served.items
    for name, value in changes.items():
        if not isinstance(value, Real):
            raise InputError(f"{name} is {value!r}: it must be a number")
    check_config(with_swept(served.run.config, changes))
    serving = Serving(**changes)
    fitted = served.run.task.fold.fitted
    serving.check(fitted.item_counts, fitted.items)
    return _served(result, served.run, *vectors, served.temperature, serving)


def calibration_of(
    result: RunResult,
    clicks: int = CLICKS,
    places: int | None = None,
    min_clicks: int = 0,
) -> Calibration:
    """How much a result's scores should count beside log q, by validation clicks.

    ``with_prior(result, *calibration_of(result).by_impressions())`` serves so.

    Args:
      result: of ``compare`` or ``load_run``, of two towers with fit_on "train".
      clicks: largest number of validation clicks, drawn at random; as many rows of the
        catalogue are held in memory.
      places: fits only clicks among so many first places of lists, such as PLACES of
        research/calibration.py; default all items.
      min_clicks: items with fewer training clicks are left out, and clicks on them.

    Raises:
      InputError: the result is judged by the test part, by which nothing may be chosen;
        it is a baseline's; or the clicks fit no scale (research/calibration.py).
    """
    served = result.served
    if served is None or served.users is None or served.items is None:
        raise InputError(f"{result.arm}: it holds no vectors to calibrate")
    if served.run.config.fit_on != "train":
        raise InputError(
            f"{result.arm}: it is judged by the test part; calibrate a run with fit_on "
            "train, which validation judges"
        )
    vectors = served.users, served.items
    fitted = served.run, *vectors, served.temperature
    return calibrated(*fitted, clicks, places, min_clicks)


def _served(
    result: RunResult,
    run: Prepared,
    users: np.ndarray,
    items: np.ndarray,
    temperature: float,
    serving: Serving | None = None,
) -> RunResult:
    """The result with the lists that vectors give, served by default as its config."""
    serving = Serving.of(run.config) if serving is None else serving
    scorer = serve(run, users, items, temperature, serving)
    return _ranked(result, run, scorer, users, items, temperature)


def _ranked(
    result: RunResult, run: Prepared, scorer: Scorer, *vectors: Any
) -> RunResult:
    lists = rank(run, scorer)
    record = evaluate(run.task.fold, lists, scorer=scorer)
    return result._replace(record=record, served=Served(run, lists, *vectors))
