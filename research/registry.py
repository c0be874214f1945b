"""Registries: one mapping a stage from names to entries, and functions loaded late.

Reading names, help and refusing bad input must not need JAX, pandas or matplotlib, so
an entry may hold a ``deferred`` function: a reference that imports its module on the
first call. An entry added from outside (a notebook, a test) holds the function itself.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from research.types import InputError

__all__ = ["Deferred", "Registry", "deferred"]

T = TypeVar("T")


class Registry(dict[str, T], Generic[T]):
    """Entries by name; ``what`` names one of them in messages, such as "loss"."""

    def __init__(self, what: str, entries: dict[str, T] | None = None) -> None:
        super().__init__(entries or {})
        self.what = what

    def choose(self, name: str) -> T:
        """The entry of that name.

        Raises:
          InputError: there is none; the line names the choices and the nearest.

        >>> Registry("split", {"last": 1, "ratio": 2}).choose("lst")
        Traceback (most recent call last):
        research.types.InputError: unknown split 'lst' (nearest: last): choose last, ratio
        """
        if name in self:
            return self[name]
        near = difflib.get_close_matches(name, self, n=1, cutoff=0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(
            f"unknown {self.what} '{name}'{hint}: choose {', '.join(sorted(self))}"
        )

    @contextmanager
    def added(self, name: str, entry: T) -> Iterator[T]:
        """Holds an entry for as long as the context lasts, for trials and tests.

        Raises:
          ValueError: the name is taken.
        """
        if name in self:
            raise ValueError(f"{self.what} '{name}' is registered already")
        self[name] = entry
        try:
            yield entry
        finally:
            del self[name]


@dataclass(frozen=True)
class Deferred:
    """A function by its module and name, imported on the first call or ``load()``."""

    module: str
    name: str

    def load(self) -> Callable[..., Any]:
        """The function itself; a test loads every one, so a wrong name fails early."""
        function: Callable[..., Any] = getattr(
            importlib.import_module(self.module), self.name
        )
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function."""
        return self.load()(*args, **kwargs)


def deferred(path: str) -> Deferred:
    """A reference to a function, written as "package.module:name".

    >>> deferred("math:sqrt")(9.0)
    3.0
    """
    module, _, name = path.partition(":")
    return Deferred(module, name)
