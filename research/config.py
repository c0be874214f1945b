"""One flat, frozen description of a run: its fields are the command line's flags.

The fields come in groups, one per stage (research/fields.py); a stage's functions take
their own group. Swept fields are arguments of the compiled epoch, so one compilation
serves every value of them; serving fields only re-score finished vectors; uncompiled
fields decide data, order and length; all others are structure, and every value of them
is a compilation of its own.
"""

import dataclasses
import functools
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from research.data.names import name_of
from research.entries import Chosen, Named
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
    HYPER,
    OMITTED,
    SERVING,
    SWEPT,
    UNCOMPILED,
    Role,
    marked,
    marks_of,
)
from research.types import InputError

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
        """Checks every group of fields, then the rules that span two groups.

        Raises:
          InputError: the first invalid value, in one line.
        """
        for kind, expected in _TYPES.items():
            for name in _of_type(kind):
                if not _is_of(value := getattr(self, name), kind):
                    raise InputError(f"{name} is {value!r}: it must be {expected}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple) and not isinstance(value, tuple):
                raise InputError(
                    f"{field.name} is {value!r}: it must be a tuple, as ({value!r},)"
                )
        for group in GROUPS:
            fields = dataclasses.fields(group)
            group(**{f.name: getattr(self, f.name) for f in fields}).check()
        if self.evaluate_every and self.fit_on != "train":
            raise InputError(
                "evaluate_every needs --fit-on train: no epoch may be chosen on test"
            )


REFERENCE = Config()
_TYPES = {bool: "True or False", int: "a whole number", float: "a number"}


def _is_of(value: object, kind: type) -> bool:
    """Whether a field of a type may hold a value: a whole number counts as float."""
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, numbers.Integral if kind is int else numbers.Real)


@functools.cache
def _of_type(kind: type) -> tuple[str, ...]:
    """Names of the fields that hold one type of value."""
    return tuple(n for n, hint in get_type_hints(Config).items() if hint is kind)


def swept_fields() -> tuple[str, ...]:
    """Names of the swept fields: one compilation serves every value of them."""
    return marked(Config, SWEPT)


def entries_of(config: Config) -> dict[str, tuple[Chosen, ...]]:
    """The entries of registries that fields name, with their values, by field."""
    named = marks_of(Config, Named)
    return {field: mark.chosen(getattr(config, field)) for field, mark in named}


def _named(
    entries: Mapping[str, tuple[Chosen, ...]], *left_out: Role
) -> dict[str, Any]:
    """The fields that name these entries, without values of some roles."""
    marks = dict(marks_of(Config, Named))
    return {f: marks[f].written(chosen, *left_out) for f, chosen in entries.items()}


def swept_values(config: Config) -> dict[str, float]:
    """The swept values of a run's entries, by names such as "scheduled.end"."""
    found = (one for chosen in entries_of(config).values() for one in chosen)
    return {n: float(value) for one in found for n, value in one.with_role(SWEPT)}


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with these values of its entries, such as {"popularity.alpha": 0.5}.

    Raises:
      InputError: no field names the entry, or it has no such value.
    """
    entries = entries_of(config)
    for full, value in values.items():
        name, _, key = full.partition(".")
        fields = [
            f for f, chosen in entries.items() if name in {c.name for c in chosen}
        ]
        if not fields:
            raise InputError(f"{full} is set, and nothing of the run is {name}")
        for field in fields:
            entries[field] = tuple(
                one.but(key, value) if one.name == name else one
                for one in entries[field]
            )
    return dataclasses.replace(config, **_named(entries))


def compile_key(config: Config) -> Config:
    """The config with all but structure at its default: a key of compiled programs.

    A rate of dropout of exactly 0 is structure: nothing is then drawn for it.
    """
    return _without(config, SWEPT, HYPER, SERVING, UNCOMPILED)


def batch_key(config: Config) -> Config:
    """The config without what runs of one program may differ in: their common key."""
    return dataclasses.replace(
        _without(config, SWEPT, HYPER, SERVING), seed=REFERENCE.seed
    )


def _without(config: Config, *roles: Role) -> Config:
    defaults = {name: getattr(REFERENCE, name) for name in marked(Config, *roles)}
    defaults = _named(entries_of(config), *roles) | defaults
    for name in ("dropout", "click_dropout"):
        if getattr(config, name) == 0:
            defaults[name] = 0.0
    return dataclasses.replace(config, **defaults)


def training_fields(config: Config) -> dict[str, object]:
    """The fields that decide what is trained: all but the serving ones.

    A field marked OMITTED counts only where it isn't at its default, so that runs made
    before the field existed keep their ids. A data set of one's own counts by its name,
    not by its path, and a whole number in a field of real ones as the real number.
    """
    fields = dataclasses.asdict(config) | {"dataset": name_of(config.dataset)}
    fields |= {n: float(fields[n]) for n in _of_type(float) if type(fields[n]) is int}
    fields |= _named(entries_of(config))
    serving = marked(Config, SERVING)
    unset = [n for n in marked(Config, OMITTED) if fields[n] == getattr(REFERENCE, n)]
    return {name: fields[name] for name in fields if name not in (*serving, *unset)}
