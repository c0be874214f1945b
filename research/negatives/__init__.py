"""Sources of negatives: each block comes with its ids, its draws and its own log q."""

from collections.abc import Callable

from research.choose import choose
from research.negatives.source import Source
from research.negatives.sources import (
    catalogue,
    in_batch,
    popularity,
    uniform,
    uniform_per_row,
)
from research.types import InputError

__all__ = ["SOURCES", "make_sources"]

SOURCES: dict[str, Callable[[int], Source]] = {
    "in-batch": in_batch,
    "uniform": uniform,
    "uniform-per-row": uniform_per_row,
    "popularity": popularity,
    "catalogue": catalogue,
}
_SIZED = {"uniform", "uniform-per-row", "popularity"}


def make_sources(specs: tuple[str, ...]) -> tuple[Source, ...]:
    """The sources named as NAME or NAME:DRAWS.

    Raises:
      InputError: an unknown name; a number of draws missing, in excess, or below 1;
        no source at all.

    >>> [s.name for s in make_sources(("in-batch", "uniform:1024"))]
    ['in-batch', 'uniform']
    """
    if not specs:
        raise InputError("no source of negatives: name at least one")
    return tuple(_make(spec) for spec in specs)


def _make(spec: str) -> Source:
    name, colon, number = spec.partition(":")
    factory = choose(name, SOURCES, "source of negatives")
    if name not in _SIZED:
        if colon:
            raise InputError(f"{name} takes no number of draws: '{spec}'")
        return factory(0)
    if not number.isdigit() or int(number) < 1:
        raise InputError(
            f"{name} needs a number of draws, as in {name}:1024, not '{spec}'"
        )
    return factory(int(number))
