"""The features of a side: which of them a run uses, and their arrays."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.config import Config
from research.features import (
    CLICK_TIMES,
    FEATURES,
    ITEM,
    STATIC,
    USER,
    Codes,
    Feature,
    Request,
    feature_of,
)
from research.types import Events, InputError


def available(side: str, events: Events, config: Config) -> dict[str, Feature]:
    """The features of a side that can be had, by name: id, columns, all others.

    A column without any value counts as absent.
    """
    table = events.table(side)
    features = {}
    for name in dict.fromkeys(["id", *table.columns, *FEATURES]):
        feature = feature_of(table, name, side)
        if (
            feature
            and not (feature.kind and table.columns[name].missing.all())
            and (events.rated is not None or not feature.rated)
            and (config.item_array or not feature.file)
            and feature.available(events, config)
        ):
            features[name] = feature
    return features


def choose_features(side: str, events: Events, config: Config) -> dict[str, Feature]:
    """The features of a side that the config names, else the default ones at hand.

    Raises:
      InputError: a name that the data set lacks.
    """
    features = available(side, events, config)
    names = config.user_features if side == USER else config.item_features
    if names is None:
        return {name: f for name, f in features.items() if side in f.default}
    for name in names:
        if name not in features:
            raise InputError(
                f"{side} feature '{name}' is not in this data set: "
                f"it has {' '.join(features)}"
            )
    return {name: features[name] for name in names}


def resolve_sides(
    config: Config, events: Events, with_history: bool
) -> tuple[dict[str, Feature], dict[str, Feature]]:
    """The user and the item features of a run, after all checks of them.

    Args:
      config: of the run.
      events: the fitted part.
      with_history: whether the user tower reads a history.

    Raises:
      InputError: a feature that the data set lacks or that can't be made, or a tower
        with nothing to go by.
    """
    users, items = (choose_features(side, events, config) for side in (USER, ITEM))
    of_clicks = [
        name for name, feature in users.items() if feature.gives == CLICK_TIMES
    ]
    if len(of_clicks) > 1:
        raise InputError(f"user features {' and '.join(of_clicks)}: name one of them")
    if not with_history:
        if len(users) == len(of_clicks):
            raise InputError("the user tower has neither a history nor a feature")
        for name in of_clicks:
            raise InputError(f"user feature '{name}' needs a history: there is none")
    if not items:
        raise InputError("the item tower has no feature")
    if config.item_array and not any(feature.file for feature in items.values()):
        raise InputError("item_array names a file: name 'array' in item_features too")
    for side, features in ((USER, users), (ITEM, items)):
        for name, feature in features.items():
            feature.check(Request(name, side, events, config))
    return users, items


def needs_rated(config: Config) -> bool:
    """Whether a feature asks for the ratings below the threshold."""
    return any(feature.rated for _, feature in _registered(config))


def timed_names(config: Config) -> list[str]:
    """The features the config names that go by the time of a user's event."""
    return [name for name, feature in _registered(config) if feature.gives != STATIC]


def _registered(config: Config) -> list[tuple[str, Feature]]:
    named = ((USER, config.user_features or ()), (ITEM, config.item_features or ()))
    return [
        (name, FEATURES[name])
        for side, names in named
        for name in names
        if name in FEATURES and side in FEATURES[name].sides
    ]


class Features(NamedTuple):
    """A side's static features: codes [n] into tables of so many rows; dense [n, f]."""

    codes: dict[str, Int[ndarray, " n"]]
    sizes: dict[str, int]
    dense: Float[ndarray, "n f"]


def static_features(
    side: str, features: Mapping[str, Feature], events: Events, config: Config
) -> Features:
    """The codes and the numbers of the static ones among the features.

    Args:
      side: USER or ITEM.
      features: of the side, by name; those of another sort are passed over.
      events: the fitted part.
      config: of the run.

    Raises:
      ValueError: a feature's function has returned something else than codes or
        numbers of each user or item.
    """
    n, codes, sizes = len(events.table(side).id), {}, {}
    dense = [np.zeros((n, 0), np.float32)]
    for name, values in made_features(STATIC, side, features, events, config).items():
        _check_values(f"{side} feature '{name}'", values, n)
        if isinstance(values, Codes):
            table = features[name].table.format(side=side, name=name)
            codes[table], sizes[table] = values.code.astype(np.int32), values.rows
        else:
            dense.append(values.astype(np.float32, copy=False))
    return Features(codes, sizes, np.concatenate(dense, axis=1))


def _check_values(what: str, values: Codes | ndarray, n: int) -> None:
    if isinstance(values, Codes):
        code = values.code
        if code.shape != (n,) or code.min() < 0 or code.max() >= values.rows:
            raise ValueError(f"{what}: expected {n} codes below {values.rows}")
    elif values.ndim != 2 or len(values) != n:
        raise ValueError(f"{what}: expected {n} rows of numbers, not {values.shape}")


def made_features(
    gives: str,
    side: str,
    features: Mapping[str, Feature],
    events: Events,
    config: Config,
) -> dict[str, Any]:
    """What those of a sort among the features return, in the order of the registry.

    Args:
      gives: the sort: STATIC, PER_EVENT, CLICK_TIMES or PER_WINDOW.
      side: USER or ITEM.
      features: of the side, by name.
      events: the fitted part.
      config: of the run.
    """
    names = [name for name in dict.fromkeys([*FEATURES, *features]) if name in features]
    return {
        name: features[name].make(Request(name, side, events, config))
        for name in names
        if features[name].gives == gives
    }
