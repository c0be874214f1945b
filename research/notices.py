"""Lines for the person waiting: on stderr, so that stdout stays data."""

import sys


def say(line: str) -> None:
    """Prints one line on stderr, at once."""
    print(line, file=sys.stderr, flush=True)
