"""Does this code, on published data and protocols, reach the published numbers?

The cells are numbers that RecBole's result pages [zhao2021] print for MovieLens 1M
(cells.csv): EASE, item-kNN and SLIM with their settings. Each model is fitted on the
published pairs under RecBole's rule for random splits, another split for each seed.

    python -m experiments run outside --data-dir DIR             about 15 minutes
    python -m experiments run outside --quick --data-dir DIR     about 1 minute

DIR has the folder ml-1m-ge3, whose interactions-unsplit.csv.gz holds the pairs.
Expect all cells of EASE with penalties 500 and 1000, of item-kNN and of SLIM to agree.
"""

import csv
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import digest_of, fold_of
from experiments.studies import StudyOptions, save_study
from research.baselines import BASELINES, option_values
from research.config import Config
from research.evaluate.metrics import METRICS
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.report.records import study_header
from research.types import InputError, Record

__all__ = ["CELLS", "METRIC_NAMES", "NAME", "RUNS", "Cell", "read_cells", "run_outside"]

NAME = PLACE = "outside"
CELLS = Path(__file__).with_name("cells.csv")
FILE = Path("ml-1m-ge3", "interactions-unsplit.csv.gz")
CUTOFF = 10
METRIC_NAMES = ("recall", "ndcg", "mrr", "hit", "precision")


class Run(NamedTuple):
    """A baseline with its options; ``left_out`` of lists as in a config."""

    model: str
    options: tuple[str, ...] = ()
    left_out: str = "train+validation"


# SLIM's penalties are those of alpha .2 and l1_ratio .005 over 6,034 rows, times the
# rows: RecBole's objective is a mean over users, that of slim a sum.
RUNS = {
    "ease-1000": Run("ease", ("l2=1000",)),
    "ease-500": Run("ease", ("l2=500",)),
    "ease-1": Run("ease", ("l2=1",)),
    "item-knn-250": Run("item-knn", ("neighbours=250", "shrink=1.2")),
    "item-knn-50": Run("item-knn", ("neighbours=50", "shrink=0.1")),
    "slim": Run("slim", ("l1=6.034", "l2=1200.766")),
    "popularity": Run("popularity"),
    "ease-1000 (validation items ranked)": Run("ease", ("l2=1000",), "fitted"),
}
QUICK = ("ease-1000", "popularity")


class Cell(NamedTuple):
    """A published number and where it stands.

    Attributes:
      source: key in docs/references.md.
      table: of the page.
      page: which page, or section.
      dataset: the folder of its data.
      row: the row as published, with its settings.
      metric: a name in METRIC_NAMES.
      k: cut-off.
      value: as printed.
      run: the run here that it is compared with.
      because: a run that would explain a difference, or "".
    """

    source: str
    table: str
    page: str
    dataset: str
    row: str
    metric: str
    k: int
    value: float
    run: str
    because: str


def read_cells(path: Path = CELLS) -> list[Cell]:
    """The published cells of a file, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        lines: list[dict[str, Any]] = [*csv.DictReader(file)]
    typed = [{"k": int(line["k"]), "value": float(line["value"])} for line in lines]
    return [
        Cell(**(line | numbers)) for line, numbers in zip(lines, typed, strict=True)
    ]


def per_user(record: Record, metric: str) -> Float[ndarray, " v"]:
    """A metric at CUTOFF; precision is the hits' share of the slots."""
    if metric == "precision":
        return METRICS["recall"].of(record, CUTOFF) * record.held / CUTOFF
    return METRICS[metric].of(record, CUTOFF)


def _measure(run: Run, dataset: str, seed: int) -> list[Float[ndarray, " v"]]:
    """Each metric of a run on one split, by user."""
    config = Config(
        dataset=dataset,
        split="random",
        split_rule="recbole",
        split_seed=seed,
        fit_on="train-only",
        left_out=run.left_out,
        model=run.model,
        baseline=run.options,
    )
    fold = fold_of(config)
    scorer = BASELINES[run.model].fit(fold, option_values(run.model, run.options), 0)
    lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
    record = evaluate(fold, lists, ks=(CUTOFF,))
    return [per_user(record, metric) for metric in METRIC_NAMES]


def run_outside(options: StudyOptions) -> Path:
    """Measures every run on every split; returns the records.

    Arrays: mean and error (the standard error over users) [run, split, metric].

    Raises:
      InputError: no data_dir, or no such file in it.
    """
    if options.data_dir is None:
        raise InputError(f"study {NAME} needs --data-dir: the folder that has {FILE}")
    path = Path(options.data_dir) / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file, which study {NAME} needs")
    names = QUICK if options.quick else tuple(RUNS)
    mean = np.zeros((len(names), options.seeds, len(METRIC_NAMES)))
    error = np.zeros_like(mean)
    for seed in range(options.seeds):
        for n, name in enumerate(names):
            start = time.monotonic()
            users = np.stack(_measure(RUNS[name], str(path), seed))
            mean[n, seed] = users.mean(axis=1)
            error[n, seed] = users.std(axis=1, ddof=1) / np.sqrt(users.shape[1])
            options.progress(
                f"{name}, split {seed}: recall@{CUTOFF} {mean[n, seed, 0]:.4f} "
                f"({time.monotonic() - start:.0f} s)"
            )
    digest = digest_of(Config(dataset=str(path)), None)
    header = study_header(NAME, PLACE, options.quick, digest, runs=list(names))
    arrays = {"mean": mean.astype("<f8"), "error": error.astype("<f8")}
    return save_study(
        options.out, {**header, "metrics": list(METRIC_NAMES), "k": CUTOFF}, arrays
    )
