"""The metrics: one entry each, with everything that tables and figures need.

A metric that needs only a record's ranks, bands and exposure is a function and an
entry. One that needs more has a second function, which measures a column of the record
while the lists are at hand (research/evaluate/record.py).
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

# The cut-off of a record's measured columns, of pages and of figures; a catalogue has
# at least as many items.
CUTOFF = 20
DEFAULT_KS = (10, 20, 50, 100, 200)


class PageColumn(NamedTuple):
    """A metric's column on a Markdown page.

    With ``interval`` there is also a column of paired differences. ``leading`` columns
    stand before the others. A footnote, which metrics may share, is printed where all
    of them are shown. With a ``second`` cut-off there are the same columns at that one,
    too.
    """

    heading: str
    number: str = ".3f"
    interval: bool = False
    leading: bool = False
    footnote: str = ""
    second: int = 0


@dataclass(frozen=True)
class Metric:
    """A metric: how it is computed, and how tables, pages and figures show it.

    Args:
      label: its name on an axis; ``{k}`` stands for the cut-off, here and in a heading.
      help: its meaning, in one line.
      compute: (record, k) -> a value per user, [v], or one number for all lists; by
        default the column itself. NaN for a user whom it does not count: which users it
        counts must not depend on the run, or arms cannot be paired.
      per_user: whether it has a value per user; else it is of all lists together.
      better: which end is better; "neither" for one that only describes lists, which
        pages don't mark.
      unit: of the axis, where it has one.
      page: its column on a Markdown page; without one it is in the CSV alone.
      cutoffs: the cut-offs that it is computed at; empty for all that a record has.
      column: the record's column that it needs; the metric is absent where a record
        lacks it.
      measure: Evaluation -> that column, or None where it can't be measured.
    """

    label: str
    help: str
    compute: Callable[[Record, int], Any] | None = None
    per_user: bool = True
    better: Literal["higher", "lower", "neither"] = "neither"
    unit: str = ""
    page: PageColumn | None = None
    cutoffs: tuple[int, ...] = ()
    column: str = ""
    measure: Callable[[Any], ndarray | None] | None = None

    def __post_init__(self) -> None:
        if not self.column and (self.compute is None or self.measure is not None):
            raise ValueError(f"{self.label}: name the column that it needs")
        if self.better not in ("higher", "lower", "neither"):
            raise ValueError(f"{self.label}: better is {self.better!r}")

    def title(self, k: int) -> str:
        """Its name at cut-off k, without a unit."""
        return self.label.format(k=k)

    def axis(self, k: int) -> str:
        """The label of an axis at cut-off k, with the unit."""
        return f"{self.title(k)} ({self.unit})" if self.unit else self.title(k)

    def heading(self, k: int) -> str:
        """Its heading at cut-off k, or its name where pages don't show it."""
        return self.page.heading.format(k=k) if self.page else self.title(k)

    def of(self, record: Record, k: int) -> Any:
        """Its values at cut-off k: [v] in float64, or one number for all lists.

        Raises:
          ValueError: a metric per user did not give a value per user.
        """
        if self.compute is not None:
            values = self.compute(record, k)
        elif self.per_user:
            values = record.columns[self.column].astype(np.float64)
        else:
            values = record.columns[self.column][record.ks.tolist().index(k)]
        if self.per_user and values.shape != record.held.shape:
            raise ValueError(
                f"{self.label}: {list(values.shape)} values, {len(record.held)} users"
            )
        return values if self.per_user else float(values)

    def absent(self, record: Record) -> bool:
        """Whether the record lacks its column."""
        return bool(self.column) and self.column not in record.columns


class Key(NamedTuple):
    """A metric at a cut-off."""

    metric: str
    k: int


def default_ks(n_items: int) -> list[int]:
    """The cut-offs of a record by default: those that a list of all items reaches.

    >>> default_ks(1447), default_ks(80)
    ([10, 20, 50, 100, 200], [10, 20, 50])
    """
    return [k for k in DEFAULT_KS if k <= max(n_items, CUTOFF)]


