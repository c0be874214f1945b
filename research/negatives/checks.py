"""Refuses, before any training, what sources of negatives can't be combined with."""

from research.config import Config
from research.losses import LOSSES
from research.losses.entry import DENSE, STATE
from research.negatives import MOST_LOGITS, NamedSource, Size, entries_of, held_whole
from research.negatives.frequencies import check_frequency
from research.positives import POSITIVES
from research.towers import takes_words
from research.types import InputError, check_distinct


def check_negatives(config: Config, size: Size | None = None) -> None:
    """Compares the sources of a run with its switches and, once read, with its data.

    Raises:
      InputError: see entries_of; unknown q under a correction; a cache that can't hold
        as much as is drawn from it, or is never warm; a stored q, or one by the user,
        in a union; in-batch or the catalogue twice; a user who has every item; a band
        with more ranks than items, or more hardest negatives than drawn ones;
        duplicates inclusion with a source or switch that rules it out; item_gradient
        batch or balanced without in-batch negatives, or balanced with an unknown q;
        more logits than can be held, where a switch or the loss needs them all at once;
        counts that no step would use.
    """
    sources = entries_of(config.negatives, config)
    # Sources that draw anew may share a name; these would have the same columns.
    check_distinct(
        (s.name for s in sources if s.entry.columns in ("batch", "catalogue")),
        "negatives",
    )
    _check_known_q(config, sources)
    _check_stored_alone(sources)
    _check_by_user(config, sources)
    _check_item_gradient(config, sources)
    _check_ranks_items(config, sources)
    if config.duplicates == "inclusion":
        _check_inclusion(config, sources)
    if size is None:
        return
    wide = {"batch": config.batch, "part": config.batch, "catalogue": size.items}
    columns = [wide.get(source.entry.columns, source.draws) for source in sources]
    _check_memory(config, sum(columns))
    check_frequency(config, size.pairs // config.batch)
    for source in sources:
        if source.entry.cache is not None:
            _check_warm(config, source, size)
        if source.entry.check is not None:
            source.entry.check(config, source, size)
    if config.hardest > sum(columns):
        raise InputError(
            f"hardest is {config.hardest}: only {sum(columns)} negatives are drawn"
        )


def _check_known_q(config: Config, sources: tuple[NamedSource, ...]) -> None:
    if config.logq == 0:
        return
    if config.hardest:
        raise InputError(
            f"logq {config.logq:g} with hardest {config.hardest}: the hardest are "
            f"chosen by their score, so their q is unknown; use logq 0"
        )
    for name, _, entry, _ in sources:
        if not entry.knows_q:
            raise InputError(
                f"logq {config.logq:g} with {name}: its negatives are chosen by "
                f"the model, so their q is unknown; use logq 0"
            )


def _check_stored_alone(sources: tuple[NamedSource, ...]) -> None:
    storing = [s.name for s in sources if s.entry.stores_q]
    others = [
        s.name for s in sources if not (s.entry.stores_q or s.entry.columns == "batch")
    ]
    if storing and (others or len(storing) > 1):
        raise InputError(
            f"{storing[0]} in a union with {', '.join(others) or 'itself'}: a q "
            f"stored with a column can't form a mixture; use fifo-cache"
        )


def _check_by_user(config: Config, sources: tuple[NamedSource, ...]) -> None:
    for name, draws, entry, _ in sources:
        if not entry.by_user:
            continue
        if not POSITIVES.choose(config.positives).ranks_items:
            raise InputError(
                f"{name}:{draws} with positives {config.positives}: it draws items "
                f"that a user does not have, and the query is not a user"
            )
        if config.logq and len(sources) > 1:
            raise InputError(
                f"logq {config.logq:g} with {name} in a union: its q differs by user, "
                f"so it can't form a mixture; use logq 0, or {name} alone"
            )
        if config.leave_own_out:
            raise InputError(
                f"leave_own_out with {name}: it never draws the row's positive"
            )
        if config.item_gradient == "balanced":
            raise InputError(
                f"item_gradient balanced with {name}: its q differs by user, and so "
                f"its share of the repulsive gradient"
            )


def _check_item_gradient(config: Config, sources: tuple[NamedSource, ...]) -> None:
    if config.item_gradient == "drawn":
        return
    if all(source.entry.origin != "batch" for source in sources):
        raise InputError(
            f"item_gradient {config.item_gradient} without in-batch negatives: nothing "
            f"would push an item away"
        )
    for source in sources:
        if config.item_gradient == "balanced" and not source.entry.knows_q:
            raise InputError(
                f"item_gradient balanced with {source.name}: its q is unknown, and so "
                f"its share of the repulsive gradient"
            )


def _check_ranks_items(config: Config, sources: tuple[NamedSource, ...]) -> None:
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
    if not reason and LOSSES.choose(config.loss).needs & {DENSE, STATE}:
        reason = f"loss {config.loss}"
    if reason and size > MOST_LOGITS:
        raise InputError(
            f"{reason} needs all {config.batch} x {columns} logits at once, "
            f"{size / 2**30:.1f} GiB: take fewer rows or negatives"
        )


def _check_warm(config: Config, source: NamedSource, size: Size) -> None:
    steps, draws = config.epochs * (size.pairs // config.batch), source.draws
    if source.entry.cache == "items" and draws > size.clicked:
        raise InputError(
            f"{source.name}:{draws} draws more than it can hold: one vector for each "
            f"of {size.clicked} items with a click"
        )
    if source.values["warmup"] >= steps:
        raise InputError(
            f"{source.name}'s warmup is {source.values['warmup']} of {steps} steps: it "
            f"draws nothing"
        )
    # One of vectors of items may hold fewer than this, as batches repeat items.
    if draws > (steps - 1) * config.batch:
        raise InputError(
            f"{source.name}:{draws} is never full in {steps} steps of {config.batch}: "
            f"it draws nothing"
        )


def _check_inclusion(config: Config, sources: tuple[NamedSource, ...]) -> None:
    for name in ("leave_own_out", "expected_count"):
        if getattr(config, name):
            raise InputError(
                f"{name} with duplicates inclusion: the inclusion probability counts "
                f"draws already"
            )
    if config.item_gradient == "balanced":
        raise InputError(
            "item_gradient balanced with duplicates inclusion: its weights count "
            "draws, of which only the first of each item is left"
        )
    for name, _, entry, _ in sources:
        if entry.per_row or not entry.knows_q:
            raise InputError(
                f"duplicates inclusion with {name}: its columns differ by row"
            )
        if entry.columns == "catalogue":
            raise InputError(
                f"duplicates inclusion with {name}: it holds every item once, without "
                "draws; use duplicates keep"
            )
        if entry.stores_q:
            raise InputError(
                f"duplicates inclusion with {name}: a q stored with a column gives no "
                "inclusion probability"
            )
