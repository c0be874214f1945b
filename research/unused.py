"""Fields of a config that are set and change nothing in its run."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from research.config import REFERENCE, Config
from research.features import PER_WINDOW, registered_features
from research.fields import DataFields, ModelFields
from research.losses import LOSSES
from research.losses.entry import NEGATIVES, SHIFT
from research.negatives import SOURCES, entries_of, is_batch_alone
from research.negatives.frequencies import FREQUENCIES
from research.positives import POSITIVES
from research.towers import ENCODERS, takes_words, uses_history

__all__ = ["unused"]

# The registries whose entries say which fields they read, and the entries of a run.
_READERS: tuple[tuple[Any, Callable[[Config], Iterable[str]]], ...] = (
    (SOURCES, lambda config: [s.name for s in entries_of(config.negatives, config)]),
    (FREQUENCIES, lambda config: [config.frequency]),
    (POSITIVES, lambda config: [config.positives]),
)


def unused(config: Config, base: Config = REFERENCE) -> dict[str, str]:
    """The fields that differ from a base's and have no effect, each with why.

    A field that no entry of a registry claims (``reads``) is taken to have an effect.

    >>> unused(Config(expected_count=True, mix=0.25))
    {'mix': 'only extra read it', 'expected_count': 'logq is 0'}
    """
    chosen = {
        field.name
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(base, field.name)
    }
    reasons = {**_of_baseline(config), **_unread(config), **_idle(config)}
    return {name: why for name, why in reasons.items() if name in chosen}


def _of_baseline(config: Config) -> dict[str, str]:
    """The fields that a baseline ignores: all but those of the data and its own."""
    if config.model == REFERENCE.model:
        return {}
    own = {
        f.name for group in (DataFields, ModelFields) for f in dataclasses.fields(group)
    }
    names = [field.name for field in dataclasses.fields(config)]
    return {
        name: f"model {config.model} is no two-tower model"
        for name in names
        if name not in own | {"seed"}
    }


def _unread(config: Config) -> dict[str, str]:
    """Fields that some entries of a registry read, and none of the run's."""
    reasons = {}
    for registry, names in _READERS:
        read = {field for name in names(config) for field in registry[name].reads}
        for field in dict.fromkeys(f for e in registry.values() for f in e.reads):
            if field not in read:
                readers = [name for name, e in registry.items() if field in e.reads]
                reasons[field] = f"only {', '.join(readers)} read it"
    return reasons


def _idle(config: Config) -> dict[str, str]:
    """Fields that the value of another one switches off."""
    sources = entries_of(config.negatives, config)
    drawn = any(source.entry.columns in ("draws", "part") for source in sources)
    windowed = any(f.gives == PER_WINDOW for _, f in registered_features(config))
    windowed = windowed or config.batch_order == "time"
    correction = ("correct_positive", "leave_own_out", "expected_count")
    masked_out = config.expected_count and config.mask_same_item
    encoded = ENCODERS.choose(config.encoder).history != "none"
    words = ("search_words", "search_noise")
    looked = config.evaluate_every <= config.epochs
    watched = looked and config.evaluate_every > 0
    loss = LOSSES.choose(config.loss)
    judged = NEGATIVES in loss.needs
    # Then a number that is added to all logits of a row changes nothing.
    absolute = SHIFT not in loss.laws or not config.correct_positive
    pushed = not is_batch_alone(config.negatives)
    switched: tuple[tuple[tuple[str, ...], bool, str], ...] = (
        (
            ("leave_own_out",),
            not masked_out,
            "expected_count with mask_same_item does it",
        ),
        (
            ("leave_own_out", "expected_count"),
            absolute,
            f"{config.loss} goes by differences of a row's logits, and "
            f"correct_positive moves the positive with the negatives",
        ),
        (correction, config.logq != 0, "logq is 0"),
        (
            ("mask_same_item", "mask_user_positives", "duplicates", "item_push"),
            judged,
            f"loss {config.loss} sees no negatives",
        ),
        (("item_push",), pushed, "all negatives are in-batch"),
        (("history",), encoded, f"encoder {config.encoder} reads no history"),
        (("history_order",), uses_history(config), "the user tower reads no history"),
        (words, takes_words(config), f"encoder {config.encoder} reads no words"),
        (("draws", "loader_workers"), drawn, "no source has a number of draws"),
        (("served",), config.output != "dot", f"output is {config.output}"),
        (("window_days",), windowed, "nothing goes by windows of time"),
        (("evaluate_every",), looked, f"there are no more than {config.epochs} epochs"),
        (
            ("evaluate_prior", "patience"),
            watched,
            "no epoch is evaluated before the last",
        ),
    )
    return {name: why for names, on, why in switched if not on for name in names}
