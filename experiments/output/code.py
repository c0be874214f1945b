"""The code that makes a run, as a digest: a run made by other code is not used.

Comments, docstrings and layout don't count. Nothing here imports JAX.
"""

import ast
import functools
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import research
from experiments.registries import REGISTRIES
from research.registry import entry_name
from research.splits import SPLITS

ROOT = Path(research.__file__).parent
# Readers of data don't count: a run's id has the digest of what was read.
APART = ("data", "report")
# Modules of experiments/ that join the stages.
JOINS = ("runs.py", "serve.py", "looks.py", "loaded.py")
STAGES = ("losses", "sources", "frequencies", "features", "encoders", "temperatures",
          "optimisers", "baselines", "positives")  # fmt: skip
LIBRARY = ("research", "experiments")
INSTALLED = {"site-packages", "dist-packages"}  # folders of others' packages
PLAIN = (int, float, str, bool, tuple, list, dict, type(None))


def code_of(config: Mapping[str, Any]) -> str:
    """The digest of the code that makes a run: the library's and its own entries'."""
    return _code_of([entry for _, entry in _named(config)])


def _code_of(entries: Iterable[Any]) -> str:
    parts = [library_code(ROOT)]
    for entry in entries:
        parts += _entry(entry)
    return _hash("\n".join(parts))


