"""The benchmarks by name, in the order of their page."""

from collections.abc import Callable

from experiments.bench.found import Found
from experiments.bench.setting import Setting
from experiments.bench.training import run_training

__all__ = ["BENCHMARKS"]

BENCHMARKS: dict[str, Callable[[Setting], Found]] = {"train": run_training}
