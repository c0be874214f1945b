"""The registry of temperatures: what divides the score, and how it moves."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from research.config import Config
from research.entries import NO_VALUES, Value, read
from research.fields import TemperatureFields
from research.marks import SWEPT, UNCOMPILED, Choice, Range
from research.registry import Registry, deferred
from research.types import InputError

__all__ = [
    "LOST_FROM",
    "TEMPERATURES",
    "TemperatureKind",
    "check_temperature",
    "kind_of",
    "narrow_range",
    "values_of",
]


class TemperatureKind(NamedTuple):
    """An entry of the registry: how the temperature of a step comes about.

    Attributes:
      at: (Moment, hyper) -> Temperature of a step (research/temperature/kinds.py).
      lowest: config -> the least temperature that a score may be divided by.
      start: config -> initial values of what is learned, by name; they join
        params["loss"].
      project: (learned, hyper) -> the learned values after a step, moved back within
        their bounds; None where they have none.
      end: (config, learned, row) -> the temperature that serving divides by; the row
        of the history is of the epoch whose parameters are served.
      scale: (pool, hyper) -> what the vector of each candidate is multiplied by when
        served by its own temperature, [i]; None where candidates have none.
      init: (config, users) -> state of the users, where each has a temperature.
      observe: (state, queries [b], losses [b]) -> the state after a step; the losses
        are measured at the config's temperature, common to all users.
      refresh: (state, config) -> the state before an epoch.
      values: its own, by name; its functions find the swept ones in hyper. Where there
        are low and high, it stays between them.
      learned: whether the history has a column of its value at the end of each epoch.
      common: whether all rows and columns of a step have the same.
    """

    at: Callable[..., Any]
    lowest: Callable[[Config], float] = lambda config: config.temperature
    start: Callable[[Config], dict[str, Any]] = lambda config: {}
    project: Callable[[dict[str, Any], Any], dict[str, Any]] | None = None
    end: Callable[[Config, dict[str, Any], dict[str, float]], float] = (
        lambda config, learned, row: config.temperature
    )
    scale: Callable[..., Any] | None = None
    init: Callable[[Config, int], Any] | None = None
    observe: Callable[[Any, Any, Any], Any] | None = None
    refresh: Callable[[Any, Config], Any] | None = None
    learned: bool = False
    common: bool = True
    values: Mapping[str, Value] = NO_VALUES


# Limit of temperature times log of the number of items, above which log q in the loss
# counts for less: on five data sets the curve of recall over the total was shifted by
# at most 0.06 up to a product of 1.45, and by 0.14 or more from 1.63 on
# (results/tables/*/strength.md, results/tables/gowalla/span.md).
LOST_FROM = 1.5
FLAT = 1.0  # from this temperature on cosines hardly tell items apart
BOUNDED = {"cosine": "cosines", "bounded": "bounded dot products"}  # outputs, in words

_KINDS = "research.temperature.kinds"
_ABOVE_0 = Range(0.0, open="low")
_BOUNDS = {
    "low": Value(0.01, _ABOVE_0, SWEPT),
    "high": Value(1.0, _ABOVE_0, SWEPT),
}

TEMPERATURES: Registry[TemperatureKind] = Registry(
    "temperature_kind",
    {
        "fixed": TemperatureKind(deferred(f"{_KINDS}:fixed")),
        "learned": TemperatureKind(
            deferred(f"{_KINDS}:learned"),
            lowest=lambda config: float(values_of(config)["low"]),
            start=deferred(f"{_KINDS}:learned_start"),
            project=deferred(f"{_KINDS}:within_bounds"),
            end=deferred(f"{_KINDS}:learned_end"),
            learned=True,
            values=_BOUNDS,
        ),
        "scheduled": TemperatureKind(
            deferred(f"{_KINDS}:scheduled"),
            lowest=lambda config: min(config.temperature, values_of(config)["end"]),
            end=lambda config, learned, row: row["temperature"],
            values={
                "end": Value(0.05, _ABOVE_0, SWEPT),
                "schedule": Value("cosine", Choice("linear", "cosine")),
            },
        ),
        "per-user": TemperatureKind(
            deferred(f"{_KINDS}:per_user"),
            init=deferred(f"{_KINDS}:init_users"),
            observe=deferred(f"{_KINDS}:observe_users"),
            refresh=deferred(f"{_KINDS}:refresh_users"),
            common=False,
            # spread: divisor of a user's loss less the mean loss, in nats.
            values=_BOUNDS | {"spread": Value(1.0, _ABOVE_0, SWEPT)},
        ),
        "by-popularity": TemperatureKind(
            deferred(f"{_KINDS}:by_popularity"),
            scale=deferred(f"{_KINDS}:by_popularity_scale"),
            common=False,
            # served: what divides an item's score when serving, the temperature common
            # to all or the item's own.
            values=_BOUNDS
            | {
                "power": Value(0.1, None, SWEPT),
                "served": Value("common", Choice("common", "own"), UNCOMPILED),
            },
        ),
    },
)


def kind_of(config: TemperatureFields) -> TemperatureKind:
    """The entry of a config's temperature_kind."""
    kind: TemperatureKind = read(config.temperature_kind, TEMPERATURES).entry
    return kind


def values_of(config: TemperatureFields) -> Mapping[str, Any]:
    """The values of a config's kind of temperature."""
    return read(config.temperature_kind, TEMPERATURES).values


def check_temperature(config: TemperatureFields) -> None:
    """Refuses bounds out of order, and an initial value outside them."""
    name, _, values, _ = read(config.temperature_kind, TEMPERATURES)
    if "low" not in values or "high" not in values:
        return
    low, high = values["low"], values["high"]
    if low >= high:
        raise InputError(f"{name}'s low is {low:g}: it must be below high ({high:g})")
    if not low <= config.temperature <= high:
        raise InputError(
            f"temperature is {config.temperature:g}: {name} starts between low "
            f"({low:g}) and high ({high:g})"
        )


def narrow_range(config: Config, counts: Float[np.ndarray, " i"]) -> str | None:
    """A warning where bounded scores can't hold taste, or taste and log q, else None.

    Logits of cosines and of bounded dot products are at most 1 / temperature. Trained
    under log q they have to express log p(y|u), popularity included; where they can't,
    log q counts for less than it would when serving. From a temperature of 1 on they
    hardly express taste.
    """
    temperature, largest = kind_of(config).lowest(config), widest(config, counts)
    scores = BOUNDED.get(config.output)
    if scores and temperature >= FLAT and config.logq <= 0:
        return (
            f"warning: at temperature {temperature:g} {scores} are logits within "
            f"{1 / temperature:.2g} of 0, which hardly tell items apart; 0.05 to 0.4 "
            f"is usual (docs/symptoms.md)"
        )
    if largest is None or temperature <= largest:
        return None
    items = int((counts > 0).sum())
    return (
        f"warning: at temperature {temperature:g} {scores} of {items:,} items may "
        f"not hold taste and all of log q, which in the loss counts for less above a "
        f"temperature of about {largest:.2f} (docs/how-much-to-correct.md)"
    )


def widest(config: Config, counts: Float[np.ndarray, " i"]) -> float | None:
    """The temperature up to which bounded scores hold taste and log q, as measured.

    LOST_FROM over the log of the number of items with a pair. None where nothing bounds
    it: dot products, a loss without log q, or a single such item.
    """
    if config.output not in BOUNDED or config.logq <= 0:
        return None
    clicked = int((counts > 0).sum())
    return LOST_FROM / float(np.log(clicked)) if clicked > 1 else None
