"""Trains a few configs in this process and hands over their rows: a grid in a cell."""

import dataclasses
import time
from collections.abc import Mapping

from experiments.inputs import prepared_run
from experiments.runs import baseline, score, serve
from research.config import Config
from research.prepare import is_towers
from research.report.records import RunResult
from research.train.loop import NotFinite, train_together


def compare(
    configs: Mapping[str, Config], seeds: int = 1, data_dir: str | None = None
) -> list[RunResult]:
    """A row for each config and seed, as a grid's, for ``table`` and the figures.

    Args:
      configs: by the name that tables and figures show.
      seeds: each config is trained with the seeds 0 ... seeds - 1.
      data_dir: as on the command line.

    Raises:
      InputError: a config can't be meant.
      NotFinite: a loss was not finite.
    """
    rows = []
    for name, config in configs.items():
        for seed in range(seeds):
            start = time.perf_counter()
            rows.append(_result(name, config, seed, data_dir))
            seconds = time.perf_counter() - start
            print(f"{name}, seed {seed}: {seconds:.1f} s", flush=True)
    return rows


def _result(name: str, config: Config, seed: int, data_dir: str | None) -> RunResult:
    run = prepared_run(dataclasses.replace(config, seed=seed), data_dir)
    if not is_towers(config):
        return RunResult(name, {}, seed, score(run, baseline(run)))
    (trained,) = train_together([run])
    if isinstance(trained, NotFinite):
        raise trained
    vectors = trained.user_vectors, trained.item_vectors
    scorer = serve(run, *vectors, trained.temperature, config.prior)
    return RunResult(name, {}, seed, score(run, scorer))
