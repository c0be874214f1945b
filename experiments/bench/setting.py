"""What every benchmark is told, and what a reader is told about where it ran."""

import datetime
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from experiments.bench.ours import TASKS
from experiments.bench.sides import Here, Process, Side, Turns, own
from experiments.bench.work import TRAINING, Work, find_work
from experiments.environment import environment

PEERS = Path(".venv-peers") / "bin" / "python"


class Setting(NamedTuple):
    """How benchmarks are run.

    Attributes:
      quick: tiny sizes, in this process: no result.
      data_dir: as on the command line.
      peers: the interpreter that has the other frameworks, or None.
      scratch: a folder for what the sides read.
      say: told a line now and then.
    """

    quick: bool
    data_dir: str | None
    peers: Path | None
    scratch: Path
    say: Callable[[str], None]

    def work(self, dataset: str, phase: str = TRAINING) -> Work:
        """The data of a comparison; see find_work."""
        return find_work("tiny" if self.quick else dataset, self.data_dir, phase)

    def told(self, work: Work | None = None) -> dict[str, Any]:
        """What a reader is told."""
        env = environment("", "")
        return {
            "quick": self.quick,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            **{name: env[name] for name in ("commit", "dirty", "device", "python")},
            "packages": {name: version(name) for name in ("jax", "jaxlib", "numpy")},
            **({} if work is None else {"work": work.about()}),
        }


def machine() -> dict[str, Any]:
    """The processor, the cores that may be used, the memory."""
    return {
        "processor": _model() or platform.processor() or platform.machine(),
        "cores": _cores(),
        "memory GiB": round(_memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def _model() -> str:
    """The processor's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


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
