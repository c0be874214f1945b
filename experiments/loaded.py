"""The data of a run and the run made ready, each made once per process."""

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

from experiments.output.code import changed
from research.config import Config
from research.data import is_own, load
from research.evaluate.metrics import CUTOFF
from research.events import catalogue, fold
from research.features import registered_features
from research.features.search import search_file
from research.fields import DataFields
from research.notices import say
from research.positives import log_share
from research.prepare import Prepared, prepare
from research.registry import CACHES
from research.saved.files import load_model
from research.serving import rule_prior
from research.splits import VALIDATION, SplitRules
from research.types import Fold, InputError, Ratings

AUTO = "auto"  # the split that suits the data
LENT = 0.1  # share of each user's training part, where there is no validation part
# The fields that decide a fold: runs that differ in others share one.
_OF_FOLD = ("dataset", "columns", "core", "split", "fit_on", "threshold", "tie_seed",
            "catalogue", *SplitRules._fields)  # fmt: skip

Stamp = tuple[tuple[str, int, int], ...]  # name, size, last change


def _stamp(*names: str) -> Stamp:
    """What tells edited files from those that were read; a folder's are its entries."""
    found = []
    with contextlib.suppress(OSError):  # whoever reads the file says what is wrong
        for path in (Path(name) for name in names if name and is_own(name)):
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                if file.is_file():
                    about = file.stat()
                    found.append((str(file), about.st_size, about.st_mtime_ns))
    return tuple(found)


def ratings_of(
    dataset: str, data_dir: str | None, columns: tuple[str, ...] = ()
) -> Ratings:
    """The data set, read once per process as long as its files stay as they are."""
    return _ratings(dataset, data_dir, columns, _stamp(dataset))


@functools.lru_cache(maxsize=2)
def _ratings(
    dataset: str, data_dir: str | None, columns: tuple[str, ...], stamp: Stamp
) -> Ratings:
    return load(dataset, data_dir, columns=columns)


def digest_of(config: Config, data_dir: str | None) -> str:
    """The digest of a config's data."""
    return ratings_of(config.dataset, data_dir, config.columns).digest


def chosen_split(
    split: str, dataset: str, data_dir: str | None, columns: tuple[str, ...] = ()
) -> str:
    """The split's name; for auto the one that suits the data, named on stderr.

    One's own data is split as given if it has a column part, else by ratio if it has
    timestamps, else at random.
    """
    if split != AUTO:
        return split
    return _suitable_split(dataset, data_dir, columns, "; --split names another")


def study_split(dataset: str, data_dir: str | None) -> str:
    """The name of the split that suits a study's data, named on stderr once."""
    return _study_split(dataset, data_dir, _stamp(dataset))


@functools.cache
def _study_split(dataset: str, data_dir: str | None, stamp: Stamp) -> str:
    return _suitable_split(dataset, data_dir, (), "")


def study_split_fields(dataset: str, data_dir: str | None) -> dict[str, Any]:
    """The fields of Config that split a study's data, by name.

    Data with a column part that has no validation rows lends a tenth of the training
    part to validation.
    """
    split = study_split(dataset, data_dir)
    if split == "given":
        part = ratings_of(dataset, data_dir).part
        if part is not None and not (part == VALIDATION).any():
            return {"split": f"{split},validation={LENT:g}"}
    return {"split": split}


def _suitable_split(
    dataset: str, data_dir: str | None, columns: tuple[str, ...], advice: str
) -> str:
    if not is_own(dataset):
        return Config.split
    ratings = ratings_of(dataset, data_dir, columns)
    if ratings.part is not None:
        split, reason = "given", "the data has a column part"
    elif ratings.timed:
        split, reason = Config.split, "the data has timestamps"
    else:
        split, reason = "random", "the data has neither timestamps nor a column part"
    say(f"{ratings.name}: split {split}, as {reason}{advice}")
    return split


@functools.lru_cache(maxsize=4)
def _fold(
    data: DataFields, data_dir: str | None, with_rated: bool, stamp: Stamp
) -> Fold:
    ratings = ratings_of(data.dataset, data_dir, data.columns)
    if data.judged_from and not ratings.rated:
        raise InputError(
            f"judged_from is {data.judged_from:g}: {ratings.name} has no ratings"
        )
    events = catalogue(
        ratings, data.threshold, data.tie_seed, data.catalogue, with_rated, data.core
    )
    rules = SplitRules(*(getattr(data, name) for name in SplitRules._fields))
    return fold(events, data.split, data.fit_on, rules)


def fold_of(config: Config, data_dir: str | None = None) -> Fold:
    """The phase that a config fits on and is judged by.

    It is made once per process, and anew where the files of the data have changed.
    """
    with_rated = any(feature.rated for _, feature in registered_features(config))
    named = {name: getattr(config, name) for name in _OF_FOLD}
    return _fold(DataFields(**named), data_dir, with_rated, _stamp(config.dataset))


def prior_by_rule(config: Config, data_dir: str | None = None) -> float:
    """The popularity prior of the rule for a config's data, shown on stderr.

    Raises:
      InputError: the table of items lacks impressions.
    """
    fitted = fold_of(config, data_dir).fitted
    log_q = log_share(fitted.item_counts)
    prior = rule_prior(log_q, fitted.items, config.logq)
    say(
        f"prior {prior:.4f}, by the rule: total strength {prior + config.logq:.4f}, of "
        f"which the loss has {config.logq:g}"
    )
    return prior


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


def prepared_run(
    config: Config, data_dir: str | None = None, start: Start | None = None
) -> Prepared:
    """The run made ready on its data (research/prepare.py), once per process.

    It is made anew where a file that it reads has changed. Where an entry from outside
    has become other code, nothing that was made with it is used again.

    Raises:
      InputError: the first invalid choice, before any training starts.
    """
    stamp = _stamp(config.dataset, config.item_array, search_file(config))
    arguments = config, data_dir, start, stamp
    prepared = _prepared_run(*arguments)
    if changed(dataclasses.asdict(prepared.config)):  # its features are named
        for clear in CACHES:
            clear()
        prepared = _prepared_run(*arguments)
    return prepared


@functools.lru_cache(maxsize=1024)
def _prepared_run(
    config: Config, data_dir: str | None, start: Start | None, stamp: Stamp
) -> Prepared:
    prepared = prepare(config, fold_of(config, data_dir), CUTOFF)
    if start is None:
        return prepared
    from research.saved.start import going_on

    return going_on(load_model(start.folder), prepared)


CACHES.extend((_fold.cache_clear, _prepared_run.cache_clear))
