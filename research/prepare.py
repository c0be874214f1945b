"""A run made ready: its config checked once, its features named, its parts at hand.

``prepare`` needs neither JAX nor pandas, so that an invalid config is refused before
anything heavy is imported; the parts that need JAX are made when first read.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from research.baselines import BASELINES, option_values
from research.config import Config
from research.entries import read
from research.features import (
    CLICK_TIMES,
    PER_WINDOW,
    STATIC,
    registered_features,
    resolve_sides,
)
from research.features.content import stamped
from research.features.search import resolve_search
from research.fields import DataFields
from research.losses import check_loss
from research.marks import OMITTED, marked
from research.memory import check_memory, check_squares
from research.negatives import Size, make_sources
from research.negatives.checks import check_negatives
from research.positives import POSITIVES, Positives, check_positives, make_positives
from research.positives.tasks import RetrievalTask, retrieval_task
from research.registry import entry_name
from research.serving import Serving
from research.temperature import check_temperature
from research.towers import ENCODERS, check_encoder, check_layers, uses_history
from research.types import Fold, InputError, choose

if TYPE_CHECKING:
    from research.negatives.source import Source
    from research.train.model import Model, Params
    from research.train.world import World

TOWERS = "two-tower"  # the model that is trained here; every other is a baseline
_LARGE = 400_000  # positives from which some options of baselines have other defaults


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run made ready, for the loop and for whatever serves or measures it.

    Attributes:
      config: the run, its features named and its history cut to the data.
      fold: the phase that it fits and is judged by.
      task: what is retrieved for whom (research/positives/tasks.py).
      positives: the pairs of the training part; None for a baseline.
      initial: from freshly drawn parameters to those that training starts from; the
        drawn ones unless a run goes on from a saved model (research/saved/start.py).
    """

    config: Config
    fold: Fold
    task: RetrievalTask
    positives: Positives | None
    initial: "Callable[[Params], Params]" = lambda drawn: drawn

    @cached_property
    def model(self) -> "Model":
        """The two towers."""
        from research.train.model import make_model

        return make_model(self.config)

    @cached_property
    def sources(self) -> "tuple[Source, ...]":
        """The sources of negatives."""
        return make_sources(self.config.negatives, self.config)

    @property
    def world(self) -> "tuple[World, dict[str, int]]":
        """The fold on the device, and the number of rows of each embedding table."""
        return _world_of(self)


# Of the latest two: else a process keeps the arrays of every run that it trains.
@lru_cache(maxsize=2)
def _world_of(run: Prepared) -> "tuple[World, dict[str, int]]":
    from research.train.world import build_world

    assert run.positives is not None
    return build_world(run.config, run.fold, run.positives)


def is_towers(config: Config) -> bool:
    """Whether the model is the two towers and no baseline."""
    return config.model == TOWERS


def is_large(fold: Fold) -> bool:
    """Whether a data set counts as large, for the defaults of baselines.

    It does by the positives of the phase, training and held-out part together, so that
    near the limit two phases of one data set can differ.
    """
    return len(fold.fitted.item) + len(fold.held_item) >= _LARGE


def check_config(config: Config) -> None:
    """Refuses a config that is invalid whatever the data.

    Raises:
      InputError: the first reason, in one line.
    """
    check_encoder(config)  # first, as it says why some names are refused
    config.check()
    choose(entry_name(config.model), {TOWERS: None, **BASELINES}, "model")
    check_loss(config)
    check_temperature(config)
    check_layers(config)
    check_positives(config)
    check_negatives(config)
    if not is_towers(config):
        if config.model.startswith(TOWERS):
            raise InputError(f"model {config.model}: {TOWERS} takes no values")
        option_values(config.model)
        for name in ("ips", "exposure", "min_clicks"):
            if value := getattr(config, name):
                raise InputError(f"{name} is {value:g}: model {config.model} has none")
        if not POSITIVES.choose(config.positives).ranks_items:
            raise InputError(
                f"model {config.model} with positives {config.positives}: the "
                f"baselines rank items for users"
            )


