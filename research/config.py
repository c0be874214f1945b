"""One flat, frozen description of a run: its fields are the command line's flags.

The fields come in groups, one per stage (research/fields.py); a stage's functions take
their own group. Swept fields are arguments of the compiled epoch, so one compilation
serves every value of them; serving fields only re-score finished vectors; fields of the
host decide data, order and length; all others are structure, and every value of them is
a compilation of its own.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from research.data.names import name_of
from research.fields import (
    CorrectionFields,
    DataFields,
    FeatureFields,
    LossFields,
    ModelFields,
    NegativeFields,
    ServingFields,
    TemperatureFields,
    TowerFields,
    TrainFields,
)
from research.marks import (
    HOST,
    HYPER,
    LATER,
    SERVING,
    SWEPT,
    Role,
    check_number,
    marked,
)
from research.types import InputError, choose

GROUPS = (
    DataFields,
    ModelFields,
    FeatureFields,
    TowerFields,
    NegativeFields,
    CorrectionFields,
    LossFields,
    TemperatureFields,
    TrainFields,
    ServingFields,
)


@dataclass(frozen=True)
class Config(
    ServingFields,
    TrainFields,
    TemperatureFields,
    LossFields,
    CorrectionFields,
    NegativeFields,
    TowerFields,
    FeatureFields,
    ModelFields,
    DataFields,
):
    """Every choice of a run. Defaults are the reference recipe."""

    def check(self) -> None:
        """Checks every group by itself, then what groups must keep to each other.

        Raises:
          InputError: the first value that can't be meant, in one line.
        """
        for group in GROUPS:
            fields = dataclasses.fields(group)
            group(**{f.name: getattr(self, f.name) for f in fields}).check()
        if self.evaluate_every and self.fit_on != "train":
            raise InputError(
                "evaluate_every needs --fit-on train: no choice is made when reporting"
            )


REFERENCE = Config()


def swept_fields() -> tuple[str, ...]:
    """The numbers that one compilation serves every value of."""
    return marked(Config, SWEPT)


def structure(config: Config) -> Config:
    """The config with everything but structure set to its default: a cache key.

    Dropout of exactly 0 stays: no random numbers are then drawn for it.
    """
    return _without(config, SWEPT, HYPER, SERVING, HOST)


def alike(config: Config) -> Config:
    """The config without what runs of one program may differ in: a key of such runs."""
    return dataclasses.replace(
        _without(config, SWEPT, HYPER, SERVING), seed=REFERENCE.seed
    )


def _without(config: Config, *roles: Role) -> Config:
    defaults = {name: getattr(REFERENCE, name) for name in marked(Config, *roles)}
    if config.dropout == 0:
        defaults["dropout"] = 0.0
    return dataclasses.replace(config, **defaults)


def training_fields(config: Config) -> dict[str, object]:
    """The fields that decide what is trained: all but the serving ones.

    A field that came later counts where it isn't at its default, so that the runs from
    before it keep their ids. A data set of one's own goes by its name alone.
    """
    fields = dataclasses.asdict(config) | {"dataset": name_of(config.dataset)}
    serving = marked(Config, SERVING)
    unset = [n for n in marked(Config, LATER) if fields[n] == getattr(REFERENCE, n)]
    return {name: fields[name] for name in fields if name not in (*serving, *unset)}


def named_values(
    words: Sequence[str], defaults: Mapping[str, float], field: str, owner: str
) -> dict[str, float]:
    """The defaults, with what is given as NAME=VALUE in their place.

    Args:
      words: the words, such as "margin=0.5".
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
    for word in words:
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
        check_number(f"{name} of {owner}", values[name])
        seen.add(name)
    return values
