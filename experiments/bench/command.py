"""The command bench: runs benchmarks, writes their files and the page of all."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments.bench.cost import run_catalogue, run_cost, run_full_softmax
from experiments.bench.protocol import PEERS
from experiments.bench.results import BenchmarkResult, page_of, requirement, save_result
from experiments.bench.scale import run_scale
from experiments.bench.setting import Setting
from experiments.bench.speed import (
    run_evaluation,
    run_losses,
    run_sweep,
    run_top_k,
    run_training,
)
from experiments.output.folders import writable
from research.files import replace
from research.types import InputError, check_distinct, choose

BENCHMARKS: dict[str, Callable[[Setting], BenchmarkResult]] = {
    "train": run_training,
    "loss": run_losses,
    "catalogue": run_catalogue,
    "full-softmax-memory": run_full_softmax,
    "sweep": run_sweep,
    "evaluation": run_evaluation,
    "top-k": run_top_k,
    "cost": run_cost,
    "scale": run_scale,
}


@dataclass(frozen=True)
class Bench:
    """Measure speed and memory, beside PyTorch and TensorFlow Recommenders."""

    only: tuple[str, ...] = ()
    """Names of benchmarks; default: all."""
    data_dir: str | None = None
    """Folder that holds ml-1m; without the data, a synthetic set of the same size."""
    out: Path = Path("out")
    """Output folder."""
    quick: bool = False
    """A smoke run on tiny synthetic data sets; its numbers are no result."""
    peers: bool = True
    """Whether the other frameworks are measured (make bench-peers installs them)."""

    def __call__(self) -> int:
        """Runs, writes, and prints each target beside what was measured."""
        chosen = [choose(name, BENCHMARKS, "benchmark") for name in self.only]
        check_distinct(self.only, "only")
        folder = writable(self.out) / "benchmarks"
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} can't be written to: it is a file")
        peers = PEERS if self.peers and PEERS.is_file() else None
        say = partial(print, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            setting = Setting(self.quick, self.data_dir, peers, Path(scratch), say)
            for run in chosen or BENCHMARKS.values():
                result = run(setting)
                if self.quick:  # nothing is asked of its numbers
                    result = result._replace(targets=())
                print(f"wrote {save_result(result, folder)}")
                for target in result.targets:
                    seen, asked = target.seen, requirement(target._asdict())
                    found = "not measured" if seen is None else f"{seen:.3g}"
                    print(f"  {target.what}: {found} ({asked} asked)")
        page = page_of(folder, tuple(BENCHMARKS)).encode()
        print(f"wrote {replace(folder / 'README.md', page)}")
        return 0
