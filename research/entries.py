"""Values that belong to an entry of a registry, read in one place.

A field of the config names an entry as NAME[:DRAWS][,key=value...]: with the values
that differ from their defaults, as temperature_kind "scheduled,end=0.1" or negatives
"popularity:1024,alpha=0.75". An entry declares its ``values``. What it does not declare
is refused, so no value can be set that nothing reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from research.marks import Choice, Range, Role, check_number
from research.registry import Registry, deferred
from research.types import InputError, choose

Number = float | int


@dataclass(frozen=True)
class Value:
    """A value of an entry: its default, what it may be, its role (as of a field)."""

    default: Number | str
    limits: Range | Choice | None = None
    role: Role | None = None

    def read(self, name: str, text: str) -> Number | str:
        """The value that a text gives, within its limits."""
        value: Number | str = text
        if not isinstance(self.default, str):
            kind = type(self.default)
            try:
                value = kind(text)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                raise InputError(f"{name} is '{text}': it must be {what}") from None
            check_number(name, value)
        if self.limits is not None:
            self.limits.check(name, value)  # type: ignore[arg-type]
        return value


NO_VALUES: Mapping[str, Value] = MappingProxyType({})


class Chosen(NamedTuple):
    """An entry as a field names it, with all its values; draws is the text after :."""

    name: str
    entry: Any
    values: Mapping[str, Any]
    draws: str = ""

    def text(self, *left_out: Role) -> str:
        """What names it: without defaults, and without values of these roles.

        Two texts of one choice, as "scheduled" and "scheduled,end=0.05", give one.
        """
        words = [f"{self.name}:{self.draws}" if self.draws else self.name]
        for name, value in declared(self.entry).items():
            if value.role not in left_out and self.values[name] != value.default:
                chosen = self.values[name]
                words.append(f"{name}={_written(chosen)}")
        return ",".join(words)

    def but(self, key: str, given: Number | str) -> "Chosen":
        """The same entry with another value.

        Raises:
          InputError: it has no such value, or this one is out of its limits.
        """
        known = declared(self.entry)
        value = choose(key, known, f"value of {self.name}")
        text = _written(given) if isinstance(given, float) else str(given)
        read_value = value.read(f"{self.name}'s {key}", text)
        return self._replace(values={**self.values, key: read_value})

    def with_role(self, role: Role) -> Iterator[tuple[str, Any]]:
        """The values of a role, by their full names, such as "scheduled.end"."""
        for name, value in declared(self.entry).items():
            if value.role is role:
                yield f"{self.name}.{name}", self.values[name]


def _written(value: Number | str) -> str:
    if isinstance(value, float):
        return repr(int(value)) if value == int(value) else repr(value)
    return str(value)


def declared(entry: object) -> Mapping[str, Value]:
    """The values that an entry takes."""
    values: Mapping[str, Value] = getattr(entry, "values", NO_VALUES)
    return values if isinstance(values, Mapping) else NO_VALUES


def own(hyper: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The values of a run in which the entry of a text finds its own by short names.

    >>> own({"mix": 1, "extra.mix": 0.5, "popularity.alpha": 2}, "extra,mix=0.5")["mix"]
    0.5
    """
    start = f"{text.partition(',')[0]}."
    short = {n.removeprefix(start): v for n, v in hyper.items() if n.startswith(start)}
    return {**hyper, **short}


def read(text: str, registry: Registry[Any], drawn: bool = False) -> Chosen:
    """The entry that a text names, with its values; with draws where it may have them.

    Raises:
      InputError: an unknown entry; a value that it does not take, that is given twice
        or that is out of its limits.

    >>> from research.temperature import TEMPERATURES
    >>> read("scheduled,end=0.1", TEMPERATURES).values["end"]
    0.1
    """
    head, *words = text.split(",")
    name, colon, draws = head.partition(":") if drawn else (head, "", "")
    entry = registry.choose(name)
    known = declared(entry)
    values: dict[str, Any] = {key: value.default for key, value in known.items()}
    seen = set()
    for word in words:
        key, equals, given = word.partition("=")
        if not known:
            raise InputError(f"{registry.what} {text}: {name} takes no values")
        choose(key, known, f"value of {name}")
        if key in seen or not equals:
            wrong = "is given twice" if equals else "has no value"
            raise InputError(f"{registry.what} {text}: {key} {wrong}")
        seen.add(key)
        values[key] = known[key].read(f"{name}'s {key}", given)
    # of "uniform:" the colon is kept, so that it is refused and not taken for "uniform"
    return Chosen(name, entry, values, draws or colon)


@dataclass(frozen=True)
class Named:
    """A field that names an entry of a registry, given as "module:NAME".

    With ``drawn`` it is a tuple of them, each with its draws where it has any.
    """

    path: str
    drawn: bool = False

    @property
    def registry(self) -> Registry[Any]:
        """The registry, imported on use, as its module imports the config in turn."""
        registry: Registry[Any] = deferred(self.path).load()
        return registry

    def chosen(self, value: Any) -> tuple[Chosen, ...]:
        """The entries that a value of the field names."""
        texts = value if self.drawn else (value,)
        return tuple(read(text, self.registry, self.drawn) for text in texts)

    def written(self, chosen: Iterable[Chosen], *left_out: Role) -> Any:
        """The value of the field that names these, as in Chosen.text."""
        texts = tuple(one.text(*left_out) for one in chosen)
        return texts if self.drawn else texts[0]

    def check(self, name: str, value: Any) -> None:
        """Raises InputError for what names no entry, or values that it doesn't take."""
        self.chosen(value)
