"""What every loss, source of negatives and metric is held to, and how that is told.

A check raises Broken with numbers. Each registry below has a function that runs all
checks on one entry: tests run it on the entries of this project, and the command
``check`` on one's own.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from research.evaluate.metrics import METRICS
from research.losses import LOSSES
from research.negatives import SOURCES
from research.registry import Registry, deferred


class Broken(AssertionError):
    """A check that failed; the text has the numbers."""


class Verdict(NamedTuple):
    """What the checks of an entry found.

    Attributes:
      faults: a line for each check that failed; () if all is well.
      unchecked: what could not be checked, and why; "" if everything was.
    """

    faults: tuple[str, ...]
    unchecked: str = ""


# (name, entry) -> Verdict, for the entries of each registry.
CHECKED: tuple[tuple[Registry[Any], Callable[[str, Any], Verdict]], ...] = (
    (LOSSES, deferred("research.losses.laws:verdict")),
    (SOURCES, deferred("research.negatives.laws:verdict")),
    (METRICS, deferred("research.evaluate.laws:verdict")),
)


def broken(check: Callable[..., None], *given: Any) -> str:
    """What a check found on these arguments; "" if it holds.

    An entry is anybody's code: an exception of any type is a fault like others.
    """
    try:
        check(*given)
    except Broken as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


def own_verdicts() -> Iterator[tuple[str, str, Verdict]]:
    """(what it is, name, verdict) of each entry that isn't this project's."""
    for registry, verdict in CHECKED:
        for name, entry in registry.own().items():
            yield registry.what, name, verdict(name, entry)
