"""Lines for the user, on stderr, so that stdout holds data alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_NAMED: ContextVar[str] = ContextVar("named", default="")


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begins the lines said inside with a name, where several runs say lines."""
    token = _NAMED.set(f"{name}: ")
    try:
        yield
    finally:
        _NAMED.reset(token)


def say(line: str) -> None:
    """Prints one line on stderr, at once."""
    print(f"{_NAMED.get()}{line}", file=sys.stderr, flush=True)
