"""The fields of a config as flags, with the names that each registry offers as help."""

import ast
import dataclasses
import functools
import inspect
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from experiments.loaded import AUTO
from experiments.output.folders import QUICK
from experiments.registries import described
from research import fields
from research.baselines import BASELINES
from research.config import Config
from research.data import is_own
from research.entries import Named
from research.evaluate.metrics import CUTOFF
from research.features import FEATURES, ITEM, USER
from research.marks import marks_of
from research.splits import SplitRules


@functools.cache
def help_of() -> dict[str, str]:
    """The help of each field: the string below it, and the entries of its registry."""
    source = Path(inspect.getfile(fields)).read_text(encoding="utf-8")
    texts: dict[str, str] = {}
    for group in ast.parse(source).body:
        if not isinstance(group, ast.ClassDef):
            continue
        for at, node in enumerate(group.body[:-1]):
            below = group.body[at + 1]
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                texts[node.target.id] = " ".join(str(below.value.value).split())
    for name, mark in marks_of(Config, Named):
        entries = described(mark.registry)
        texts[name] += " One of: " + ", ".join(entries) + "."
    for side in (USER, ITEM):
        entries = [name for name, entry in FEATURES.items() if side in entry.sides]
        texts[f"{side}_features"] += " Registered: " + ", ".join(entries) + "."
    texts["model"] += " Baselines: " + ", ".join(described(BASELINES)) + "."
    return texts


def _flags(
    name: str,
    fields: Sequence[str],
    bases: tuple[type, ...] = (),
    wider: Mapping[str, tuple[Any, str]] = MappingProxyType({}),
) -> type:
    """A dataclass of fields of Config with their help where tyro looks for it."""
    hints, helps = get_type_hints(Config), help_of()
    types = {field: wider.get(field, (hints[field], "")) for field in fields}
    columns: list[tuple[str, Any, Any]] = [
        (
            field,
            Annotated[
                types[field][0], tyro.conf.arg(help=helps[field] + types[field][1])
            ],
            dataclasses.field(default=getattr(Config, field)),
        )
        for field in fields
    ]
    return dataclasses.make_dataclass(name, columns, bases=bases, frozen=True)


RULE = "rule"  # the word for the prior by the rule, from the impressions of items
Prior = float | Literal["rule"]
RULE_HELP = (
    f" {RULE}: such that the total strength is 1 less the slope of log impressions on "
    "log q (docs/how-much-to-correct.md); needs a column impressions in the table of "
    "items."
)
AUTO_HELP = " Default for your own data: auto, as of run."
LENGTH_HELP = (
    f" {AUTO}, the default: of at most {Config.epochs} those after which NDCG@{CUTOFF} "
    "on validation is highest; all of them with several devices or processes."
)

# The fields of the data that a grid's runs share, beside data set and split.
DATA_FIELDS = ("columns", "core", "threshold", *SplitRules._fields)
FlagConfig = _flags(
    "FlagConfig",
    [field.name for field in dataclasses.fields(Config)],
    (Config,),
    {
        "prior": (Prior, RULE_HELP),
        "split": (str, AUTO_HELP),
        "epochs": (int | Literal["auto"], LENGTH_HELP),
    },
)
DataFlags = _flags("DataFlags", DATA_FIELDS)
NO_DATA_FLAGS = DataFlags()


def data_values(flags: Any) -> dict[str, Any]:
    """The values of DATA_FIELDS."""
    return {name: getattr(flags, name) for name in DATA_FIELDS}


def data_words(config: Mapping[str, Any], split: bool = True) -> list[str]:
    """The flags that choose a run's data and split, without those at their default.

    >>> usual = {**data_values(NO_DATA_FLAGS), "dataset": "ml-100k", "split": "last"}
    >>> data_words({**usual, "core": 5, "columns": ["user=uid"]})
    ['--columns', 'user=uid', '--core', '5', '--split', 'last']
    """
    words: list[str] = []
    for name, usual in data_values(NO_DATA_FLAGS).items():
        value, several = config.get(name, usual), isinstance(usual, tuple)
        if (tuple(value) if several else value) != usual:
            words.append(f"--{name.replace('_', '-')}")
            words += map(str, value if several else [value])
    if split and (is_own(config["dataset"]) or config["split"] != Config.split):
        words += ["--split", config["split"]]
    return words


def run_command(name: str, dataset: str, words: Sequence[str], out: Path) -> str:
    """The command that runs a grid or a study into an output folder.

    >>> run_command("ssb", "my shop", ["--core", "5"], Path("out", QUICK))
    "python -m experiments run ssb --dataset 'my shop' --core 5 --out out --quick"
    """
    where = [str(out.parent), "--quick"] if out.name == QUICK else [str(out)]
    run = ["run", name, "--dataset", dataset, *words, "--out", *where]
    return f"python -m experiments {shlex.join(run)}"


def plain(config: Config) -> Config:
    """The values of a subclass as a Config."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(Config)}
    return Config(**values)
