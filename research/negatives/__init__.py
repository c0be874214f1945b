"""The registry of sources of negatives: adding one is a function and one entry here."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from research.config import REFERENCE, Config
from research.entries import NO_VALUES, Value, own, read
from research.marks import SWEPT, Range, check_number
from research.positives import POSITIVES
from research.registry import Registry, deferred
from research.types import InputError

__all__ = [
    "MOST_LOGITS",
    "SOURCES",
    "NamedSource",
    "Size",
    "SourceEntry",
    "entries_of",
    "held_whole",
    "is_batch_alone",
    "make_sources",
]


class Size(NamedTuple):
    """Sizes of a training part.

    Attributes:
      items: of the catalogue.
      clicked: items with a pair.
      pairs: of the training part.
      most: events of the user who has the most.
    """

    items: int
    clicked: int
    pairs: int
    most: int = 0


class SourceEntry(NamedTuple):
    """An entry of the registry: what is known of a source before it is made.

    Attributes:
      make: (draws, config, **values) -> Source (research/negatives/source.py), with
        those of its own values that aren't swept; init finds the others in hyper.
      columns: how many columns it has: "draws" (the number behind its name), "part"
        (that many of the batch's), "batch" or "catalogue".
      origin: where vectors come from, as in Source.
      knows_q: whether log q of any id is known; else no correction is possible.
      per_row: whether each row has columns of its own.
      cache: None, "ring" (the last draws) or "items" (one vector per item).
      stores_q: whether each column comes with its own q, so that no union with other
        sources can be formed.
      ranks_items: whether it ranks items for users, and so needs users as queries.
      by_user: whether its q depends on the row's user: it needs users as queries and
        their items (Pool.owned), and can't form a mixture with other sources.
      check: (config, source, size) -> None, refusing what this source alone can't do;
        size is None before data is read.
      values: its own, by name.
    """

    make: Callable[..., Any]
    columns: Literal["draws", "part", "batch", "catalogue"] = "draws"
    origin: Literal["batch", "fresh", "stored"] = "fresh"
    knows_q: bool = True
    per_row: bool = False
    cache: Literal["ring", "items"] | None = None
    stores_q: bool = False
    ranks_items: bool = False
    by_user: bool = False
    check: "Callable[[Config, NamedSource, Size | None], None] | None" = None
    values: Mapping[str, Value] = NO_VALUES


class NamedSource(NamedTuple):
    """A source of a run: its name, its number of draws (0: none), entry and values."""

    name: str
    draws: int
    entry: SourceEntry
    values: Mapping[str, Any]


def _check_batch(config: Config, source: NamedSource, size: Size | None) -> None:
    if config.batch < 2:
        raise InputError("in-batch draws nothing: a batch of 1 has no other rows")


def _check_part(config: Config, source: NamedSource, size: Size | None) -> None:
    if source.draws > config.batch - 1:
        raise InputError(
            f"in-batch-part:{source.draws}: in a batch of {config.batch} a row has "
            f"only {config.batch - 1} others"
        )
    _check_batch(config, source, size)


def _check_ring(config: Config, source: NamedSource, size: Size | None) -> None:
    if source.draws < config.batch:
        raise InputError(
            f"{source.name}:{source.draws} is smaller than a batch ({config.batch}): "
            f"each step would overwrite it all"
        )


def _check_outside(config: Config, source: NamedSource, size: Size | None) -> None:
    if size is not None and size.most >= size.items:
        raise InputError(
            f"uniform-outside:{source.draws}: a user has all {size.items} items, and "
            f"nothing outside them"
        )


def _check_band(config: Config, source: NamedSource, size: Size | None) -> None:
    low, high = source.values["low"], source.values["high"]
    if high < low:
        raise InputError(f"rank-band's high is {high}: it must be at least low ({low})")
    if size is not None and high > size.items:
        raise InputError(f"rank-band's high is {high}: there are {size.items} items")


_ALPHA = {"alpha": Value(1.0, Range(0.0, 2.0), SWEPT)}  # power of the click count
_MIX = {"mix": Value(1.0, Range(0.0, 1.0), SWEPT)}  # share that is uniform
_WARMUP = {"warmup": Value(0, Range(0), SWEPT)}  # steps before a cache is used

SOURCES: Registry[SourceEntry] = Registry(
    "source of negatives",
    {
        "in-batch": SourceEntry(
            deferred("research.negatives.source:in_batch"),
            columns="batch",
            origin="batch",
            check=_check_batch,
        ),
        "in-batch-part": SourceEntry(
            deferred("research.negatives.source:in_batch_part"),
            columns="part",
            origin="batch",
            per_row=True,
            check=_check_part,
        ),
        "uniform": SourceEntry(deferred("research.negatives.source:uniform")),
        "uniform-per-row": SourceEntry(
            deferred("research.negatives.source:uniform_per_row"), per_row=True
        ),
        "uniform-outside": SourceEntry(
            deferred("research.negatives.outside:uniform_outside"),
            per_row=True,
            by_user=True,
            check=_check_outside,
        ),
        "popularity": SourceEntry(
            deferred("research.negatives.source:popularity"), values=_ALPHA
        ),
        "popularity-per-row": SourceEntry(
            deferred("research.negatives.source:popularity_per_row"),
            per_row=True,
            values=_ALPHA,
        ),
        "extra": SourceEntry(
            deferred("research.negatives.source:extra"), values=_ALPHA | _MIX
        ),
        "fifo-cache": SourceEntry(
            deferred("research.negatives.caches:fifo_cache"),
            origin="stored",
            cache="ring",
            check=_check_ring,
            values=_WARMUP,
        ),
        "fifo-cache-stored": SourceEntry(
            deferred("research.negatives.caches:fifo_cache_stored"),
            origin="stored",
            cache="ring",
            stores_q=True,
            check=_check_ring,
            values=_WARMUP,
        ),
        "fifo-cache-by-size": SourceEntry(
            deferred("research.negatives.caches:fifo_cache_by_size"),
            origin="stored",
            cache="ring",
            check=_check_ring,
            values=_WARMUP,
        ),
        "vector-cache": SourceEntry(
            deferred("research.negatives.caches:vector_cache"),
            origin="stored",
            cache="items",
            values=_WARMUP,
        ),
        "rank-band": SourceEntry(
            deferred("research.negatives.bands:rank_band"),
            knows_q=False,
            per_row=True,
            ranks_items=True,
            check=_check_band,
            values={"low": Value(101, Range(1)), "high": Value(500, Range(1))},
        ),
        "catalogue": SourceEntry(
            deferred("research.negatives.source:catalogue"), columns="catalogue"
        ),
    },
)


def entries_of(specs: tuple[str, ...], config: Config) -> tuple[NamedSource, ...]:
    """The sources named as NAME or NAME:DRAWS, with their values after commas.

    Raises:
      InputError: no source at all; an unknown name; a number of draws that is missing,
        below 1 or not taken; a source that the batch doesn't allow; one name with
        two values.
    """
    if not specs:
        raise InputError("no source of negatives: name at least one")
    named = tuple(_read(spec, config.draws) for spec in specs)
    values: dict[str, Mapping[str, Any]] = {}
    for source in named:
        if values.setdefault(source.name, source.values) != source.values:
            raise InputError(f"negatives name {source.name} twice, with other values")
        if source.entry.check is not None:
            source.entry.check(config, source, None)
    return named


def _read(spec: str, draws: int) -> NamedSource:
    name, entry, values, number = read(spec, SOURCES, drawn=True)
    if entry.columns in ("batch", "catalogue"):
        if number:
            raise InputError(f"{name} takes no number of draws: '{spec}'")
        return NamedSource(name, 0, entry, values)
    if not (number.isascii() and number.isdigit() and 0 < len(number) <= 10):
        number = "0"
    if int(number) < 1:
        raise InputError(f"'{spec}': {name} needs a number of draws, as in {name}:1024")
    check_number(f"the number of draws of {name}", draws or int(number))
    return NamedSource(name, draws or int(number), entry, values)


def is_batch_alone(specs: tuple[str, ...]) -> bool:
    """Whether the negatives are the batch's other positives and nothing else.

    >>> is_batch_alone(("in-batch",)), is_batch_alone(("in-batch", "uniform:8"))
    (True, False)
    """
    return len(specs) == 1 and read(specs[0], SOURCES, True).entry.columns == "batch"


def make_sources(specs: tuple[str, ...], config: Config = REFERENCE) -> tuple[Any, ...]:
    """The sources named, ready to draw (research/negatives/source.py).

    Raises:
      InputError: see entries_of.
      TypeError: a source is not what its entry declares.

    >>> [s.name for s in make_sources(("in-batch", "uniform:1024"))]
    ['in-batch', 'uniform']
    """
    sources = []
    for name, draws, entry, values in entries_of(specs, config):
        fixed = {n: v for n, v in values.items() if entry.values[n].role is not SWEPT}
        source = entry.make(draws, config, **fixed)
        declared = source.origin, source.log_q is not None
        if declared != (entry.origin, entry.knows_q):
            raise TypeError(
                f"source {name}: its entry declares origin {entry.origin} and knows_q "
                f"{entry.knows_q}, it has origin {source.origin} and log_q "
                f"{'None' if source.log_q is None else 'defined'}"
            )
        sources.append(_with_own_values(source, name))
    return tuple(sources)


def _with_own_values(source: Any, name: str) -> Any:
    """A source whose init finds the values of its entry by their short names."""
    init = source.init
    return source._replace(init=lambda pool, hyper: init(pool, own(hyper, name)))


# Bytes of logits that a step may hold; about four arrays of their size live at once.
MOST_LOGITS = 1 << 31


def held_whole(config: Config) -> str | None:
    """The switch that needs a [b, c] array of logits, as field and value, or None.

    >>> held_whole(Config(hardest=5))
    'hardest 5'
    """
    if config.hardest:
        return f"hardest {config.hardest}"
    if config.duplicates == "inclusion":
        return "duplicates inclusion"
    if config.item_gradient != "drawn":
        return f"item_gradient {config.item_gradient}"
    if not POSITIVES.choose(config.positives).ranks_items:
        return f"positives {config.positives}"  # the query's own columns are left out
    return None
