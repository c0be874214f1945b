"""Registries: one mapping per stage from names to entries, and deferred functions.

Listing names, printing help and refusing bad input must not need JAX, pandas or
matplotlib, so an entry may hold a ``deferred`` function: a reference that imports its
module on the first call. An entry added from outside (a notebook, a test) holds the
function itself.
"""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from research.notices import say
from research.types import choose

T = TypeVar("T")
E = TypeVar("E")
# Each clears a cache whose values were made with entries and are found by their names.
CACHES: list[Callable[[], None]] = []


def entry_name(text: str) -> str:
    """The name of the entry that a text names, without the values that follow it.

    >>> entry_name("scheduled,end=0.1")
    'scheduled'
    """
    return text.partition(",")[0]


class Registry(dict[str, T], Generic[T]):
    """Entries by name.

    Args:
      what: what an entry is called in messages, such as "loss".
      entries: the entries to begin with.
      cached: whether one of the CACHES holds what is made with the entries.
    """

    def __init__(
        self, what: str, entries: dict[str, T] | None = None, cached: bool = True
    ) -> None:
        super().__init__(entries or {})
        self.what, self.cached = what, cached
        self._first = dict(self)
        self._last = dict(self)  # the last entry of each name, also of a removed one

    def __setitem__(self, name: str, entry: T) -> None:
        """Registers an entry; a new one under a known name clears the CACHES.

        A line says so where it takes the name of an entry of this project.
        """
        if self._first.get(name, entry) is not entry:
            say(f"warning: {self.what} '{name}' of this project is replaced")
        if self._last.setdefault(name, entry) is not entry and self.cached:
            for clear in CACHES:
                clear()
        self._last[name] = entry
        super().__setitem__(name, entry)

    def choose(self, name: str) -> T:
        """The entry of that name; values that follow it, after commas, don't matter.

        Raises:
          InputError: there is none; the line names the choices and the nearest.

        >>> Registry("cut", {"last": 1, "ratio": 2}).choose("lst")
        Traceback (most recent call last):
        research.types.InputError: unknown cut 'lst' (nearest: last): choose last, ratio
        """
        return choose(entry_name(name), self, self.what)

    def own(self) -> dict[str, T]:
        """The entries that were added or replaced from outside."""
        return {n: e for n, e in self.items() if self._first.get(n) is not e}

    @contextmanager
    def added(self, name: str, entry: T, alike: bool = False) -> Iterator[T]:
        """Holds an entry for as long as the context lasts, for trials and tests.

        Raises:
          ValueError: the name is taken.
        """
        if name in self:
            raise ValueError(f"{self.what} '{name}' is registered already")
        if alike:
            self._last[name] = entry
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

    def load(self) -> Any:
        """The function itself; a test loads every one, so a wrong name fails early."""
        return getattr(importlib.import_module(self.module), self.name)

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


def loaded(entry: E) -> E:
    """An entry with its deferred functions imported, for code that is traced."""
    named: Any = entry
    fields = named._asdict() if hasattr(named, "_asdict") else vars(named)
    functions = {n: v.load() for n, v in fields.items() if isinstance(v, Deferred)}
    if hasattr(named, "_replace"):
        result: E = named._replace(**functions)
        return result
    return dataclasses.replace(named, **functions)


def summary(function: Callable[..., Any] | Deferred) -> str:
    """The first line of a function's docstring, without importing a deferred one.

    >>> summary(deferred("research.registry:summary"))[:37]
    "The first line of a function's docstr"
    """
    if isinstance(function, Deferred):
        spec = importlib.util.find_spec(function.module)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.ClassDef)
        text = next(
            (
                ast.get_docstring(node)
                for node in tree.body
                if isinstance(node, kinds) and node.name == function.name
            ),
            None,
        )
    else:
        text = inspect.getdoc(function)
    return (text or "").partition("\n")[0]
