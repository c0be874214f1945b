"""The setting of the benchmarks: their options, the machine, and how sides start."""

import datetime
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.bench.ours import TASKS
from experiments.bench.protocol import Answers, process
from experiments.bench.work import TRAINING, Work, find_work
from experiments.output.environment import environment
from research.compiler import cores

# TFRS is written for Keras 2; both are read as TensorFlow is imported.
PEER_VARIABLES = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


class Setting(NamedTuple):
    """How benchmarks are run.

    Attributes:
      quick: tiny sizes, in this process: no result.
      data_dir: as on the command line.
      peers: the interpreter that has the other frameworks, or None.
      scratch: a folder for files that the sides read.
      say: called with lines on the progress.
    """

    quick: bool
    data_dir: str | None
    peers: Path | None
    scratch: Path
    say: Callable[[str], None]

    def work(self, dataset: str, phase: str = TRAINING) -> Work:
        """The data of a comparison; see find_work."""
        return find_work("tiny" if self.quick else dataset, self.data_dir, phase)

    def summary(self, work: Work | None = None) -> dict[str, Any]:
        """The machine, the versions, the date, and the data of ``work``."""
        env = environment("", "")
        return {
            "quick": self.quick,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            **{name: env[name] for name in ("commit", "dirty", "device", "python")},
            "packages": {n: env["packages"][n] for n in ("jax", "jaxlib", "numpy")},
            **({} if work is None else {"work": work.summary()}),
        }


def machine() -> dict[str, Any]:
    """The processor, the cores that may be used, the memory."""
    try:  # Linux names the processor
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        memory = 0
    return {
        "processor": "".join(models[:1]) or platform.processor() or platform.machine(),
        "cores": len(cores()),
        "memory GiB": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def ours(setting: Setting, request: dict[str, Any], **variables: str) -> Answers:
    """This project's side: in a fresh process, or in this one for a quick run."""
    if setting.quick:
        return TASKS[request["task"]](request)
    env = {**os.environ, **variables}
    return process(Path(sys.executable), "experiments.bench.ours", request, env)


def peer(setting: Setting, module: str, request: dict[str, Any]) -> Answers:
    """A peer's side."""
    assert setting.peers is not None
    # This project's XLA flags aren't meant for a peer that has an XLA of its own.
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    env |= PEER_VARIABLES
    return process(setting.peers, f"experiments.bench.peers.{module}", request, env)
