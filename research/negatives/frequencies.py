"""The registry of click shares, from which log q of in-batch negatives is taken.

Reading it needs no JAX. The functions are in research/negatives/frequency.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from research.config import Config
from research.entries import NO_VALUES, Value, read
from research.marks import SWEPT, Range
from research.registry import Registry, deferred
from research.types import InputError

__all__ = ["FREQUENCIES", "Frequency", "check_frequency"]


Values = Mapping[str, Any]


def _nothing(values: Values, items: int, steps: int) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Frequency:
    """An entry of the registry: how the click share is obtained while training.

    Its state is a tree of arrays, part of a run's state and so of its checkpoints.

    Attributes:
      help: one line.
      init: (values, items, steps of an epoch) -> the state before the first step.
      observe: (state, candidates [b] of a step, the step from 0, hyper) -> the state
        after that step; None where nothing is kept.
      log_share: (state, pool, the step from 0, rows of a step, hyper) -> log q of one
        draw for every item, [i]; None where it is the exact share of the pool.
      memory: values -> bytes of the arrays that may be large, by a name for messages.
      check: (values, steps of an epoch, epochs) -> None, refusing invalid values.
      values: its own, by name; the functions of a step find the swept ones in hyper.
    """

    help: str
    init: Callable[[Values, int, int], Any] = _nothing
    observe: Callable[[Any, Any, Any, Any], Any] | None = None
    log_share: Callable[[Any, Any, Any, int, Any], Any] | None = None
    memory: Callable[[Values], dict[str, int]] = lambda values: {}
    check: Callable[[Values, int, int], None] = lambda values, steps, epochs: None
    values: Mapping[str, Value] = field(default_factory=lambda: NO_VALUES)


def _bucket_bytes(values: Values) -> dict[str, int]:
    # The step last seen and the gap, each before and after a step.
    return {f"{values['buckets']} buckets": 16 * values["buckets"]}


def _check_buckets(values: Values, steps: int, epochs: int) -> None:
    if values["buckets"] < values["hashes"]:
        raise InputError(
            f"streaming's buckets is {values['buckets']}: {values['hashes']} hashes "
            f"need one each"
        )


def _check_window(values: Values, steps: int, epochs: int) -> None:
    window, total = values["window"] or steps, epochs * steps
    if window >= total:
        raise InputError(
            f"periodic's window is {window}: the run has {total} steps, no window ends "
            f"before the last one, and no count is ever used"
        )


_FUNCTIONS = "research.negatives.frequency"

FREQUENCIES: Registry[Frequency] = Registry(
    "frequency",
    {
        "exact": Frequency("the share of the training part's pairs"),
        "streaming": Frequency(
            "estimated from the gaps between an item's appearances [yi2019]",
            init=deferred(f"{_FUNCTIONS}:init_gaps"),
            observe=deferred(f"{_FUNCTIONS}:observe_gaps"),
            log_share=deferred(f"{_FUNCTIONS}:log_share_of_gaps"),
            memory=_bucket_bytes,
            check=_check_buckets,
            # rate of the moving average; buckets over all hashes
            values={
                "rate": Value(0.01, Range(0.0, 1.0, "both"), SWEPT),
                "hashes": Value(1, Range(1)),
                "buckets": Value(65536, Range(1)),
            },
        ),
        "periodic": Frequency(
            "counted over the last window of steps that is over",
            init=deferred(f"{_FUNCTIONS}:init_window"),
            observe=deferred(f"{_FUNCTIONS}:observe_window"),
            log_share=deferred(f"{_FUNCTIONS}:log_share_of_window"),
            check=_check_window,
            # steps of a window (0: as many as an epoch has)
            values={"window": Value(0, Range(0), SWEPT)},
        ),
    },
)


def check_frequency(config: Config, steps: int) -> None:
    """Refuses a click share that doesn't suit a run's length.

    Raises:
      InputError: an unknown frequency, or counts that no step would use.
    """
    _, frequency, values, _ = read(config.frequency, FREQUENCIES)
    frequency.check(values, steps, config.epochs)
