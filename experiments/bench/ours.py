"""This project's side: what it can be asked for."""

from typing import Any

from experiments.bench.cost_side import cost_portions
from experiments.bench.loss_alone import loss_portions
from experiments.bench.protocol import Answers, serve
from experiments.bench.ranking import rank_portions
from experiments.bench.stepping import portions
from experiments.bench.sweep_side import (
    at_once_portions,
    engine_portions,
    run_portions,
)
from experiments.bench.work import TOWERS, changed, work_of

__all__ = ["TASKS", "train_steps"]


def train_steps(told: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    work = work_of(told["dataset"], told["made"], told["data_dir"])
    config = changed(TOWERS, {"batch": told["batch"], **told["changes"]})
    yield from portions(config, work.fold, told["steps"])


TASKS = {
    "train": train_steps,
    "loss": loss_portions,
    "rank": rank_portions,
    "runs": run_portions,
    "at once": at_once_portions,
    "engine": engine_portions,
    "cost": cost_portions,
}

if __name__ == "__main__":
    serve(TASKS)
