"""The command bench: runs benchmarks, writes their files and the page of all."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.bench.catalogue import run_catalogue, run_full_softmax
from experiments.bench.cost import run_cost
from experiments.bench.found import Found, Target, save_found
from experiments.bench.setting import PEERS, Setting
from experiments.bench.speed import run_evaluation, run_losses, run_training
from experiments.bench.sweep import run_sweep
from experiments.bench.tables import write_page
from experiments.folders import writable
from research.types import InputError, choose

BENCHMARKS: dict[str, Callable[[Setting], Found]] = {
    "train": run_training,
    "loss": run_losses,
    "catalogue": run_catalogue,
    "full-softmax-memory": run_full_softmax,
    "sweep": run_sweep,
    "evaluation": run_evaluation,
    "cost": run_cost,
}


@dataclass(frozen=True)
class Bench:
    """Speed and memory, beside PyTorch and TensorFlow Recommenders where installed."""

    only: tuple[str, ...] = ()
    """Names of benchmarks; default: all."""
    data_dir: str | None = None
    """Folder that holds ml-1m (and ml-100k); without it a source is looked for, and a
    made world of the same size stands in where there is none."""
    out: Path = Path("out")
    """Output folder."""
    quick: bool = False
    """A smoke run: tiny made worlds, a few steps: no result."""
    peers: bool = True
    """Whether the other frameworks are measured (make bench-peers installs them)."""

    def __call__(self) -> int:
        """Runs, writes and says what was asked and seen."""
        chosen = [choose(name, BENCHMARKS, "benchmark") for name in self.only]
        folder = writable(self.out) / "benchmarks"
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} can't be written to: it is a file")
        peers = PEERS if self.peers and PEERS.is_file() else None
        with tempfile.TemporaryDirectory() as scratch:
            setting = Setting(self.quick, self.data_dir, peers, Path(scratch), _say)
            for run in chosen or BENCHMARKS.values():
                found = run(setting)
                print(f"wrote {save_found(found, folder)}")
                print(*_lines(found), sep="\n")
        print(f"wrote {write_page(folder, tuple(BENCHMARKS))}")
        return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _lines(found: Found) -> list[str]:
    return [_line(target) for target in found.targets]


def _line(target: Target) -> str:
    seen = "not measured" if target.seen is None else f"{target.seen:.3g}"
    sign = "at least" if target.at_least else "at most"
    return f"  {target.what}: {seen} ({sign} {target.asked:g} {target.unit} asked)"
