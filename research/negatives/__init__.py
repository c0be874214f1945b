"""The registry of sources of negatives: adding one is a function and one entry here."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from research.config import REFERENCE, Config
from research.positives import POSITIVES
from research.registry import Registry, deferred
from research.towers import takes_words
from research.types import InputError

__all__ = [
    "SOURCES",
    "Size",
    "SourceEntry",
    "check_negatives",
    "entries_of",
    "held_whole",
    "is_batch_alone",
    "make_sources",
]

# Bytes of logits that a step may hold: some four arrays of their size are alive.
_MOST = 1 << 31


class Size(NamedTuple):
    """Numbers of a training part: items of the catalogue, items with a pair, pairs."""

    items: int
    clicked: int
    pairs: int


class SourceEntry(NamedTuple):
    """An entry of the registry: what may be asked of a source before it is made.

    Attributes:
      make: (draws, config) -> Source (research/negatives/source.py).
      columns: how many columns it has: "draws" (the number behind its name), "part"
        (that many of the batch's), "batch" or "catalogue".
      origin: where vectors come from, as in Source.
      knows_q: whether log q of any id is known; else no correction is possible.
      per_row: whether each row has columns of its own.
      cache: None, "ring" (the last draws) or "items" (one vector per item).
      stores_q: whether each column comes with a q of its own, so that no union with
        other sources can be formed.
      ranks_items: whether it ranks items for users, and so needs users as queries.
      check: (config, draws, size) -> None, refusing what this source alone can't do;
        size is None as long as no data is read.
    """

    make: Callable[..., Any]
    columns: Literal["draws", "part", "batch", "catalogue"] = "draws"
    origin: Literal["batch", "fresh", "stored"] = "fresh"
    knows_q: bool = True
    per_row: bool = False
    cache: Literal["ring", "items"] | None = None
    stores_q: bool = False
    ranks_items: bool = False
    check: Callable[[Config, int, Size | None], None] | None = None


def _check_batch(config: Config, draws: int, size: Size | None) -> None:
    if config.batch < 2:
        raise InputError("in-batch draws nothing: a batch of 1 has no other rows")


def _check_part(config: Config, draws: int, size: Size | None) -> None:
    if draws > config.batch - 1:
        raise InputError(
            f"in-batch-part:{draws}: a batch of {config.batch} "
            f"holds {config.batch - 1} others"
        )
    _check_batch(config, draws, size)


def _check_ring(config: Config, draws: int, size: Size | None) -> None:
    if draws < config.batch:
        raise InputError(
            f"fifo-cache:{draws} is smaller than a batch ({config.batch}): "
            f"each step would overwrite it all"
        )


def _check_band(config: Config, draws: int, size: Size | None) -> None:
    if size is not None and config.band_high > size.items:
        raise InputError(
            f"band_high is {config.band_high}: there are {size.items} items"
        )


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
        "popularity": SourceEntry(deferred("research.negatives.source:popularity")),
        "extra": SourceEntry(deferred("research.negatives.source:extra")),
        "fifo-cache": SourceEntry(
            deferred("research.negatives.caches:fifo_cache"),
            origin="stored",
            cache="ring",
            check=_check_ring,
        ),
        "fifo-cache-stored": SourceEntry(
            deferred("research.negatives.caches:fifo_cache_stored"),
            origin="stored",
            cache="ring",
            stores_q=True,
            check=_check_ring,
        ),
        "vector-cache": SourceEntry(
            deferred("research.negatives.caches:vector_cache"),
            origin="stored",
            cache="items",
        ),
        "rank-band": SourceEntry(
            deferred("research.negatives.bands:rank_band"),
            knows_q=False,
            per_row=True,
            ranks_items=True,
            check=_check_band,
        ),
        "catalogue": SourceEntry(
            deferred("research.negatives.source:catalogue"), columns="catalogue"
        ),
    },
)


class Named(NamedTuple):
    """One source of a run: its name, its number of draws (0 for none), its entry."""

    name: str
    draws: int
    entry: SourceEntry


def entries_of(specs: tuple[str, ...], config: Config) -> tuple[Named, ...]:
    """The sources named as NAME or NAME:DRAWS.

    Args:
      specs: the names.
      config: what sources depend on: the batch; where its ``draws`` isn't 0, that takes
        the place of every number in the names.

    Raises:
      InputError: no source at all; an unknown name; a number of draws missing, in
        excess, or below 1; a source that the batch doesn't allow.
    """
    if not specs:
        raise InputError("no source of negatives: name at least one")
    named = tuple(_read(spec, config.draws) for spec in specs)
    for _, draws, entry in named:
        if entry.check is not None:
            entry.check(config, draws, None)
    return named


def _read(spec: str, draws: int) -> Named:
    name, colon, number = spec.partition(":")
    entry = SOURCES.choose(name)
    if entry.columns in ("batch", "catalogue"):
        if colon:
            raise InputError(f"{name} takes no number of draws: '{spec}'")
        return Named(name, 0, entry)
    if not number.isdigit() or int(number) < 1:
        raise InputError(
            f"{name} needs a number of draws, as in {name}:1024, not '{spec}'"
        )
    return Named(name, draws or int(number), entry)


def is_batch_alone(specs: tuple[str, ...]) -> bool:
    """Whether the negatives are the batch's other positives and nothing else.

    >>> is_batch_alone(("in-batch",)), is_batch_alone(("in-batch", "uniform:8"))
    (True, False)
    """
    names = [spec.partition(":")[0] for spec in specs]
    return len(names) == 1 and SOURCES.choose(names[0]).columns == "batch"


def make_sources(specs: tuple[str, ...], config: Config = REFERENCE) -> tuple[Any, ...]:
    """The sources named, ready to draw (research/negatives/source.py).

    Args:
      specs: names as in entries_of.
      config: what sources depend on: the batch, the dimension, the band.

    Raises:
      InputError: see entries_of.
      TypeError: a source is not what its entry declares.

    >>> [s.name for s in make_sources(("in-batch", "uniform:1024"))]
    ['in-batch', 'uniform']
    """
    sources = []
    for name, draws, entry in entries_of(specs, config):
        source = entry.make(draws, config)
        declared = source.origin, source.log_q is not None
        if declared != (entry.origin, entry.knows_q):
            raise TypeError(
                f"source {name}: its entry declares origin {entry.origin} and knows_q "
                f"{entry.knows_q}, it has origin {source.origin} and log_q "
                f"{'None' if source.log_q is None else 'defined'}"
            )
        sources.append(source)
    return tuple(sources)


def check_negatives(config: Config, size: Size | None = None) -> None:
    """Compares the sources of a run with its switches and, once read, with its data.

    Args:
      config: the run.
      size: of the training part; None checks what needs no data.

    Raises:
      InputError: see entries_of; unknown q under a correction; a cache that holds less
        than is drawn from it, or is never warm; a stored q in a union; a band or a
        selection wider than what there is; inclusion with what it can't be combined
        with; a push by the batch where it isn't a source, or where its share isn't
        known; more logits than can be held, where a switch needs them all at once.
    """
    sources = entries_of(config.negatives, config)
    _check_known_q(config, sources)
    _check_stored_alone(sources)
    _check_item_push(config, sources)
    _check_ranks_items(config, sources)
    if config.duplicates == "inclusion":
        _check_inclusion(config, sources)
    if size is None:
        return
    wide = {"batch": config.batch, "part": config.batch, "catalogue": size.items}
    columns = [wide.get(entry.columns, draws) for _, draws, entry in sources]
    _check_memory(config, sum(columns))
    for name, draws, entry in sources:
        if entry.cache is not None:
            _check_warm(config, Named(name, draws, entry), size)
        if entry.check is not None:
            entry.check(config, draws, size)
    if config.hardest > sum(columns):
        raise InputError(
            f"hardest is {config.hardest}: only {sum(columns)} negatives are drawn"
        )


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
    if not POSITIVES.choose(config.positives).ranks_items:
        return f"positives {config.positives}"  # the query's own columns are left out
    return None


def _check_known_q(config: Config, sources: tuple[Named, ...]) -> None:
    if config.logq == 0:
        return
    if config.hardest:
        raise InputError(
            f"logq {config.logq:g} with hardest {config.hardest}: the hardest are "
            f"chosen by their score, so their q is unknown; use logq 0"
        )
    for name, _, entry in sources:
        if not entry.knows_q:
            raise InputError(
                f"logq {config.logq:g} with {name}: its negatives are chosen by "
                f"the model, so their q is unknown; use logq 0"
            )


def _check_stored_alone(sources: tuple[Named, ...]) -> None:
    storing = [s.name for s in sources if s.entry.stores_q]
    others = [
        s.name for s in sources if not (s.entry.stores_q or s.entry.columns == "batch")
    ]
    if storing and (others or len(storing) > 1):
        raise InputError(
            f"{storing[0]} in a union with {', '.join(others) or 'itself'}: a q "
            f"stored with a column gives no mixture; use fifo-cache"
        )


def _check_item_push(config: Config, sources: tuple[Named, ...]) -> None:
    if config.item_push == "drawn":
        return
    if all(source.entry.origin != "batch" for source in sources):
        raise InputError(
            f"item_push {config.item_push} without in-batch negatives: nothing would "
            f"push an item away"
        )
    for source in sources:
        if config.item_push == "balanced" and not source.entry.knows_q:
            raise InputError(
                f"item_push balanced with {source.name}: its q is unknown, and so its "
                f"share of the push"
            )


def _check_ranks_items(config: Config, sources: tuple[Named, ...]) -> None:
    for spec, source in zip(config.negatives, sources, strict=True):
        if not source.entry.ranks_items:
            continue
        if not POSITIVES.choose(config.positives).ranks_items:
            raise InputError(
                f"{spec} with positives {config.positives}: {source.name} ranks items "
                f"for users"
            )
        if takes_words(config):
            raise InputError(
                f"{spec} with encoder {config.encoder}: {source.name} ranks items for "
                f"users who search for nothing"
            )


def _check_memory(config: Config, columns: int) -> None:
    reason, size = held_whole(config), 4 * config.batch * columns
    if reason and size > _MOST:
        raise InputError(
            f"{reason} needs all {config.batch} x {columns} logits at once, "
            f"{size / 2**30:.1f} GiB: take fewer rows or negatives"
        )


def _check_warm(config: Config, source: Named, size: Size) -> None:
    steps, draws = config.epochs * (size.pairs // config.batch), source.draws
    if source.entry.cache == "items" and draws > size.clicked:
        raise InputError(
            f"{source.name}:{draws} draws more than it can hold: one vector for each "
            f"of {size.clicked} items with a click"
        )
    if config.warmup >= steps:
        raise InputError(
            f"warmup is {config.warmup} of {steps} steps: {source.name} draws nothing"
        )
    if source.entry.cache == "ring" and draws > (steps - 1) * config.batch:
        raise InputError(
            f"{source.name}:{draws} is never full in {steps} steps of {config.batch}: "
            f"it draws nothing"
        )


def _check_inclusion(config: Config, sources: tuple[Named, ...]) -> None:
    for name in ("leave_own_out", "expected_count"):
        if getattr(config, name):
            raise InputError(
                f"{name} with duplicates inclusion: the probability to be in the set "
                f"counts draws already"
            )
    for name, _, entry in sources:
        if entry.per_row or not entry.knows_q:
            raise InputError(
                f"duplicates inclusion with {name}: its columns differ by row"
            )
        if entry.stores_q:
            raise InputError(
                f"duplicates inclusion with {name}: a q stored with a "
                "column gives no probability to be in the set"
            )
