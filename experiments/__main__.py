"""The one command line: python -m experiments {list,run,train,report,check}."""

import sys
from typing import Annotated

import tyro

from experiments.arms import arm
from experiments.commands import Check, List, Report, Run, Train
from research.config import Config
from research.types import InputError

Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Check, tyro.conf.subcommand("check")]
)


def main(words: list[str] | None = None) -> int:
    """Runs one command; returns 0, 1 (a run failed) or 2 (bad input)."""
    words = sys.argv[1:] if words is None else words
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


def _parse(words: list[str]) -> List | Run | Train | Report | Check:
    start, words = _take_arm(words) if words[:1] == ["train"] else (Config(), words)
    train = Annotated[Train, tyro.conf.subcommand("train", default=Train(start))]
    return tyro.cli(
        Command | train,
        prog="python -m experiments",
        description="A loss laboratory for two-tower retrieval.",
        args=words,
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )


def _take_arm(words: list[str]) -> tuple[Config, list[str]]:
    """train --arm NAME starts from a named arm: its values are the flags' defaults."""
    words = [part for word in words for part in _halves(word)]
    if "--arm" not in words:
        return Config(), words
    at = words.index("--arm")
    if at + 1 == len(words):
        raise InputError("--arm needs the name of an arm")
    return arm(words[at + 1]), words[:at] + words[at + 2 :]


def _halves(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--arm=") else [word]


if __name__ == "__main__":
    sys.exit(main())
