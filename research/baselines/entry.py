"""What a baseline is to the rest: a function that fits it, its options, its seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from research.config import named_values
from research.types import Fold, InputError

Values = Mapping[str, float]


class Option(NamedTuple):
    """A number that a baseline goes by; whole ones are counts.

    large is the default on data sets of a million ratings and more, where it differs.
    """

    default: float
    help: str
    least: float = 0.0
    above: bool = False  # the least value itself is refused
    whole: bool = False
    large: float | None = None


class Baseline(NamedTuple):
    """fit(fold, options, seed) -> a Scorer (research/evaluate) of fold.evaluated.

    A baseline with ``seeded`` draws random numbers, and is run once a seed.
    """

    fit: Callable[[Fold, Values, int], Any]
    options: dict[str, Option]
    seeded: bool = False


def values_of(
    name: str, baseline: Baseline, words: Sequence[str], large: bool
) -> dict[str, float]:
    """The options of a baseline: its defaults, with what is given as NAME=VALUE.

    Args:
      name: of the baseline, for messages.
      baseline: its entry.
      words: such as "l2=200".
      large: whether the data set has a million ratings or more.

    Raises:
      InputError: see named_values; or a value below what the option allows.
    """
    options = baseline.options
    defaults = {
        n: float(o.default if o.large is None or not large else o.large)
        for n, o in options.items()
    }
    values = named_values(words, defaults, "baseline", name)
    for n, value in values.items():
        option = options[n]
        if value < option.least or (option.above and value == option.least):
            bound = "above" if option.above else "at least"
            raise InputError(
                f"baseline {n}={value:g} of {name}: it must be {bound} {option.least:g}"
            )
        if option.whole and value != int(value):
            raise InputError(f"baseline {n}={value:g} of {name}: it is a whole number")
    return values
