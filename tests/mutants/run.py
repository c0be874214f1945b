"""Runs the mutants of mutants.toml and writes report.md: make mutants.

All modules are imported once. For each mutant a process is forked, in which the
functions that the change is in get other code, and the tests that the entry names are
run until one fails; a mutant that none catches survives. All those tests are run on
the code as it is, too: one that fails in any case would catch nothing.
"""

import argparse
import gc
import importlib
import os
import pkgutil
import re
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REPORT = HERE / "report.md"
LIMIT = 1200  # seconds of the tests of one mutant: what hangs is caught
SURVIVES = "**survives**"
# Without the import hook, which is in place already: so pytest comes too late to it.
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--doctest-modules"]
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Mutant(NamedTuple):
    """An entry: what it is called, the file, the code before and after, its tests."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]


def read_mutants() -> list[Mutant]:
    """The entries of mutants.toml, in order."""
    entries = tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]
    return [Mutant(**entry) for entry in entries]


def read_report() -> dict[str, str]:
    """What the report says of each mutant, by name."""
    lines = REPORT.read_text().splitlines() if REPORT.exists() else []
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {name: by for name, _, by in rows[1:]}


def write_report(mutants: list[Mutant], by: dict[str, str]) -> None:
    """Writes how many are caught, which survive, and what caught each."""
    rows = [f"| {m.name} | {m.file} | {by[m.name]} |" for m in mutants if m.name in by]
    caught = sum(SURVIVES not in row for row in rows)
    lines = [
        "# Mutants",
        "",
        f"Caught: {caught} of {len(rows)} ({caught / len(rows):.1%}).",
        "By `make mutants`, from mutants.toml: faults put into the code one at a time.",
        "",
        "| fault | in | caught by |",
        "|---|---|---|",
        *rows,
    ]
    REPORT.write_text("\n".join(lines) + "\n")


def functions_of(code: CodeType) -> Iterator[CodeType]:
    """The outermost functions, those of classes among them."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_flags & 2:  # a function has local variables of its own
                yield part
            else:
                yield from functions_of(part)


def changed(mutant: Mutant) -> list[tuple[CodeType, CodeType]]:
    """The functions that the mutant changes, before and after."""
    path = str(ROOT / mutant.file)
    text = Path(path).read_text()
    before, after = (
        list(functions_of(compile(source, path, "exec")))
        for source in (text, text.replace(mutant.old, mutant.new))
    )
    both = zip(before, after, strict=True)
    return [
        (one, two)
        for one, two in both
        if one.replace(co_firstlineno=1, co_linetable=b"")
        != two.replace(co_firstlineno=1, co_linetable=b"")
    ]


def mutate(mutant: Mutant) -> None:
    """Puts the mutant into the functions of this process."""
    for before, after in changed(mutant):
        found = [
            function
            for function in gc.get_objects()
            if isinstance(function, FunctionType)
            and function.__code__.co_filename == before.co_filename
            and function.__code__.co_qualname == before.co_qualname
            and function.__code__.co_firstlineno == before.co_firstlineno
        ]
        if not found:
            raise LookupError(f"{mutant.name}: no function {before.co_qualname}")
        for function in found:
            function.__code__ = after


def start(mutant: Mutant, said: Path) -> int:
    """The process, forked, in which the tests of a mutant are run."""
    if pid := os.fork():
        return pid
    out = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.alarm(LIMIT)
    status = 3
    try:
        if mutant.file:
            mutate(mutant)
        status = int(pytest.main([*PYTEST, *mutant.tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def outcome(status: int, said: str) -> str:
    """What caught a mutant, or SURVIVES.

    Raises:
      RuntimeError: the tests did not run.
    """
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return f"no end within {LIMIT} seconds"
    if code not in (0, 1):
        raise RuntimeError(f"the tests did not run ({code})\n{said[-3000:]}")
    failed = re.search(r"^FAILED (\S.*?)(?: - .*)?$", said, re.MULTILINE)
    return failed[1].removeprefix("tests/").replace("|", "/") if failed else SURVIVES


def run(mutants: list[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with its outcome, as many at a time as there are processors."""
    waiting, running = list(mutants), {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            if waiting and len(running) < len(os.sched_getaffinity(0)):
                mutant = waiting.pop(0)
                said = Path(folder) / f"{len(waiting)}.txt"
                running[start(mutant, said)] = mutant, said
                continue
            pid, status = os.wait()
            mutant, said = running.pop(pid)
            yield mutant, outcome(status, said.read_text())


def import_all() -> None:
    """Imports the library as the tests have it, and what else they load."""
    import jaxtyping

    with jaxtyping.install_import_hook("research", "beartype.beartype"):
        for package in ("research", "experiments"):
            path = importlib.import_module(package).__path__
            for module in pkgutil.walk_packages(path, f"{package}."):
                if not re.search(r"__main__|\.peers", module.name):
                    importlib.import_module(module.name)


def main() -> int:
    """Runs those asked for; 0 where none survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a pattern of names and files")
    parser.add_argument("--left", action="store_true", help="only what isn't caught")
    given = parser.parse_args()
    mutants, by, only = read_mutants(), read_report(), re.compile(given.only)
    asked = [m for m in mutants if only.search(m.name) or only.search(m.file)]
    if given.left:
        asked = [m for m in asked if by.get(m.name, SURVIVES) == SURVIVES]
    tests = list(dict.fromkeys(test for mutant in asked for test in mutant.tests))
    as_it_is = Mutant("the code as it is", "", "", "", tests)
    os.chdir(ROOT)
    sys.path[0] = os.environ["PYTHONPATH"] = str(ROOT)
    import_all()
    began = time.monotonic()
    for mutant, caught_by in run([*asked, as_it_is]):
        print(
            f"{time.monotonic() - began:.0f} s {mutant.name}: {caught_by}", flush=True
        )
        if mutant is not as_it_is:
            by[mutant.name] = caught_by
            write_report(mutants, by)
        elif caught_by != SURVIVES:
            return 1
    left = [m.name for m in asked if by[m.name] == SURVIVES]
    print(f"{len(asked) - len(left)} of {len(asked)} caught; left: {left}")
    return bool(left)


if __name__ == "__main__":
    sys.exit(main())
