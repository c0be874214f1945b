"""How a benchmark starts a side: this project's, or a peer's where it is installed."""

import os
from collections.abc import Callable
from typing import Any

from experiments.bench.ours import TASKS
from experiments.bench.setting import Setting
from experiments.bench.sides import Here, Process, Side, Turns, own

__all__ = ["alone", "ours", "peer"]


def ours(setting: Setting, told: dict[str, Any]) -> Callable[[], Side]:
    """This project's side: in a fresh process, or in this one for a quick run."""
    if setting.quick:
        return lambda: Here(TASKS[told["task"]](told))
    return lambda: own("experiments.bench.ours", told)


def peer(setting: Setting, module: str, told: dict[str, Any]) -> Callable[[], Side]:
    """A peer's side, by the name of its module."""
    assert setting.peers is not None
    python = setting.peers
    # What this project tells XLA isn't told to a peer that has an XLA of its own.
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return lambda: Process(python, f"experiments.bench.peers.{module}", told, env)


def alone(start: Callable[[], Side], repeats: int) -> Turns:
    """All portions of one side.

    Raises:
      Failed: it couldn't.
    """
    side = start()
    try:
        ready = side.ask()
        portions = [side.ask() for _ in range(repeats)]
    finally:
        end = side.close()
    return Turns(ready, portions, end)
