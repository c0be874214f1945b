"""What a grid compares: contrasts of two arms, and what is expected of each."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})
MORE = math.nextafter(0.0, 1.0)  # the least that a number is if it is above 0


class Expected(NamedTuple):
    """What the prediction of a grid says of a contrast.

    Attributes:
      verdict: the expected one: better, worse, higher, lower or equivalent; or "not"
        or "not significantly" with one of them, the latter also with different; ""
        where bounds are expected.
      low: the least difference, where bounds are expected.
      high: the largest difference.
      on: the only data set that it is expected on; "" for all.

    >>> Expected("not significantly worse").text, Expected(high=0.006).text
    ('not significantly worse', 'at most 0.006')
    """

    verdict: str = ""
    low: float = -math.inf
    high: float = math.inf
    on: str = ""

    @property
    def text(self) -> str:
        """The expectation in words."""
        least, most = f"at least {self.low:g}", f"at most {self.high:g}"
        bounds = {-math.inf: most}.get(self.low, least)
        if math.isfinite(self.low) and math.isfinite(self.high):
            bounds = f"{least} and {most}"
        return self.verdict or bounds


BETTER, WORSE = Expected("better"), Expected("worse")
EQUIVALENT = Expected("equivalent")
HIGHER, LOWER = Expected("higher"), Expected("lower")
NOT_DIFFERENT = Expected("not significantly different")
# "Not worse" and "not significantly worse" are judged alike: what is undecided shows
# neither (research/report/predictions.py).
NOT_BETTER, NOT_WORSE = Expected("not better"), Expected("not worse")
NOT_SIGNIFICANTLY_BETTER = Expected("not significantly better")
NOT_SIGNIFICANTLY_WORSE = Expected("not significantly worse")
NOT_HIGHER = Expected("not significantly higher")


class Contrast(NamedTuple):
    """A comparison that a grid is run for, declared in its file before its first run.

    Attributes:
      arm: the arm whose difference it is.
      against: the arm that is subtracted.
      metric: a name in METRICS.
      k: the cut-off; 20 for the metrics that have no other.
      at: all of the arm's swept values, by field.
      against_at: those of the other arm. None stands for the cell that the long table
        compares with: at the same values, or the one with nothing swept.
      over: a lower cut-off, where factors are compared: the ratio of the arms' means
        at k, minus that at this cut-off. 0: the difference of the arms at k.
      expected: what the grid's prediction says of it, if anything; a tuple where it
        says several things.

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
    expected: Expected | tuple[Expected, ...] | None = None

    @property
    def expectations(self) -> tuple[Expected, ...]:
        """All that is expected of it."""
        if isinstance(self.expected, Expected):
            return (self.expected,)
        return self.expected or ()

    @property
    def id(self) -> str:
        """Its name in tables and links, with the swept values that differ."""
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

    A minus before a number is kept apart from a hyphen. Letters may be of any script.

    >>> slug("in-batch+logq prior -0.5"), slug("in-batch+logq prior 0.5")
    ('in-batch-logq-prior-minus0.5', 'in-batch-logq-prior-0.5')
    >>> slug("甲+logq")
    '甲-logq'
    """
    text = re.sub(r"(?<= )-(?=\d)", "minus", text.lower())
    return re.sub(r"(?:[^\w.]|_)+", "-", text).strip("-")
