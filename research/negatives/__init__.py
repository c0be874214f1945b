"""Sources of negatives: each block comes with its ids, its draws and its own log q."""

from collections.abc import Callable
from typing import NamedTuple

from research.config import REFERENCE, Config
from research.negatives.bands import rank_band
from research.negatives.caches import fifo_cache, fifo_cache_stored, vector_cache
from research.negatives.draws import (
    catalogue,
    extra,
    in_batch,
    in_batch_part,
    popularity,
    uniform,
    uniform_per_row,
)
from research.negatives.source import Source
from research.types import InputError, choose

__all__ = [
    "SOURCES",
    "Size",
    "check_negatives",
    "check_sources",
    "held_whole",
    "make_sources",
]


def held_whole(config: Config) -> str | None:
    """The switch that needs a [b, c] array of logits, as one would set it, or None.

    >>> held_whole(Config(hardest=5))
    'hardest 5'
    """
    if config.hardest:
        return f"hardest {config.hardest}"
    if config.duplicates == "inclusion":
        return "duplicates inclusion"
    if config.item_push != "drawn":
        return f"item_push {config.item_push}"
    if config.positives != "user-item":
        return f"positives {config.positives}"  # the query's own columns are left out
    return None


_CACHES = ("fifo-cache", "fifo-cache-stored", "vector-cache")
# Bytes of logits that a step may hold: some four arrays of their size are alive.
_MOST = 1 << 31
_PER_ROW = ("uniform-per-row", "in-batch-part", "rank-band")


class Size(NamedTuple):
    """Of a fitted part: the library, the items it clicked, its pairs."""

    items: int
    clicked: int
    pairs: int


def check_sources(
    config: Config, sources: tuple[Source, ...], columns: tuple[int, ...], size: Size
) -> None:
    """Compares the sources of a run with its switches and with its data.

    Args:
      config: the run.
      sources: of config.negatives.
      columns: how many columns each has.
      size: how large the fitted part is.

    Raises:
      InputError: unknown q under a correction; a cache that holds less than is drawn
        from it, or is never warm; a stored q in a union; a band or a selection wider
        than what there is; inclusion with what it can't be combined with; a push by
        the batch where it isn't a source, or where its share isn't known; more logits
        than can be held, where a switch needs them all at once.
    """
    _known_q(config, sources)
    _stored_alone(sources)
    _somebody_pushes(config, sources)
    _fits(config, sum(columns))
    for source, draws in zip(sources, columns, strict=True):
        if source.name in _CACHES:
            _warms_up(config, source.name, draws, size)
        if source.name == "rank-band" and config.band_high > size.items:
            raise InputError(
                f"band_high is {config.band_high}: there are {size.items} items"
            )
    if config.hardest > sum(columns):
        raise InputError(
            f"hardest is {config.hardest}: only {sum(columns)} negatives are drawn"
        )
    if config.duplicates == "inclusion":
        _inclusion(config, sources)


def _known_q(config: Config, sources: tuple[Source, ...]) -> None:
    if config.logq == 0:
        return
    if config.hardest:
        raise InputError(
            f"logq {config.logq:g} with hardest {config.hardest}: the hardest are "
            f"chosen by their score, so their q is unknown; use logq 0"
        )
    for source in sources:
        if source.log_q is None:
            raise InputError(
                f"logq {config.logq:g} with {source.name}: its negatives are chosen by "
                f"the model, so their q is unknown; use logq 0"
            )


def _stored_alone(sources: tuple[Source, ...]) -> None:
    names = [source.name for source in sources]
    others = [n for n in names if n not in ("in-batch", "fifo-cache-stored")]
    if "fifo-cache-stored" in names and (
        others or names.count("fifo-cache-stored") > 1
    ):
        raise InputError(
            f"fifo-cache-stored in a union with {', '.join(others) or 'itself'}: a q "
            f"stored with a column gives no mixture; use fifo-cache"
        )


def _somebody_pushes(config: Config, sources: tuple[Source, ...]) -> None:
    if config.item_push == "drawn":
        return
    if all(source.origin != "batch" for source in sources):
        raise InputError(
            f"item_push {config.item_push} without in-batch negatives: nothing would "
            f"push an item away"
        )
    for source in sources:
        if config.item_push == "balanced" and source.log_q is None:
            raise InputError(
                f"item_push balanced with {source.name}: its q is unknown, and so its "
                f"share of the push"
            )


def _fits(config: Config, columns: int) -> None:
    reason, size = held_whole(config), 4 * config.batch * columns
    if reason and size > _MOST:
        raise InputError(
            f"{reason} needs all {config.batch} x {columns} logits at once, "
            f"{size / 2**30:.1f} GiB: take fewer rows or negatives"
        )


def _warms_up(config: Config, name: str, draws: int, size: Size) -> None:
    steps = config.epochs * (size.pairs // config.batch)
    if name == "vector-cache" and draws > size.clicked:
        raise InputError(
            f"{name}:{draws} draws more than it can hold: one vector for each of "
            f"{size.clicked} items with a click"
        )
    if config.warmup >= steps:
        raise InputError(
            f"warmup is {config.warmup} of {steps} steps: {name} draws nothing"
        )
    if name != "vector-cache" and draws > (steps - 1) * config.batch:
        raise InputError(
            f"{name}:{draws} is never full in {steps} steps of {config.batch}: "
            f"it draws nothing"
        )


def _inclusion(config: Config, sources: tuple[Source, ...]) -> None:
    for name in ("leave_own_out", "expected_count"):
        if getattr(config, name):
            raise InputError(
                f"{name} with duplicates inclusion: the probability to be in the set "
                f"counts draws already"
            )
    for source in sources:
        if source.name in _PER_ROW or source.log_q is None:
            raise InputError(
                f"duplicates inclusion with {source.name}: its columns differ by row"
            )
        if source.name == "fifo-cache-stored":
            raise InputError(
                "duplicates inclusion with fifo-cache-stored: a q stored with a "
                "column gives no probability to be in the set"
            )


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
