"""What can't be meant about negatives, refused before any training: one line each."""

from typing import NamedTuple

from research.config import Config
from research.negatives.source import Source
from research.negatives.whole import held_whole
from research.types import InputError

__all__ = ["Size", "check_sources"]

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
