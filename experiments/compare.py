"""Trains a few configs in this process and hands over their rows: a grid in a cell."""

import time
from collections.abc import Mapping

from experiments.plan import prepare
from experiments.runs import baseline, fold_of, score, serve
from research.config import Config
from research.report.records import RunResult
from research.train.loop import train

__all__ = ["compare"]


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
            rows.append(_row(name, config, seed, data_dir))
            seconds = time.perf_counter() - start
            print(f"{name}, seed {seed}: {seconds:.1f} s", flush=True)
    return rows


def _row(name: str, config: Config, seed: int, data_dir: str | None) -> RunResult:
    ready = prepare(config.__class__(**{**config.__dict__, "seed": seed}), data_dir)
    fold = fold_of(ready, data_dir)
    if ready.model != "two-tower":
        return RunResult(name, {}, seed, score(ready, fold, baseline(ready, fold)))
    done = train(ready, fold)
    vectors = done.user_vectors, done.item_vectors
    scorer = serve(ready, fold, *vectors, done.temperature)
    return RunResult(name, {}, seed, score(ready, fold, scorer))
