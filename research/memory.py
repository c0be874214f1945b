"""Refuses a run that needs more memory than the machine has, before it begins."""

import dataclasses
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from research.batches import window_days
from research.config import Config
from research.entries import read
from research.features import PER_WINDOW, registered_features
from research.features.search import VOCABULARY, words_per_search
from research.features.timed import count_windows
from research.negatives import entries_of
from research.negatives.frequencies import FREQUENCIES
from research.registry import entry_name
from research.towers import takes_words, uses_history
from research.train.optimisers import OPTIMISERS
from research.types import Events, InputError, TooLarge

_FLOAT = 4  # bytes
_LEAST = {"batch": 32, "dim": 8, "history": 1, "draws": 1}  # that is proposed
_GROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may use


def machine_bytes() -> int:
    """Bytes of memory that this process may use, as far as the system states them."""
    has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(has, int(_GROUP.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return has


def check_memory(config: Config, fitted: Events) -> None:
    """Refuses two towers whose arrays can't fit the machine's memory.

    The estimate is a lower bound: embedding tables and layers with Adam's moments, the
    rows that a batch looks up, negatives and search words. Where each row draws its own
    negatives it counts their logits, and each item's vector at most once.

    Raises:
      TooLarge: naming the arrays that take the most, and up to two changes of which
        each alone makes the run fit.
    """
    parts = _bytes_of(config, fitted)
    needed, has = sum(parts.values()), machine_bytes()
    if needed > has:
        most = max(parts, key=lambda name: parts[name])
        fits = " or ".join(itertools.islice(_that_fit(config, fitted, has), 2))
        raise TooLarge(
            f"{most} would take {parts[most] / 1e9:.4g} GB, all of the run "
            f"{needed / 1e9:.4g} GB at least, and this machine has {has / 1e9:.4g} "
            f"GB: {f'{fits} would fit' if fits else 'choose smaller ones'}"
        )


def check_squares(model: str, squares: int, items: int) -> None:
    """Refuses a baseline whose matrices of items by items can't fit the memory.

    Raises:
      TooLarge: naming the baseline.
    """
    needed, has = 8 * squares * items**2, machine_bytes()
    if needed > has:
        raise TooLarge(
            f"{model} of {items:,} items would take {needed / 1e9:.4g} GB at least, "
            f"and this machine has {has / 1e9:.4g} GB: take another baseline, such as "
            "item-knn, or fewer items (--core)"
        )


def _that_fit(config: Config, fitted: Events, has: int) -> Iterator[str]:
    """Single changes of a config with which it needs at most these bytes, as flags."""

    def fits(**changes: Any) -> bool:
        try:
            parts = _bytes_of(dataclasses.replace(config, **changes), fitted)
        except InputError:  # it doesn't go with the config's other fields
            return False
        return sum(parts.values()) <= has

    if not OPTIMISERS[config.optimiser].touched_only and fits(optimiser="lazy-adam"):
        yield "--optimiser lazy-adam"
    for name, least in _LEAST.items():
        value = getattr(config, name) // 2
        while value >= least and not fits(**{name: value}):
            value //= 2
        if value >= least:
            yield f"--{name} {value}"
    if fits(negatives=("in-batch",)):
        yield "--negatives in-batch"


def _with_user_ids(config: Config) -> bool:
    if config.user_features is None:
        return config.layers == "residual"
    return "id" in config.user_features


def _bytes_of(config: Config, fitted: Events) -> dict[str, int]:
    """Bytes of the largest arrays, by the fields that decide them."""
    dim, history = config.dim, config.history if uses_history(config) else 0
    history = min(history, int(np.diff(fitted.offsets).max(initial=0)))
    batch = min(config.batch, len(fitted.user))
    ids = config.item_features is None or "id" in config.item_features
    rows = fitted.n_items * (ids + (history > 0))
    rows += fitted.n_users * (_with_user_ids(config))
    rows += VOCABULARY * takes_words(config)
    copies = 1 if OPTIMISERS[config.optimiser].touched_only else 3
    widths = (config.user_hidden, config.item_hidden)
    nets = [a * b for side in widths for a, b in itertools.pairwise((*side, dim))]
    drawn, frequency = 0, read(config.frequency, FREQUENCIES)
    for _, draws, entry, _ in entries_of(config.negatives, config):
        logits = draws * batch if entry.per_row else 0
        drawn += logits + (min(logits, fitted.n_items) or draws) * dim
    words = words_per_search(config) if takes_words(config) else 0
    dynamic = any(f.gives == PER_WINDOW for _, f in registered_features(config))
    cells = 0
    if dynamic or entry_name(config.batch_order) == "time":
        cells = count_windows(fitted, window_days(config)) * fitted.n_items * dynamic
    return {
        f"tables of dim {dim}": _FLOAT * copies * rows * dim,
        "hidden layers of these widths": _FLOAT * 3 * sum(nets),
        f"batches of {batch} with a history of {history} and dim {dim}": (
            _FLOAT * batch * (1 + history) * dim
        ),
        f"negatives {' '.join(config.negatives)} of dim {dim}": (_FLOAT * drawn),
        f"{words} search words": _FLOAT * words * (len(fitted.user) + fitted.n_users),
        **frequency.entry.memory(frequency.values),
        f"windows of {window_days(config):g} days": 8 * _FLOAT * cells,
    }
