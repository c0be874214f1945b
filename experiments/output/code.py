"""The code that makes a run, as a digest: a run made by other code is not used.

Comments, docstrings and layout don't count. Nothing here imports JAX.
"""

import ast
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import research
from experiments.registries import REGISTRIES
from research.splits import SPLITS

ROOT = Path(research.__file__).parent
# Readers of data don't count: a run's id has the digest of what was read.
APART = ("data", "report")
JOINS = ("runs.py", "inputs.py")  # of experiments/: what joins the stages
STAGES = ("losses", "sources", "frequencies", "features", "encoders", "temperatures",
          "optimisers", "baselines", "positives")  # fmt: skip
LIBRARY = ("research", "experiments")
PLAIN = (int, float, str, bool, tuple, list, dict, type(None))


def code_of(config: Mapping[str, Any]) -> str:
    """The digest of the code that makes a run: the library's and its own entries'.

    Args:
      config: the fields of a run's config by name. Of what was registered from outside
        the library (a notebook's loss) those entries count that they name, with the
        functions and numbers that these refer to by name.
    """
    named = set(_words(list(config.values())))
    parts = [library_code(ROOT)]
    for stage in (*(REGISTRIES[stage] for stage in STAGES), SPLITS):
        for name, entry in stage.items():
            if name in named:
                parts += _entry(entry)
    return _hash("\n".join(parts))


@functools.lru_cache
def library_code(root: Path) -> str:
    """The digest of the library's modules that make a run, read once per process.

    Args:
      root: of the package research; experiments is beside it.
    """
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
    """What a source says without comments, docstrings and layout.

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
    """The names in a config's values: "uniform:1024" names uniform."""
    for value in values:
        if isinstance(value, str):
            yield value.partition(":")[0]
        elif isinstance(value, list | tuple):
            yield from _words(list(value))


def _entry(entry: Any) -> list[str]:
    """What counts of an entry of a registry; a library's functions are in its code."""
    fields = entry._asdict() if hasattr(entry, "_asdict") else vars(entry)
    seen: dict[int, str] = {}
    for value in fields.values():
        _follow(value, seen)
    plain = {n: v for n, v in fields.items() if isinstance(v, PLAIN)}
    text = json.dumps(plain, sort_keys=True, default=lambda other: type(other).__name__)
    return [text, *seen.values()]


def _follow(value: Any, seen: dict[int, str]) -> None:
    """Adds the source of a function from outside, and of what it refers to."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, functools.partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            _follow(part, seen)
        return
    if isinstance(value, int | float | str):
        seen.setdefault(len(seen), repr(value))
        return
    outside = getattr(value, "__module__", "").partition(".")[0] not in LIBRARY
    if not isinstance(value, FunctionType | type) or not outside or id(value) in seen:
        return
    if isinstance(value, type):
        _follow_class(value, seen)
        return
    seen[id(value)] = _source(value)
    found = inspect.getclosurevars(value)
    refers = {**found.globals, **found.nonlocals}
    for other in (refers[name] for name in sorted(refers)):
        same = getattr(other, "__module__", None) == value.__module__
        if same or isinstance(other, int | float | str):
            _follow(other, seen)


def _follow_class(value: type, seen: dict[int, str]) -> None:
    """Adds a class from outside: its methods and values, and those it inherits."""
    seen[id(value)] = value.__qualname__
    for one in value.__mro__:
        if one.__module__ == value.__module__:
            for name, part in sorted(vars(one).items()):
                if not name.startswith("__") or name == "__call__":
                    _follow(getattr(part, "__func__", part), seen)


def _source(function: FunctionType) -> str:
    """A function's source, or its instructions where there is none."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        return stripped(source)
    except SyntaxError:  # a lambda in the midst of a call
        return source
    except (OSError, TypeError):
        return _instructions(function.__code__)


def _instructions(code: CodeType) -> str:
    """A function's instructions, and those of functions in it, without addresses."""
    values = [
        _instructions(value) if isinstance(value, CodeType) else repr(value)
        for value in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {values}"