def keys(ks: Sequence[int], names: Collection[str] | None = None) -> list[Key]:
    """Every metric at every cut-off it has, in the order of tables.

    >>> [key.k for key in keys((10, 20)) if key.metric in ("hit", "ild")]
    [10, 20, 20]
    """
    return [
        Key(name, k)
        for name, metric in METRICS.items()
        if names is None or name in names
        for k in metric.cutoffs or ks
    ]


def metric_values(record: Record, ks: Sequence[int] | None = None) -> dict[Key, Any]:
    """Every metric of the record at each cut-off: [v], or one number for all lists.

    Raises:
      ValueError: a cut-off outside 1 to the record's depth, or positives that don't add
        up.
    """
    ks, held = record.ks.tolist() if ks is None else ks, record.held
    if min(ks) < 1 or max(ks) > record.depth:
        raise ValueError(f"cut-offs {ks}: the record holds ranks 1 to {record.depth}")
    if held.sum() != len(record.rank) or np.any(held < 1):
        raise ValueError(
            f"{len(record.rank)} ranks for {int(held.sum())} held-out positives,"
            f" {int((held < 1).sum())} users without any"
        )
    names = [name for name, metric in METRICS.items() if not metric.absent(record)]
    return {key: METRICS[key.metric].of(record, key.k) for key in keys(ks, names)}


def summary(record: Record) -> dict[str, dict[int, float]]:
    """{metric: {cut-off: value}}: means over users, and metrics of all lists together.

    A value is NaN where no user counts.
    """
    out: dict[str, dict[int, float]] = {}
    for (name, k), values in metric_values(record).items():
        mean = mean_counted(values) if METRICS[name].per_user else values
        out.setdefault(name, {})[k] = mean
    return out


def mean_counted(values: Float[ndarray, " v"]) -> float:
    """The mean over the users who count, NaN without any.

    >>> mean_counted(np.array([1.0, np.nan, 0.0]))
    0.5
    """
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else float("nan")


def _measured(column: str, label: str, help: str, **fields: Any) -> Metric:
    """A metric measured at cut-off 20 by record.py's function of the column's name."""
    measure = deferred(f"research.evaluate.record:{column}")
    fields = {"cutoffs": (CUTOFF,), "column": column, "measure": measure, **fields}
    return Metric(label, help, **fields)


_BALANCE = (
    "item-averaged recall: mean over items of the share of their test users reached."
    " head, torso, tail: recall within each third of the training clicks, by item"
    " popularity. ARP: average recommendation popularity, the mean number of training"
    " clicks of a recommended item. cold slots: share of slots given to items with at"
    " most 2 training clicks."
)
_EXPOSURE = (
    "IPS recall: recall of held-out clicks, each weighted by the inverse of its item's"
    " impressions + 1, as under even exposure."
)
_INTERESTS = (
    "unfamiliar recall: recall of the positives whose genres are all unfamiliar to the"
    " user (under 5 % of the user's own). unfamiliar share: share of the lists' genres"
    " that are unfamiliar. 1 - AUC: mean share of unseen items ranked above a held-out"
    " positive; 0 is the top."
)

