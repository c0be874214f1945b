"""Which library's value equals this project's, and by which formula others differ."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from experiments.concordance.made import (
    FORMULAS,
    NO_RULE,
    OWN,
    Made,
    Ranked,
    tied,
    values_of,
)

EXACT, SINGLE = 1e-9, 1e-6  # tolerances; the second for libraries in float32
FLOAT32 = ("TFRS",)
EQUAL, DIFFERS, UNEXPLAINED = "equal", "differs", "unexplained"


class Verdict(NamedTuple):
    """A library's value beside this project's.

    Attributes:
      metric: of FORMULAS.
      library: its name and version.
      call: what was called.
      value: the library's.
      ours: this project's value, or the usual formula's where it has none.
      verdict: EQUAL, DIFFERS by a formula that gives the value, or UNEXPLAINED.
      because: that formula, empty for this project's.
      tolerance: the largest difference of values that count as equal.
    """

    metric: str
    library: str
    call: str
    value: float
    ours: float
    verdict: str
    because: str
    tolerance: float


def explain(
    value: float, values: Mapping[str, float], tolerance: float
) -> tuple[str, str]:
    """The verdict on a value, and the formula that gives it.

    >>> values = {"": 0.5, "without a cut-off": 0.6}
    >>> explain(0.5, values, 1e-9), explain(0.6, values, 1e-9)
    (('equal', ''), ('differs', 'without a cut-off'))
    >>> explain(0.55, values, 1e-9)
    ('unexplained', '')
    """
    for because, other in values.items():
        if abs(other - value) <= tolerance:
            return EQUAL if because == OWN else DIFFERS, because
    return UNEXPLAINED, ""


def _said(said: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float, float]]:
    """Metric, library with its version, call, value and tolerance, by metric."""
    rows = [
        (metric, f"{library} {answer['version']}", call, value, tolerance)
        for library, answer in said.items()
        for tolerance in (SINGLE if library in FLOAT32 else EXACT,)
        for metric, call, value in answer.get("values", ())
    ]
    yield from sorted(rows, key=lambda row: list(FORMULAS).index(row[0]))


def compare(said: Mapping[str, Any], of: Ranked) -> list[Verdict]:
    """Verdicts on all values of the libraries for the scores without ties."""
    own = {metric: values_of(metric, of) for metric in FORMULAS}
    return [
        Verdict(metric, library, call, value, own[metric][OWN], *why, tolerance)
        for metric, library, call, value, tolerance in _said(said)
        for why in (explain(value, own[metric], tolerance),)
    ]


def compare_ties(
    said: Mapping[str, Any], made: Made, equal: list[Verdict]
) -> list[Verdict]:
    """Verdicts where scores tie, on the calls that were equal without ties."""
    same = {(v.library, v.call) for v in equal if v.verdict == EQUAL}
    rules = {metric: tied(metric, made) for metric in ("recall", "ndcg")}
    out = []
    for metric, library, call, value, tolerance in _said(said):
        if metric not in rules or (library, call) not in same:
            continue
        values, least, most = rules[metric]
        why = explain(value, values, tolerance)
        if why[0] == UNEXPLAINED and least - tolerance <= value <= most + tolerance:
            why = DIFFERS, NO_RULE
        ours = values[OWN]
        out.append(Verdict(metric, library, call, value, ours, *why, tolerance))
    return out
