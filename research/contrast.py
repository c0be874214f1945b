"""What a contrast is: two arms and a metric whose difference answers a question."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Contrast(NamedTuple):
    """A comparison that a grid is run for, declared in its file before its first run.

    Attributes:
      arm: the arm whose difference it is.
      against: the arm that is subtracted.
      metric: a name in METRICS.
      k: the cut-off; 20 for the metrics that have no other.
      at: the arm's swept values, by field: all that it has.
      against_at: those of the other arm. By default it is the same cell as in the long
        table: at the same values, or the one with nothing swept.
      over: a lower cut-off, where factors are compared: the ratio of the arms' means
        at k, less that at this cut-off. 0: the difference of the arms at k.

    >>> Contrast("in-batch+logq", "full-softmax", k=100).id
    'in-batch-logq-vs-full-softmax-recall-100'
    >>> Contrast("mixed+logq", "mixed+logq", "ndcg", 20, {"draws": 64},
    ...          {"draws": 4096}).id
    'mixed-logq-draws-64-vs-mixed-logq-draws-4096-ndcg-20'
    """

    arm: str
    against: str
    metric: str = "recall"
    k: int = 20
    at: Mapping[str, Any] = _NOTHING
    against_at: Mapping[str, Any] | None = None
    over: int = 0

    @property
    def id(self) -> str:
        """Its name in tables and in links; of the other arm, what differs."""
        others = (self.against_at or {}).items()
        other = {field: v for field, v in others if self.at.get(field) != v}
        first, second = cell_name(self.arm, self.at), cell_name(self.against, other)
        factor = f" factor over {self.over}" if self.over else ""
        return slug(f"{first} vs {second} {self.metric} {self.k}{factor}")


def cell_name(arm: str, at: Mapping[str, Any]) -> str:
    """An arm and its swept values.

    >>> cell_name("mixed", {"temperature": 0.2, "draws": 64.0})
    'mixed temperature 0.2 draws 64'
    """
    return " ".join([arm, *(f"{field} {value:g}" for field, value in at.items())])


def slug(text: str) -> str:
    """The text as an id within a page: small letters, digits, dots and hyphens.

    A minus before a number is kept apart from a hyphen.

    >>> slug("in-batch+logq prior -0.5"), slug("in-batch+logq prior 0.5")
    ('in-batch-logq-prior-minus0.5', 'in-batch-logq-prior-0.5')
    """
    text = re.sub(r"(?<= )-(?=\d)", "minus", text.lower())
    return re.sub(r"[^a-z0-9.]+", "-", text).strip("-")
