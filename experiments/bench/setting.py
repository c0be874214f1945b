"""What every benchmark is told, and what a reader is told about where it ran."""

import datetime
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from experiments.bench.work import TRAINING, Work, find_work
from experiments.environment import environment

__all__ = ["PEERS", "Setting", "machine"]

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
