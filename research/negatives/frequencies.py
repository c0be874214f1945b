"""The registry of click shares, from which log q of in-batch negatives is taken.

Reading it needs no JAX. The functions are in research/negatives/frequency.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from research.config import Config
from research.registry import Registry, deferred
from research.types import InputError

__all__ = ["FREQUENCIES", "Frequency", "check_frequency"]


def _nothing(config: Config, items: int, steps: int) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Frequency:
    """An entry of the registry: how the click share is obtained while training.

    Its state is a tree of arrays, part of a run's state and so of its checkpoints.

    Attributes:
      help: one line.
      init: (config, items, steps of an epoch) -> the state before the first step.
      observe: (state, candidates [b] of a step, the step from 0, hyper) -> the state
        after that step; None where nothing is kept.
      log_share: (state, pool, the step from 0, rows of a step, hyper) -> log q of one
        draw for every item, [i]; None where it is the exact share of the pool.
      memory: config -> bytes of the arrays that may be large, by a name for messages.
      check: (config, steps of an epoch) -> None, refusing invalid values.
      reads: the config's fields that it alone reads, or shares with other entries
        (research/unused.py).
    """

    help: str
    init: Callable[[Config, int, int], Any] = _nothing
    observe: Callable[[Any, Any, Any, Any], Any] | None = None
    log_share: Callable[[Any, Any, Any, int, Any], Any] | None = None
    memory: Callable[[Config], dict[str, int]] = lambda config: {}
    check: Callable[[Config, int], None] = lambda config, steps: None
    reads: tuple[str, ...] = ()


def _bucket_bytes(config: Config) -> dict[str, int]:
    # The step last seen and the gap, each before and after a step.
    return {f"{config.buckets} buckets": 16 * config.buckets}


def _check_window(config: Config, steps: int) -> None:
    window, total = config.frequency_window or steps, config.epochs * steps
    if window >= total:
        raise InputError(
            f"frequency_window is {window}: the run has {total} steps, no window ends "
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
            reads=("frequency_rate", "hashes", "buckets"),
        ),
        "periodic": Frequency(
            "counted over the last window of steps that is over",
            init=deferred(f"{_FUNCTIONS}:init_window"),
            observe=deferred(f"{_FUNCTIONS}:observe_window"),
            log_share=deferred(f"{_FUNCTIONS}:log_share_of_window"),
            check=_check_window,
            reads=("frequency_window",),
        ),
    },
)


def check_frequency(config: Config, steps: int) -> None:
    """Refuses a click share that doesn't suit a run's length.

    Raises:
      InputError: an unknown frequency, or counts that no step would use.
    """
    FREQUENCIES.choose(config.frequency).check(config, steps)