def code_by_arm(
    configs: Iterable[tuple[str, Mapping[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """What made the runs of each arm, for a header of records.

    Args:
      configs: the arm and the config of each run.

    Returns:
      The digests of code_of by arm, each with the entries that it is of, as the number
      of a stage and a name.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for arm, config in configs:
        entries = [list(key) for key, _ in _named(config)]
        one = {"digest": code_of(config), "entries": entries}
        if one not in made.setdefault(arm, []):
            made[arm].append(one)
    return made


def of_other_code(header: Mapping[str, Any]) -> list[str]:
    """The arms of records that other code made than runs now; [] if it isn't said."""
    stages = (*(REGISTRIES[stage] for stage in STAGES), SPLITS)

    def same(made: Mapping[str, Any]) -> bool:
        keys = [(stages[number], name) for number, name in made["entries"]]
        there = all(name in stage for stage, name in keys)
        return there and made["digest"] == _code_of(s[name] for s, name in keys)

    code = header.get("code", {})
    return [arm for arm, made in code.items() if not all(map(same, made))]


def _named(config: Mapping[str, Any]) -> Iterator[tuple[tuple[int, str], Any]]:
    """The entries that a config names, each by its stage's number and its name."""
    named = set(_words(list(config.values())))
    stages = (*(REGISTRIES[stage] for stage in STAGES), SPLITS)
    for number, stage in enumerate(stages):
        for name, entry in stage.items():
            if name in named:
                yield (number, name), entry


_seen: dict[tuple[int, str], str] = {}  # the code of entries when last asked for


def changed(config: Mapping[str, Any]) -> bool:
    """Whether an entry that a config names is other code than when last asked.

    A registry sees entries that are replaced. This also sees functions and numbers that
    an entry refers to, as those of a notebook's cell that is run again.
    """
    other = False
    for key, entry in _named(config):
        code = _hash("\n".join(_entry(entry)))
        other |= _seen.setdefault(key, code) != code
        _seen[key] = code
    return other


@functools.lru_cache
def library_code(root: Path) -> str:
    """The digest of the library's modules that make a run, read once per process."""
    paths = [
        path
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] not in APART
    ]
    paths += [root.parent / "experiments" / name for name in JOINS]
    lines = [
        f"{path.relative_to(root.parent)} {stripped(path.read_text('utf-8'))}"
        for path in paths
    ]
    return _hash("\n".join(sorted(lines)))


def stripped(source: str) -> str:
    """A source without comments, docstrings and layout, as text.

    >>> stripped("def f():\\n    '''Adds.'''\\n    return 1") == stripped(
    ...     "def f(): return 1  # one"
    ... )
    True
    """
    tree = ast.parse(source)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _words(values: list[Any]) -> Iterator[str]:
    """The names in a config's values: "extra:1024,mix=0.5" names extra."""
    for value in values:
        if isinstance(value, str):
            yield entry_name(value).partition(":")[0]
        elif isinstance(value, list | tuple):
            yield from _words(list(value))


def _entry(entry: Any) -> list[str]:
    """What counts of a registry's entry; the library's functions count as its code."""
    fields = entry._asdict() if hasattr(entry, "_asdict") else vars(entry)
    seen: dict[int, str] = {}
    for value in fields.values():
        _follow(value, seen, _package_of(value))
    plain = {n: v for n, v in fields.items() if isinstance(v, PLAIN)}
    text = json.dumps(plain, sort_keys=True, default=lambda other: type(other).__name__)
    return [text, *seen.values()]


def _follow(value: Any, seen: dict[int, str], home: str) -> None:
    """Adds the source of one's own function, class or module, and what it refers to."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, functools.partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            _follow(part, seen, home)
    elif isinstance(value, int | float | str):
        seen.setdefault(len(seen), repr(value))
    elif id(value) in seen:
        return
    elif isinstance(value, type | ModuleType):
        if _is_own(value, home):
            _follow_parts(value, seen, home)
    elif hasattr(value, "tobytes") and hasattr(value, "dtype"):
        # bytes of an array of objects are addresses
        held = repr(value.tolist()) if value.dtype == object else value.tobytes().hex()
        seen[id(value)] = f"{value.dtype} {value.shape} {_hash(held)}"
    elif isinstance(value, tuple | list | dict):
        seen[id(value)] = type(value).__name__
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        for part in parts:
            _follow(part, seen, home)
    elif isinstance(value, FunctionType) and _is_own(value, home):
        _follow_function(value, seen, home)


def _follow_function(function: FunctionType, seen: dict[int, str], home: str) -> None:
    seen[id(function)] = _source(function)
    known = function.__globals__
    refers = {name: known[name] for name in _names(function.__code__) if name in known}
    refers |= inspect.getclosurevars(function).nonlocals
    defaults = function.__defaults__, function.__kwdefaults__
    for part in (*defaults, *(refers[name] for name in sorted(refers))):
        _follow(part, seen, home)


def _names(code: CodeType) -> set[str]:
    """The names that a function uses, and those that functions in it use.

    >>> sorted(_names((lambda: map(lambda z: abs(z), range(3))).__code__))
    ['abs', 'map', 'range']
    """
    inner = [_names(value) for value in code.co_consts if isinstance(value, CodeType)]
    return set(code.co_names).union(*inner)


def _follow_parts(value: type | ModuleType, seen: dict[int, str], home: str) -> None:
    """Adds a class's own and inherited attributes, or a module's."""
    seen[id(value)] = getattr(value, "__qualname__", value.__name__)
    for one in getattr(value, "__mro__", (value,)):
        for name, part in sorted(vars(one).items()) if _is_own(one, home) else ():
            if not name.startswith("__") or name == "__call__":
                _follow(getattr(part, "__func__", part), seen, home)


def _is_own(value: Any, home: str) -> bool:
    """Whether a value is one's own: not of the library, Python or another package.

    >>> _is_own(json, ""), _is_own(_is_own, ""), _is_own(json.dumps, "json")
    (False, False, True)
    """
    package = _package_of(value)
    if package in LIBRARY:
        return False
    file = getattr(sys.modules.get(_module_of(value)), "__file__", None) or ""
    apart = package in sys.stdlib_module_names or INSTALLED & {*Path(file).parts}
    return package == home or not apart


def _module_of(value: Any) -> str:
    value = value.func if isinstance(value, functools.partial) else value
    own = value.__name__ if isinstance(value, ModuleType) else None
    return str(own or getattr(value, "__module__", None) or "")


def _package_of(value: Any) -> str:
    return _module_of(value).partition(".")[0]


def _source(function: FunctionType) -> str:
    """A function's source, or its instructions where it has no source by itself."""
    if function.__name__ == "<lambda>":  # its line may hold another one, too
        return _instructions(function.__code__)
    try:
        return stripped(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return _instructions(function.__code__)


def _instructions(code: CodeType) -> str:
    """A function's instructions, and those of functions in it, without addresses."""
    values = [
        _instructions(value) if isinstance(value, CodeType) else repr(value)
        for value in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {values}"
