"""Sources of negatives: each block comes with its ids, its draws and its own log q."""

from collections.abc import Callable

from research.choose import choose
from research.config import REFERENCE, Config
from research.negatives.caches import fifo_cache, fifo_cache_stored, vector_cache
from research.negatives.checks import Size, check_sources
from research.negatives.hard import rank_band
from research.negatives.source import Source
from research.negatives.sources import (
    catalogue,
    extra,
    in_batch,
    in_batch_part,
    popularity,
    uniform,
    uniform_per_row,
)
from research.types import InputError

__all__ = ["SOURCES", "Size", "check_negatives", "make_sources"]

SOURCES: dict[str, Callable[[int, Config], Source]] = {
    "in-batch": in_batch,
    "in-batch-part": in_batch_part,
    "uniform": uniform,
    "uniform-per-row": uniform_per_row,
    "popularity": popularity,
    "extra": extra,
    "fifo-cache": fifo_cache,
    "fifo-cache-stored": fifo_cache_stored,
    "vector-cache": vector_cache,
    "rank-band": rank_band,
    "catalogue": catalogue,
}
_UNSIZED = {"in-batch", "catalogue"}


def make_sources(
    specs: tuple[str, ...], config: Config = REFERENCE
) -> tuple[Source, ...]:
    """The sources named as NAME or NAME:DRAWS.

    Args:
      specs: the names.
      config: what else sources depend on: the batch, the dimension, the band; where
        its ``draws`` isn't 0, it takes the place of every number in the names.

    Raises:
      InputError: an unknown name; a number of draws missing, in excess, or below 1;
        no source at all; a source that the batch doesn't allow.

    >>> [s.name for s in make_sources(("in-batch", "uniform:1024"))]
    ['in-batch', 'uniform']
    """
    if not specs:
        raise InputError("no source of negatives: name at least one")
    return tuple(SOURCES[name](draws, config) for name, draws in _read(specs, config))


def check_negatives(config: Config, size: Size) -> None:
    """Refuses what can't be meant about a run's negatives on data of that size.

    Raises:
      InputError: see make_sources and check_sources.
    """
    sources = make_sources(config.negatives, config)
    columns = {"in-batch": config.batch, "in-batch-part": config.batch}
    columns["catalogue"] = size.items
    widths = tuple(columns.get(n, k) for n, k in _read(config.negatives, config))
    check_sources(config, sources, widths, size)


def _read(specs: tuple[str, ...], config: Config) -> list[tuple[str, int]]:
    """Each spec's name and number of draws, 0 for a source that takes none."""
    read = []
    for spec in specs:
        name, colon, number = spec.partition(":")
        choose(name, SOURCES, "source of negatives")
        if name in _UNSIZED:
            if colon:
                raise InputError(f"{name} takes no number of draws: '{spec}'")
            read.append((name, 0))
        elif not number.isdigit() or int(number) < 1:
            raise InputError(
                f"{name} needs a number of draws, as in {name}:1024, not '{spec}'"
            )
        else:
            read.append((name, config.draws or int(number)))
    return read
