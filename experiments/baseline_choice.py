"""Chooses the options of each baseline on validation, as those of the towers were.

    python -m experiments.baseline_choice ml-100k             all: about 15 minutes
    python -m experiments.baseline_choice ml-100k ease fm     only these

Every combination below is fitted on train and judged on validation, the highest
NDCG@20 first. The options' defaults (research/baselines/) are the best ones of ml-100k;
ease has its own default on the larger data sets. --data-dir DIR and --split as on the
command line.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator

from experiments.inputs import fold_of
from research.baselines import BASELINES, option_values
from research.config import Config
from research.data import DATASETS
from research.evaluate.metrics import CUTOFF, summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.prepare import is_large
from research.types import Fold, InputError, choose

TRIED: dict[str, dict[str, tuple[float, ...]]] = {
    "recent-popularity": {"days": (7, 14, 30, 60, 90, 120, 180)},
    "item-knn": {
        "shrink": (0, 5, 10, 20, 50, 100),
        "neighbours": (10, 20, 50, 100, 200, 500),
    },
    "ease": {
        "l2": (
            *(30, 50, 100, 200, 300, 500, 1e3, 2e3, 4e3, 8e3),
            *(16e3, 32e3, 64e3, 128e3, 1e6),
        )
    },
    "slim": {"l1": (0.5, 1, 2, 4, 8), "l2": (10, 30, 100, 300)},
    "ials": {
        "factors": (32, 64, 128, 256),
        "regularization": (5, 10, 15, 20, 30),
        "alpha": (2, 3, 5, 10),
    },
    "bpr-mf": {
        "factors": (32, 64, 128),
        "iterations": (100, 200, 400),
        "regularization": (0.01, 0.03, 0.1),
        "prior": (0, 0.5, 1.0),
    },
    "item2vec": {
        "epochs": (10, 20, 40),
        "window": (0, 10),
        "power": (0.75, 1.0),
        "prior": (0, 0.5, 1.0),
    },
    "fm": {
        "epochs": (10, 20, 40),
        "learning_rate": (0.001, 0.003),
        "l2": (0.0003, 0.001, 0.003, 0.01),
    },
}


def judged(name: str, fold: Fold, large: bool) -> Iterator[tuple[float, str]]:
    """NDCG@20 on validation of each combination of a baseline, and its words."""
    entry, tried = BASELINES[name], TRIED[name]
    seen = seen_items_of(fold)
    for values in itertools.product(*tried.values()):
        words = tuple(f"{n}={v:g}" for n, v in zip(tried, values, strict=True))
        scorer = entry.fit(fold, option_values(name, words, large), 0)
        lists = rank_scores(scorer, fold.fitted.n_items, *seen)
        yield summary(evaluate(fold, lists))["ndcg"][CUTOFF], " ".join(words)


def main(words: list[str]) -> int:
    """Prints one line per combination, then each baseline's best."""
    parser = argparse.ArgumentParser(prog="python -m experiments.baseline_choice")
    parser.add_argument("dataset", nargs="?", default=Config.dataset)
    parser.add_argument("names", nargs="*", default=list(TRIED))
    parser.add_argument("--data-dir")
    parser.add_argument("--split", default=Config.split)
    arguments = parser.parse_args(words)
    choose(arguments.dataset, DATASETS, "data set")
    for name in arguments.names:
        choose(name, TRIED, "baseline with options")
    config = Config(dataset=arguments.dataset, split=arguments.split, fit_on="train")
    config.check()
    fold = fold_of(config, arguments.data_dir)
    for name in arguments.names:
        results = []
        clock = time.perf_counter()
        for ndcg, options in judged(name, fold, is_large(fold)):
            results.append((ndcg, options))
            seconds, clock = time.perf_counter() - clock, time.perf_counter()
            print(f"{name}: {ndcg:.4f} {options} ({seconds:.1f} s)", flush=True)
        ndcg, options = max(results)
        print(f"{name}: best {ndcg:.4f} {options}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
