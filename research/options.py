"""Values given as NAME=VALUE beside a config's own fields: one way to read them."""

import math
from collections.abc import Mapping, Sequence

from research.choose import choose
from research.types import InputError

__all__ = ["named_values"]


def named_values(
    given: Sequence[str], defaults: Mapping[str, float], field: str, owner: str
) -> dict[str, float]:
    """The defaults, with what is given as NAME=VALUE in their place.

    Args:
      given: the words.
      defaults: every name that may be set, with its value.
      field: the config's field they stand in, for a message.
      owner: whose values they are, for a message.

    Raises:
      InputError: no such name, a value that is no finite number, a name twice.

    >>> named_values(["margin=0.5"], {"margin": 1.0, "power": 2.0}, "hyper", "hinge")
    {'margin': 0.5, 'power': 2.0}
    """
    values = dict(defaults)
    seen: set[str] = set()
    for word in given:
        name, equals, text = word.partition("=")
        if not defaults:
            raise InputError(f"{field} {word}: {owner} has none to set")
        choose(name, defaults, f"{field} of {owner}")
        if name in seen:
            raise InputError(f"{field} names {name} twice")
        try:
            values[name] = float(text) if equals else math.nan
        except ValueError:
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise InputError(f"{field} '{word}': expected {name}=NUMBER, a finite one")
        seen.add(name)
    return values
