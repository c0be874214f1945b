"""This project's side of the benchmark evaluation: ranking, and all metrics."""

import time
from typing import Any

import numpy as np

from experiments.bench.protocol import Answers
from experiments.bench.work import RANKING, work_of
from experiments.runs import KS, score, serve
from research.config import Config
from research.evaluate.top_k import seen_items_of, top_k
from research.report.record_metrics import summary

__all__ = ["rank_portions"]


def rank_portions(told: dict[str, Any]) -> Answers:
    """Seconds of the exact top 100 of all users, and of every metric of a report."""
    fold = work_of(told["dataset"], told["made"], told["data_dir"], RANKING).fold
    with np.load(told["work"]) as file:
        users, items = file["users"], file["items"]
    config, seen = Config(), seen_items_of(fold)

    def once() -> dict[str, float]:
        clock = time.perf_counter()
        top_k(users, items, None, *seen, k=max(KS))
        ranked = time.perf_counter()
        summary(score(config, fold, serve(config, fold, users, items)))
        return {"rank": ranked - clock, "metrics": time.perf_counter() - ranked}

    yield {"compile_seconds": sum(once().values())}
    while True:
        yield once()
