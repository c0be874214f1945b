"""The metrics: one entry each, which says everything that tables and figures ask.

A metric that a record's ranks, bands and exposure suffice for is a function and an
entry. One that needs more has a second function, which measures a column of the record
while the lists are at hand (research/evaluate/record.py).

Conventions: ``v`` evaluated users, ``h`` their held-out positives, ``i`` items, ``k`` a
cut-off. For a user u with held-out positives H_u, n = |H_u|; rank r counts from 0.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.evaluate import formulas
from research.registry import Registry, deferred
from research.types import BANDS, Record

CUTOFF = 20  # of the columns that a record holds ready-made, of pages and of figures
DEFAULT_KS = (10, 20, 50, 100)


@dataclass(frozen=True)
class Metric:
    """A metric: how it is computed, and how tables, pages and figures show it.

    Args:
      help: what it is, in one line.
      label: its name on an axis; ``{k}`` stands for the cut-off.
      compute: (record, k) -> a value per user, [v], or one number for all lists; by
        default the column itself. NaN for a user whom it does not count: which users it
        counts must not depend on the run, or arms cannot be paired.
      per_user: whether it has a value per user; else it is of all lists together.
      better: which end is better; "neither" for what only describes lists, which is
        not marked on a page.
      unit: of the axis, where it has one.
      heading: of its column on a Markdown page; without one it is in the CSV alone.
      number: format of its numbers on a page.
      leading: whether its column stands before those that aren't.
      interval: whether a page gives its interval and its paired difference.
      footnote: a paragraph below a page. Metrics may share one: it is printed where all
        of them are shown.
      cutoffs: those it is computed at; none are all that a record has.
      column: the record's column it needs; it is absent where a record lacks that.
      measure: Evaluation -> that column, or None where it can't be measured.
    """

    help: str
    label: str
    compute: Callable[[Record, int], Any] | None = None
    per_user: bool = True
    better: Literal["higher", "lower", "neither"] = "neither"
    unit: str = ""
    heading: str = ""
    number: str = ".3f"
    leading: bool = False
    interval: bool = False
    footnote: str = ""
    cutoffs: tuple[int, ...] = ()
    column: str = ""
    measure: Callable[[Any], ndarray | None] | None = None

    def __post_init__(self) -> None:
        if not self.column and (self.compute is None or self.measure is not None):
            raise ValueError(f"{self.label}: name the column that it needs")

    def title(self, k: int) -> str:
        """Its name at cut-off k, without a unit."""
        return self.label.format(k=k)

    def axis(self, k: int) -> str:
        """The label of an axis at cut-off k, with the unit."""
        return f"{self.title(k)} ({self.unit})" if self.unit else self.title(k)

    def column_heading(self, k: int) -> str:
        """The heading of its column on a Markdown page at cut-off k."""
        return self.heading.format(k=k)


class Key(NamedTuple):
    """A metric at a cut-off."""

    metric: str
    k: int


def keys(ks: Sequence[int], names: Collection[str] | None = None) -> list[Key]:
    """Every metric at every cut-off it has, in the order of tables.

    Args:
      ks: cut-offs of the records.
      names: metrics that are kept; default all.

    >>> [key.k for key in keys((10, 20)) if key.metric in ("hit", "ild")]
    [10, 20, 20]
    """
    return [
        Key(name, k)
        for name, metric in METRICS.items()
        if names is None or name in names
        for k in metric.cutoffs or ks
    ]


def available(record: Record) -> list[str]:
    """The metrics whose column, if they need one, the record has."""
    return [
        name
        for name, metric in METRICS.items()
        if not metric.column or metric.column in record.columns
    ]


def metric_values(record: Record, key: Key) -> Any:
    """A metric at a cut-off: [v] in float64, or a number where it is of all lists.

    Raises:
      ValueError: a metric per user did not give a value per user.
    """
    metric, (name, k) = METRICS[key.metric], key
    if metric.compute is not None:
        values = metric.compute(record, k)
    elif metric.per_user:
        values = record.columns[metric.column].astype(np.float64)
    else:
        values = record.columns[metric.column][record.ks.tolist().index(k)]
    if not metric.per_user:
        return float(values)
    if values.shape != record.held.shape:
        raise ValueError(
            f"metric {name}: {list(values.shape)} values for {len(record.held)} users"
        )
    return values


def per_user(record: Record) -> dict[Key, Float[ndarray, " v"]]:
    """Each metric per user that the record has, at each cut-off, unreduced.

    Raises:
      ValueError: a cut-off outside 1 to 100, or positives that don't add up.
    """
    ks, held = record.ks, record.held
    if np.any(ks < 1) or np.any(ks > formulas.DEPTH):
        raise ValueError(
            f"cut-offs {ks.tolist()}: a record holds ranks 1 to {formulas.DEPTH}"
        )
    if held.sum() != len(record.rank) or np.any(held < 1):
        raise ValueError(
            f"{len(record.rank)} ranks for {int(held.sum())} held-out positives,"
            f" {int((held < 1).sum())} users without any"
        )
    return _values(record, per_user=True)


def whole_set(record: Record) -> dict[Key, float]:
    """Each metric of all lists together that the record has, at each cut-off."""
    return _values(record, per_user=False)


def _values(record: Record, per_user: bool) -> dict[Key, Any]:
    names = [n for n in available(record) if METRICS[n].per_user == per_user]
    return {key: metric_values(record, key) for key in keys(record.ks.tolist(), names)}


def summary(record: Record) -> dict[str, dict[int, float]]:
    """{metric: {cut-off: value}}: means over users, and metrics of all lists together.

    A value is NaN where no user counts.
    """
    means = {key: mean_counted(values) for key, values in per_user(record).items()}
    values = means | whole_set(record)
    out: dict[str, dict[int, float]] = {}
    for key in keys(record.ks.tolist(), available(record)):
        out.setdefault(key.metric, {})[key.k] = values[key]
    return out


def mean_counted(values: Float[ndarray, " v"]) -> float:
    """The mean over the users who count, NaN without any.

    >>> mean_counted(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")


_BALANCE = (
    "item recall: mean over items of the share of their test users reached. head,"
    " torso, tail: recall within each third of the fitted clicks, by item popularity."
    " cold slots: share of slots given to items with at most 2 fitted clicks."
)
_INTERESTS = (
    "expansion: recall of the positives whose genres are all foreign to the user (under"
    " 5 % of the user's own). outside: share of the lists' genres that are foreign."
    " repulsion: mean share of unseen items ranked above a held-out positive; 0 is the"
    " top."
)

# In the order of the long table.
METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "recall": Metric(
            help="share of a user's held-out positives that are in the list",
            label="recall@{k}",
            compute=formulas.recall,
            better="higher",
            heading="R@{k}",
            number=".4f",
            leading=True,
            interval=True,
        ),
        "ndcg": Metric(
            help="discounted gain of the hits, as a share of the highest possible",
            label="NDCG@{k}",
            compute=formulas.ndcg,
            better="higher",
            heading="N@{k}",
            number=".4f",
            leading=True,
            interval=True,
        ),
        "hit": Metric(
            help="whether the list holds any held-out positive",
            label="hit rate@{k}",
            compute=formulas.hit,
            better="higher",
        ),
        "mrr": Metric(
            help="reciprocal rank of the first hit, 0 without one",
            label="MRR@{k}",
            compute=formulas.mrr,
            better="higher",
        ),
        **{
            f"recall_{band}": Metric(
                help=f"recall of the held-out positives in the popularity band {band}",
                label=f"{band} recall@{{k}}",
                compute=partial(formulas.recall_of_band, band=n),
                better="higher",
                heading=band,
                footnote=_BALANCE,
            )
            for n, band in enumerate(BANDS)
        },
        "recall_item": Metric(
            help="item-averaged recall: mean over items of the share of users reached",
            label="item recall@{k}",
            better="higher",
            heading="item recall",
            number=".4f",
            leading=True,
            footnote=_BALANCE,
            cutoffs=(CUTOFF,),
            column="recall_item",
            measure=deferred("research.evaluate.record:item_balanced"),
        ),
        "coverage": Metric(
            help="share of the catalogue that is shown to anyone",
            label="coverage",
            compute=formulas.coverage,
            per_user=False,
            unit="share of items",
            heading="coverage",
        ),
        "gini": Metric(
            help="Gini index of exposure over the whole catalogue",
            label="Gini of exposure",
            compute=formulas.gini,
            per_user=False,
            unit="1: all on one item",
            heading="Gini",
        ),
        "entropy": Metric(
            help="entropy of exposure over the catalogue",
            label="entropy of exposure",
            compute=formulas.entropy,
            per_user=False,
            unit="bits",
        ),
        "ild": Metric(
            help="intra-list distance: mean over pairs of 1 - cosine of their genres",
            label="genre distance within a list",
            heading="ILD",
            cutoffs=(CUTOFF,),
            column="ild",
            measure=deferred("research.evaluate.record:intra_list_distance"),
        ),
        "novelty": Metric(
            help="mean of -log2 of the shown items' share of the fitted clicks",
            label="novelty",
            unit="bits",
            heading="novelty",
            number=".2f",
            cutoffs=(CUTOFF,),
            column="novelty",
            measure=deferred("research.evaluate.record:novelty"),
        ),
        "train_count": Metric(
            help="average recommendation popularity (ARP): mean fitted clicks shown",
            label="mean train count, top {k}",
            unit="training clicks an item",
            heading="train count",
            number=".1f",
            cutoffs=(CUTOFF,),
            column="train_count",
            measure=deferred("research.evaluate.record:train_count"),
        ),
        "cold_slots_0": Metric(
            help="share of slots given to items without a fitted click",
            label="slots of unclicked items",
            compute=partial(formulas.cold_slots, most=0),
            per_user=False,
            unit="share",
        ),
        "cold_slots_2": Metric(
            help="share of slots given to items with at most 2 fitted clicks",
            label="slots of cold items",
            compute=partial(formulas.cold_slots, most=2),
            per_user=False,
            unit="share",
            heading="cold slots",
            number=".4f",
            footnote=_BALANCE,
        ),
        "recall_expansion": Metric(
            help="recall of the held-out positives whose genres are all unfamiliar",
            label="recall on foreign genres",
            compute=formulas.recall_of_expansion,
            better="higher",
            heading="expansion",
            footnote=_INTERESTS,
            column="expansion",
            measure=deferred("research.evaluate.record:is_expansion"),
        ),
        "outside_genres": Metric(
            help="share of a list's genres that are unfamiliar to its user",
            label="foreign genres shown",
            unit="share",
            heading="outside",
            footnote=_INTERESTS,
            cutoffs=(CUTOFF,),
            column="outside_genres",
            measure=deferred("research.evaluate.record:outside_share"),
        ),
        "repulsion": Metric(
            help="1 - AUC: share of unseen items that score above a held-out positive",
            label="repulsion",
            unit="unseen ranked above",
            heading="repulsion",
            footnote=_INTERESTS,
            cutoffs=(CUTOFF,),
            column="repulsion",
            measure=deferred("research.evaluate.record:repulsion"),
        ),
        "distinct_lists": Metric(
            help="distinct lists, divided by the users",
            label="distinct lists",
            compute=formulas.distinct_lists,
            per_user=False,
            unit="share of users",
            column="distinct",
            measure=deferred("research.evaluate.record:distinct"),
        ),
    },
)