# In the order of the long table.
METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "recall": Metric(
            "recall@{k}",
            "share of a user's held-out positives that are in the list",
            formulas.recall,
            better="higher",
            page=PageColumn("R@{k}", ".4f", interval=True, leading=True, second=100),
        ),
        "ndcg": Metric(
            "NDCG@{k}",
            "discounted gain of the hits, as a share of the highest possible",
            formulas.ndcg,
            better="higher",
            page=PageColumn("N@{k}", ".4f", interval=True, leading=True),
        ),
        "hit": Metric(
            "hit rate@{k}",
            "whether the list holds any held-out positive",
            formulas.hit,
            better="higher",
        ),
        "mrr": Metric(
            "MRR@{k}",
            "reciprocal rank of the first hit, 0 without one",
            formulas.mrr,
            better="higher",
        ),
        **{
            f"recall_{band}": Metric(
                f"{band} recall@{{k}}",
                f"recall of the held-out positives in the popularity band {band}",
                partial(formulas.recall_of_band, band=n),
                better="higher",
                page=PageColumn(band, footnote=_BALANCE),
            )
            for n, band in enumerate(BANDS)
        },
        "recall_item": _measured(
            "recall_item",
            "item-averaged recall@{k}",
            "mean over items of the share of their test users whose lists hold them",
            better="higher",
            page=PageColumn(
                "item-averaged recall", ".4f", leading=True, footnote=_BALANCE
            ),
        ),
        "recall_ips": _measured(
            "recall_ips",
            "IPS recall@{k}",
            "recall of held-out clicks, each weighted by 1 / (its item's impressions "
            "+ 1): an estimate of recall under even exposure",
            better="higher",
            page=PageColumn("IPS recall", ".4f", leading=True, footnote=_EXPOSURE),
        ),
        "coverage": Metric(
            "coverage",
            "share of the catalogue that is shown to anyone",
            formulas.coverage,
            per_user=False,
            unit="share of items",
            page=PageColumn("coverage"),
        ),
        "gini": Metric(
            "Gini of exposure",
            "Gini index of exposure over the whole catalogue",
            formulas.gini,
            per_user=False,
            unit="1: all on one item",
            page=PageColumn("Gini"),
        ),
        "entropy": Metric(
            "entropy of exposure",
            "entropy of exposure over the catalogue",
            formulas.entropy,
            per_user=False,
            unit="bits",
        ),
        "ild": _measured(
            "ild",
            "genre distance within a list",
            "intra-list distance: mean over pairs of 1 - cosine of their genres",
            page=PageColumn("ILD"),
        ),
        "novelty": _measured(
            "novelty",
            "novelty",
            "mean of -log2 of the shown items' share of the training clicks",
            unit="bits",
            page=PageColumn("novelty", ".2f"),
        ),
        "train_count": _measured(
            "train_count",
            "popularity (ARP), top {k}",
            "average recommendation popularity: mean training clicks of an item",
            unit="training clicks per item",
            page=PageColumn("ARP", ".1f", footnote=_BALANCE),
        ),
        "cold_slots_0": Metric(
            "slots of unclicked items",
            "share of slots given to items without a training click",
            partial(formulas.cold_slots, most=0),
            per_user=False,
            unit="share",
        ),
        "cold_slots_2": Metric(
            "slots of cold items",
            "share of slots given to items with at most 2 training clicks",
            partial(formulas.cold_slots, most=2),
            per_user=False,
            unit="share",
            page=PageColumn("cold slots", ".4f", footnote=_BALANCE),
        ),
        "recall_expansion": _measured(
            "expansion",
            "recall on unfamiliar genres",
            "recall of the held-out positives whose genres are all unfamiliar",
            compute=formulas.recall_of_expansion,
            better="higher",
            page=PageColumn("unfamiliar recall", footnote=_INTERESTS),
            cutoffs=(),
        ),
        "outside_genres": _measured(
            "outside_genres",
            "unfamiliar genres shown",
            "share of a list's genres that are unfamiliar to its user",
            unit="share",
            page=PageColumn("unfamiliar share", footnote=_INTERESTS),
        ),
        "repulsion": _measured(
            "repulsion",
            "1 - AUC",
            "share of unseen items that score above a held-out positive",
            unit="unseen ranked above",
            page=PageColumn("1 - AUC", footnote=_INTERESTS),
        ),
        "distinct_lists": _measured(
            "distinct",
            "distinct lists",
            "distinct lists, divided by the users",
            compute=formulas.distinct_lists,
            per_user=False,
            unit="share of users",
            cutoffs=(),
        ),
    },
    cached=False,
)
