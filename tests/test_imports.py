"""Every module imports by itself, and importing one changes nothing in the process."""

import ast
import graphlib
import json
from pathlib import Path

import pytest

from research.registry import Deferred
from tests.process import python

ROOT = Path(__file__).parents[1]
# Scripts of other libraries' environments.
PEERS = ("experiments.bench.peers.", "experiments.concordance.peers")


def _modules():
    for top in ("research", "experiments"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if not name.startswith(PEERS):
                yield name.removesuffix(".__init__")


MODULES = list(_modules())


def _imports(name):
    """The modules that this one names in imports that are done with its own."""
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    waiting = list(ast.parse(path.read_text("utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        elif not isinstance(node, ast.FunctionDef) and "TYPE_CHECKING" not in (
            ast.unparse(node.test) if isinstance(node, ast.If) else ""
        ):
            waiting += [
                n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)
            ]
    return {module for module in found if module in MODULES and module != name}


def test_no_modules_import_each_other():
    """So that each imports by itself, in whichever order others would."""
    graph = {name: _imports(name) for name in MODULES}
    assert sum(map(len, graph.values())) > 2 * len(MODULES)
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert sorted(order) == sorted(MODULES)


AT_ONCE = """
import json, os, sys
import jax
before = dict(os.environ), dict(jax.config.values)
changed = []
for name in sys.argv[1:]:
    __import__(name)
    # An option that a part of JAX adds when it is first imported changes no other.
    options = {option: jax.config.values[option] for option in before[1]}
    after = dict(os.environ), options
    if after != before:
        changed.append(name)
        before = after
print(json.dumps(changed))
"""


def test_importing_changes_neither_the_environment_nor_jax():
    told = python("-W", "ignore", "-c", AT_ONCE, *MODULES)
    assert json.loads(told.splitlines()[-1]) == []


LIGHT = """
import sys
import {modules}
heavy = {{"jax", "pandas", "matplotlib", "flax", "scipy", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "modules",
    [
        "research",
        "research.prepare, experiments.loaded",
        "experiments.studies, experiments.grids",
        "research.evaluate.metrics, research.report.records",
        "research.train.optimisers",
        "experiments.commands.listing, experiments.commands.grids",
        "experiments.commands.train",
    ],
)
def test_what_lists_and_refuses_loads_nothing_heavy(modules):
    python("-c", LIGHT.format(modules=modules))


def _deferred(value, seen):
    """Every deferred reference inside a registry's entry."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Deferred):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _deferred(part, seen)
    elif isinstance(value, tuple):
        for part in value:
            yield from _deferred(part, seen)


def test_every_deferred_reference_leads_to_a_function():
    from experiments.registries import REGISTRIES

    found = list(_deferred(dict(REGISTRIES), set()))
    assert len(found) > 40
    for reference in found:
        assert callable(reference.load()), reference