def check_times(config: Config, timed: bool) -> None:
    """Refuses fields that need times where the data has no timestamps.

    Raises:
      InputError: the first such field, in one line.
    """
    if timed:
        return
    kind = read(config.positives, POSITIVES)
    sessions = kind.name == "item-item"
    halves = kind.values.get("halves") == "time"
    model = not is_towers(config) and BASELINES.choose(config.model).timed
    reasons = {
        f"model {config.model}": model,
        f"encoder {config.encoder}": ENCODERS[config.encoder].ordered,
        f"positives {config.positives} (sessions)": sessions,
        "halves by time (choose --positives user-user,halves=random)": halves,
        "batch_order time": entry_name(config.batch_order) == "time",
    }
    for name, feature in registered_features(config):
        reasons[f"feature '{name}'"] = feature.gives != STATIC
    for what, by_time in reasons.items():
        if by_time:
            raise InputError(f"{what} goes by time, and the data has no timestamps")


def prepare(config: Config, fold: Fold, depth: int = 0) -> Prepared:
    """Checks a config against the registries and its data; names its features.

    A baseline has no batch, and most have no seed: fields without an effect are set to
    their defaults, so that a model without random draws is one run however many seeds
    a grid has.

    Raises:
      InputError: the first invalid choice, before any training starts.
    """
    check_config(config)
    check_times(config, fold.fitted.timed)
    task = retrieval_task(config, fold)
    candidates = task.fold.fitted.n_items
    if depth > candidates:
        what = f"{POSITIVES.choose(config.positives).candidate}s"
        raise InputError(
            f"k = {depth} is above the number of {what} ({candidates}): every list has "
            f"{depth} places"
        )
    if not is_towers(config):
        return Prepared(named(config, fold), fold, task, None)
    fitted = task.fold.fitted
    Serving.of(config).check(fitted.item_counts, fitted.items, max(depth, 1))
    check_memory(config, fold.fitted)
    positives = make_positives(config, fold.fitted)
    candidate = positives.pairs.candidate
    if config.batch > len(candidate):
        raise InputError(
            f"batch {config.batch} is larger than the training part "
            f"({len(candidate)} pairs)"
        )
    clicked = len(np.unique(candidate))
    most = int(np.diff(positives.offsets).max())
    size = Size(positives.candidates, clicked, len(candidate), most)
    check_negatives(config, size)
    check_loss(config, size.items)
    return Prepared(named(config, fold), fold, task, positives)


def named(config: Config, fold: Fold) -> Config:
    """The config that a run on this data has: what it leaves open is named.

    Raises:
      InputError: the data lacks a feature that is asked for.
    """
    if is_towers(config):
        return _with_features(config, fold)
    return _baseline(config, fold)


def _baseline(config: Config, fold: Fold) -> Config:
    """The config of a baseline: its own values named, all else at its default."""
    entry = BASELINES.choose(config.model)
    values = option_values(config.model, is_large(fold))
    name = entry_name(config.model)
    check_squares(name, entry.squares, fold.fitted.n_items)
    kept = ["dataset", "split", "fit_on", "threshold", "tie_seed", "catalogue"]
    kept += marked(DataFields, OMITTED)
    words = [f"{name}={value:.12g}" for name, value in values.items()]
    return Config(
        **{field: getattr(config, field) for field in kept},
        model=",".join([name, *words]),
        seed=config.seed if entry.seeded else 0,
    )


def _with_features(config: Config, fold: Fold) -> Config:
    """The config with its features named: those asked for, else what the data set has.

    The user's id is used on demand only: on MovieLens the history says more. A history
    longer than any user's is cut to the longest, as the rest would be empty.

    Raises:
      InputError: a feature is asked for that the data set lacks, a tower is left
        without input, or an encoder without the user features it attends by.
    """
    if (
        POSITIVES.choose(config.positives).history_alone
        and config.user_features is None
    ):
        config = dataclasses.replace(config, user_features=())
    users, items = resolve_sides(config, fold.fitted, uses_history(config))
    static = [feature for feature in users.values() if feature.gives != CLICK_TIMES]
    if ENCODERS[config.encoder].profile and not static:
        raise InputError(
            f"encoder {config.encoder} attends by the user's features: name at least "
            "one in user_features"
        )
    search = resolve_search(config, fold)
    longest = int(np.diff(fold.fitted.offsets).max())
    by_shuffle = entry_name(config.batch_order) == "shuffled"
    in_time = any(feature.gives == PER_WINDOW for feature in items.values())
    return dataclasses.replace(
        config,
        user_features=tuple(users),
        item_features=tuple(items),
        item_array=stamped(config.item_array),
        search=search,
        history=min(config.history, longest),
        batch_order="time" if in_time and by_shuffle else config.batch_order,
    )
