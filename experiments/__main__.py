"""The one command line: python -m experiments {list,run,train,report,check,bench}."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Annotated

import tyro

from experiments.arms import arm
from experiments.bench.command import Bench
from experiments.commands import Check, List, Report, Run
from experiments.installation import conflict
from experiments.train import Train
from research.config import Config
from research.types import InputError, choose

Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
)
COMMANDS = ("list", "run", "train", "report", "check", "bench")


def main(words: list[str] | None = None) -> int:
    """Runs one command; returns 0, 1 (a run failed) or 2 (bad input)."""
    words = sys.argv[1:] if words is None else words
    if line := conflict(Path.cwd()):
        print(f"error: {line}", file=sys.stderr)
        return 2
    try:
        command = _parse(words)
        return command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted: finished runs are kept, run again to go on", file=sys.stderr
        )
        return 130


def _parse(words: list[str]) -> List | Run | Train | Report | Check | Bench:
    if words and not words[0].startswith("-"):
        choose(words[0], dict.fromkeys(COMMANDS), "command")
    start, words = _take_arm(words) if words[:1] == ["train"] else (Config(), words)
    train = Annotated[Train, tyro.conf.subcommand("train", default=Train(start))]
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                Command | train,
                prog="python -m experiments",
                description="A loss laboratory for two-tower retrieval.",
                args=words,
                config=(tyro.conf.OmitSubcommandPrefixes,),
            )
    except SystemExit as end:
        if end.code:  # zero after --help
            raise InputError(_one_line(told.getvalue())) from None
        raise


def _one_line(box: str) -> str:
    """What tyro draws in a box as one line: its first part, and the nearest flag.

    >>> _one_line("╭─ Bad ─╮\\n│ No │\\n│ ─── │\\n│ Perhaps you meant: │\\n│ --k INT │")
    'No (nearest: --k)'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [
        line.strip("│ ")
        for line in plain.splitlines()
        if not line.startswith(("╭", "╰"))
    ]
    rules = [n for n, line in enumerate(lines) if line and not line.strip("─")]
    first = " ".join(" ".join(lines[: rules[0] if rules else None]).split())
    near = re.search(r"Perhaps you meant: *\n(--[\w-]+)", "\n".join(lines))
    return first + (f" (nearest: {near[1]})" if near else "")


def _take_arm(words: list[str]) -> tuple[Config, list[str]]:
    """train --arm NAME starts from a named arm: its values are the flags' defaults."""
    words = [part for word in words for part in _halves(word)]
    if "--arm" not in words:
        return Config(), words
    at = words.index("--arm")
    if at + 1 == len(words) or words[at + 1].startswith("--"):
        raise InputError("--arm needs the name of an arm")
    return arm(words[at + 1]), words[:at] + words[at + 2 :]


def _halves(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--arm=") else [word]


if __name__ == "__main__":
    sys.exit(main())
