"""The benchmarks by name, in the order of their page."""

from collections.abc import Callable

from experiments.bench.catalogue import run_catalogue, run_full_softmax
from experiments.bench.cost import run_cost
from experiments.bench.evaluation import run_evaluation
from experiments.bench.found import Found
from experiments.bench.losses import run_losses
from experiments.bench.setting import Setting
from experiments.bench.sweep import run_sweep
from experiments.bench.training import run_training

__all__ = ["BENCHMARKS"]

BENCHMARKS: dict[str, Callable[[Setting], Found]] = {
    "train": run_training,
    "loss": run_losses,
    "catalogue": run_catalogue,
    "full-softmax-memory": run_full_softmax,
    "sweep": run_sweep,
    "evaluation": run_evaluation,
    "cost": run_cost,
}
