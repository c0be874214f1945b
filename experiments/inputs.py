"""The data of a run and the run made ready, each made once per process."""

import functools
from pathlib import Path
from typing import NamedTuple

from research.config import Config
from research.data import load
from research.evaluate.metrics import LEAST_ITEMS
from research.events import catalogue, fold
from research.features import registered_features
from research.prepare import Prepared, check_config, prepare
from research.saved.files import load_model
from research.types import Fold, Ratings


@functools.lru_cache(maxsize=2)
def ratings_of(dataset: str, data_dir: str | None) -> Ratings:
    """The data set, read once per process."""
    return load(dataset, data_dir)


@functools.lru_cache(maxsize=4)
def _fold(
    dataset: str, data_dir: str | None, threshold: float, salt: int, library: str,
    split: str, fit_on: str, with_rated: bool,
) -> Fold:  # fmt: skip
    ratings = ratings_of(dataset, data_dir)
    events = catalogue(ratings, threshold, salt, library, with_rated)
    return fold(events, split, fit_on)


def fold_of(config: Config, data_dir: str | None = None) -> Fold:
    """The phase that a config fits on and is judged by, made once per process."""
    with_rated = any(feature.rated for _, feature in registered_features(config))
    return _fold(
        config.dataset, data_dir, config.threshold, config.tie_salt, config.library,
        config.split, config.fit_on, with_rated,
    )  # fmt: skip


class Start(NamedTuple):
    """The saved model that a run starts from: its folder and its digest."""

    folder: Path
    digest: str


def start_of(folder: Path | None) -> Start | None:
    """The start in that folder, None for none.

    Raises:
      InputError: it holds no model that can be read.
    """
    if folder is None:
        return None
    return Start(folder, load_model(folder).about["digest"])


@functools.lru_cache(maxsize=1024)
def prepared_run(
    config: Config, data_dir: str | None = None, start: Start | None = None
) -> Prepared:
    """The run made ready on its data (research/prepare.py), once per process.

    Args:
      config: of the run.
      data_dir: as on the command line.
      start: the saved model whose parameters it starts from.

    Raises:
      InputError: anything that can't be meant, before any training starts.
    """
    check_config(config)
    prepared = prepare(config, fold_of(config, data_dir), LEAST_ITEMS)
    if start is None:
        return prepared
    from research.saved.start import going_on

    return going_on(load_model(start.folder), prepared)
