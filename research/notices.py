"""Lines for the person waiting: on stderr, so that stdout stays data."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NAMED: ContextVar[str] = ContextVar("named", default="")


@contextmanager
def named(name: str) -> Iterator[None]:
    """Lines said inside begin with a name: of the run, where there are several.

    Args:
      name: what they are about.
    """
    token = _NAMED.set(f"{name}: ")
    try:
        yield
    finally:
        _NAMED.reset(token)


def say(line: str) -> None:
    """Prints one line on stderr, at once."""
    print(f"{_NAMED.get()}{line}", file=sys.stderr, flush=True)
