"""Refuses values of a config that can't be meant, one clear line each."""

import math

from research.config import Config
from research.positives.pairs import HALVES
from research.types import InputError, choose

__all__ = ["validate"]

_CHOICES = {
    "halves": HALVES,
    "output": ("cosine", "dot"),
    "history_order": ("time", "shuffled"),
    "batch_order": ("shuffled", "time"),
    "duplicates": ("keep", "inclusion"),
    "frequency": ("exact", "streaming"),
    "item_push": ("drawn", "batch", "balanced"),
}
_POSITIVE = (
    *("temperature", "learning_rate", "table_rate", "window_days", "session_gap"),
)
_FINITE = (
    *("logq", "alpha", "mix", "frequency_rate", "weight_decay", "dropout"),
    *("prior", "threshold"),
)
_AT_LEAST_1 = ("batch", "epochs", "dim", "hashes", "band_low", "search_words")
_AT_LEAST_0 = (
    *("history", "evaluate_every", "seed", "tie_salt", "draws", "warmup", "hardest"),
)


def validate(config: Config) -> Config:
    """Returns the config, or raises InputError for a value that can't be meant."""
    _check_signs(config)
    if not 0 <= config.dropout < 1:
        raise InputError(f"dropout is {config.dropout:g}: it must be in [0, 1)")
    if not 0 <= config.alpha <= 2:
        raise InputError(f"alpha is {config.alpha:g}: it must be in [0, 2]")
    for name in ("mix", "search_noise"):
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise InputError(f"{name} is {value:g}: it must be in [0, 1]")
    if not 0 < config.frequency_rate < 1:
        rate = config.frequency_rate
        raise InputError(f"frequency_rate is {rate:g}: it must be in (0, 1)")
    if config.weight_decay < 0:
        raise InputError(f"weight_decay is {config.weight_decay:g}: it must be >= 0")
    if any(width < 1 for width in config.user_hidden + config.item_hidden):
        raise InputError("a hidden layer's width is below 1")
    if config.buckets < config.hashes:
        raise InputError(
            f"buckets is {config.buckets}: {config.hashes} hashes need one each"
        )
    if config.band_high < config.band_low:
        raise InputError(
            f"band_high is {config.band_high}: it must be at least band_low "
            f"({config.band_low})"
        )
    for name, choices in _CHOICES.items():
        choose(getattr(config, name), dict.fromkeys(choices), name)
    if config.evaluate_every and config.fit_on != "train":
        raise InputError(
            "evaluate_every needs --fit-on train: no choice is made when reporting"
        )
    return config


def _check_signs(config: Config) -> None:
    for name in _POSITIVE + _FINITE:
        value = getattr(config, name)
        if not math.isfinite(value):
            raise InputError(f"{name} is {value}: it must be finite")
    for name in _POSITIVE:
        if getattr(config, name) <= 0:
            raise InputError(f"{name} is {getattr(config, name):g}: it must be above 0")
    for name in _AT_LEAST_1:
        if getattr(config, name) < 1:
            raise InputError(
                f"{name} is {getattr(config, name)}: it must be at least 1"
            )
    for name in _AT_LEAST_0:
        if getattr(config, name) < 0:
            raise InputError(f"{name} is {getattr(config, name)}: it must be >= 0")
