"""One way to look a name up, and one line when it isn't there."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from research.types import InputError

__all__ = ["choose"]

T = TypeVar("T")


def choose(name: str, registry: Mapping[str, T], what: str) -> T:
    """The entry of that name.

    Raises:
      InputError: there is none; the line names the choices and the nearest.

    >>> choose("lst", {"last": 1, "ratio": 2}, "split")
    Traceback (most recent call last):
    research.types.InputError: unknown split 'lst' (nearest: last): choose last, ratio
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=1, cutoff=0.4)
    hint = f" (nearest: {near[0]})" if near else ""
    raise InputError(
        f"unknown {what} '{name}'{hint}: choose {', '.join(sorted(registry))}"
    )
