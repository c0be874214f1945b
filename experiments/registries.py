"""Every registry by the word that ``list`` takes, and descriptions of entries."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments.arms import ARMS
from research.baselines import BASELINES, Baseline
from research.data import DATASETS
from research.entries import declared
from research.evaluate.metrics import METRICS
from research.features import FEATURES
from research.losses import LOSSES, Loss
from research.negatives import SOURCES, SourceEntry
from research.negatives.frequencies import FREQUENCIES
from research.positives import POSITIVES
from research.registry import Deferred, summary
from research.temperature import TEMPERATURES
from research.towers import ENCODERS
from research.train.optimisers import OPTIMISERS

REGISTRIES: dict[str, Mapping[str, Any]] = {
    "losses": LOSSES,
    "sources": SOURCES,
    "frequencies": FREQUENCIES,
    "features": FEATURES,
    "encoders": ENCODERS,
    "temperatures": TEMPERATURES,
    "optimisers": OPTIMISERS,
    "metrics": METRICS,
    "baselines": BASELINES,
    "positives": POSITIVES,
    "datasets": DATASETS,
    "arms": ARMS,
}


def values_text(entry: Any) -> str:
    """An entry's values NAME=DEFAULT; of a loss, what it learns and from where as well.

    >>> values_text(LOSSES["gbce"])
    'calibration=0.75, learned from bias=0'
    """
    if isinstance(entry, Loss):
        own = _pairs({name: default for name, (default, _) in entry.hyper.items()})
        learned = _pairs(entry.trainable)
        return ", ".join(filter(None, [own, learned and f"learned from {learned}"]))
    if isinstance(entry, Baseline):
        return _pairs({name: option.default for name, option in entry.options.items()})
    return _pairs({name: value.default for name, value in declared(entry).items()})


def _pairs(values: Mapping[str, float | str]) -> str:
    return " ".join(
        f"{name}={value if isinstance(value, str) else format(value, 'g')}"
        for name, value in values.items()
    )


def described(registry: Mapping[str, Any]) -> list[str]:
    """The names of a registry, each with its own values.

    >>> [text for text in described(LOSSES) if text.startswith("hinge")]
    ['hinge (margin=1)']
    """
    lines = []
    for name, entry in registry.items():
        values = values_text(entry)
        number = isinstance(entry, SourceEntry) and entry.columns in ("draws", "part")
        lines.append(
            f"{name}{':DRAWS' if number else ''}{f' ({values})' if values else ''}"
        )
    return lines


def about(entry: Any) -> str:
    """What an entry is, in one line."""
    if isinstance(entry, dict):  # an arm: what it changes
        return " ".join(f"{name}={_word(value)}" for name, value in entry.items())
    for name in ("help", "description", "question"):
        if text := getattr(entry, name, ""):
            return str(text)
    for name in ("fn", "make", "module", "at", "fit", "run"):
        function: Callable[..., Any] | Deferred | None = getattr(entry, name, None)
        if function is not None:
            return summary(function)
    return ""


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
