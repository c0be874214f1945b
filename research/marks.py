"""Marks on the fields of a config: what a field is to a run, and what it may hold."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

from research.types import InputError, choose


@dataclass(frozen=True)
class Role:
    """The role of a field in a compiled run; a field without one is structure."""

    name: str


SWEPT = Role("swept")  # an argument of the compiled epoch: no compilation of its own
HYPER = Role("hyper")  # the loss's own values, which are swept by their names
SERVING = Role("serving")  # only re-scores finished vectors
# Decides data, order or length: no compiled epoch depends on it.
UNCOMPILED = Role("uncompiled")
# Newer than committed runs: at its default not part of run ids.
OMITTED = Role("omitted")


INT_LIMIT = 2**31 - 1  # whole numbers are int32 in a compiled run
# Numbers are float32 there: the largest one, and the smallest that isn't flushed to 0.
FLOAT_LIMIT, FLOAT_LEAST = 3.4028234e38, 1.1754944e-38


def check_number(name: str, value: float | int, limit: float | int = INT_LIMIT) -> None:
    """Refuses a number that a compiled run can't hold and would silently change.

    Raises:
      InputError: it isn't finite, or is too large or too near 0.
    """
    if isinstance(value, int):
        if abs(value) > limit:
            raise InputError(
                f"{name} is {_shown(value)}: it must be at most {limit:.0f} in size"
            )
    elif not math.isfinite(value):
        raise InputError(f"{name} is {value}: it must be finite")
    elif abs(value) > FLOAT_LIMIT or 0 < abs(value) < FLOAT_LEAST:
        raise InputError(
            f"{name} is {value:g}: it must be 0, or from {FLOAT_LEAST:g} to "
            f"{FLOAT_LIMIT:g} in size (float32)"
        )


def _shown(value: float | int) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if abs(value) < 10**20 else f"about 2^{value.bit_length()}"


@dataclass(frozen=True)
class Range:
    """Bounds of a number, which belong to the range unless ``open`` names them.

    Attributes:
      low: the lower bound.
      high: the upper bound, None for no limit.
      open: the bounds that are excluded: "", "low", "high" or "both".
    """

    low: float | int
    high: float | int | None = None
    open: str = ""

    def check(self, name: str, value: float | int) -> None:
        """Raises InputError for a value outside."""
        check_number(name, value, max(self.high or 0, INT_LIMIT))
        low_ok = value > self.low if self.open in ("low", "both") else value >= self.low
        high_ok = self.high is None or (
            value < self.high if self.open in ("high", "both") else value <= self.high
        )
        if not (low_ok and high_ok):
            raise InputError(f"{name} is {_shown(value)}: it must be {self}")

    def __str__(self) -> str:
        """The bounds in words or as an interval.

        >>> str(Range(0.0, open="low")), str(Range(0.0, 1.0, "high"))
        ('above 0', 'in [0, 1)')
        """
        if self.high is None:
            return f"{'above' if self.open else 'at least'} {_shown(self.low)}"
        left = "(" if self.open in ("low", "both") else "["
        right = ")" if self.open in ("high", "both") else "]"
        return f"in {left}{_shown(self.low)}, {_shown(self.high)}{right}"


# Limits of seeds: the salts of other purposes begin above (research/rng.py), and JAX
# would take a larger seed for a smaller one.
SEED = Range(0, 2**32 - 1)


class Choice:
    """One of a few words that need no registry."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def check(self, name: str, value: str) -> None:
        """Raises InputError for another word."""
        choose(value, dict.fromkeys(self.words), name)


@functools.cache
def _marks(cls: type) -> dict[str, tuple[Any, ...]]:
    """The marks of each field of a dataclass, by the field's name."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: get_args(hints[field.name])[1:]
        if get_origin(hints[field.name]) is not None
        and hasattr(hints[field.name], "__metadata__")
        else ()
        for field in dataclasses.fields(cls)
    }


def marked(cls: type, *wanted: Role) -> tuple[str, ...]:
    """The names of the fields of a dataclass that have one of these roles."""
    return tuple(
        name for name, marks in _marks(cls).items() if any(m in wanted for m in marks)
    )


def marks_of(cls: type, kind: type) -> Iterator[tuple[str, Any]]:
    """Each field's name with its mark of that kind, for the fields that have one."""
    for name, marks in _marks(cls).items():
        yield from ((name, mark) for mark in marks if isinstance(mark, kind))


def check_marks(group: Any, cls: type) -> None:
    """Compares the fields that a group declares with their marks.

    Raises:
      InputError: a number that isn't finite or is out of bounds, or an unknown name.
    """
    for field in dataclasses.fields(cls):
        value = getattr(group, field.name)
        marks = _marks(cls)[field.name]
        ranges = [mark for mark in marks if isinstance(mark, Range)]
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, int | float) and not ranges:
                check_number(field.name, part)
        for mark in marks:
            if hasattr(mark, "check"):
                mark.check(field.name, value)
