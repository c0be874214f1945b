"""One run, from its config to its files: the only place that joins the stages."""

import csv
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.folders import (
    environment,
    finished,
    run_folder,
    run_id,
    serving_folder,
    whole,
    write_json,
)
from research.baselines import BASELINES, option_values
from research.config import Config
from research.data import load
from research.evaluate.metrics import DEFAULT_KS as KS
from research.evaluate.metrics import summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import Scorer, dot_product, rank_scores, seen_items_of
from research.events import catalogue, fold
from research.features import needs_rated
from research.positives import candidate_counts, log_share, user_item
from research.positives.tasks import asked
from research.report.records import pack
from research.train.loop import NotFinite, Trained, train
from research.types import Fold, Ratings, Record

__all__ = [
    "baseline",
    "execute",
    "fold_of",
    "is_done",
    "locate",
    "ratings_of",
    "score",
    "serve",
]

Progress = Callable[[str], None]


@functools.lru_cache(maxsize=2)
def ratings_of(dataset: str, data_dir: str | None) -> Ratings:
    """The data set, read once a process."""
    return load(dataset, data_dir)


@functools.lru_cache(maxsize=4)
def _fold(
    dataset: str, data_dir: str | None, threshold: float, salt: int, library: str,
    split: str, fit_on: str, with_rated: bool,
) -> Fold:  # fmt: skip
    ratings = ratings_of(dataset, data_dir)
    events = catalogue(ratings, threshold, salt, library, with_rated)
    return fold(events, split, fit_on)


def fold_of(config: Config, data_dir: str | None = None) -> Fold:
    """The phase that a config fits on and is judged by, made once a process."""
    return _fold(
        config.dataset, data_dir, config.threshold, config.tie_salt, config.library,
        config.split, config.fit_on, needs_rated(config),
    )  # fmt: skip


def locate(config: Config, grid: str, out: Path, digest: str) -> tuple[str, Path]:
    """The run's id, and the folder it is or will be in."""
    identity = run_id(config, digest)
    return identity, run_folder(out, config.dataset, grid, identity)


def score(config: Config, fold: Fold, scorer: Scorer) -> Record:
    """Ranks all candidates for every query of the task; keeps what tables need."""
    fold = asked(config, fold).fold
    lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold), k=max(KS))
    return evaluate(fold, lists, KS, scorer)


def serve(
    config: Config,
    fold: Fold,
    users: np.ndarray,
    items: np.ndarray,
    temperature: float | None = None,
) -> Scorer:
    """score / temperature + prior * log q, with q the share of the fitted clicks.

    temperature is what a run learned (Trained.temperature); default the config's.
    """
    fitted = asked(config, fold).fold.fitted
    counts = candidate_counts(user_item(fitted), fitted.n_items)
    bias = config.prior * log_share(counts)
    return dot_product(users, items, bias, 1.0 / (temperature or config.temperature))


def baseline(config: Config, fold: Fold) -> Scorer:
    """The scorer of a config's baseline, fitted."""
    entry = BASELINES[config.model]
    values = option_values(config.model, entry, config.baseline)
    return entry.fit(fold, values, config.seed)


def execute(
    config: Config,
    priors: tuple[float, ...],
    folder: Path,
    data_dir: str | None = None,
    progress: Progress = lambda line: None,
    place: str = "in process",
    devices: int = 1,
    done: Trained | NotFinite | None = None,
) -> str:
    """Trains (unless its vectors are there), evaluates under each prior, writes files.

    Args:
      config: the run, its features named.
      priors: serving priors to evaluate; each is a row of the same run.
      folder: where the run's files go.
      data_dir: as on the command line.
      progress: told a short line after each epoch.
      place: where it runs, for env.json.
      devices: how many share each batch, for env.json too.
      done: what came of its training, where it was trained with others.

    Returns:
      A short line on the result, or on why the run failed (also in failed.json).
    """
    held = fold_of(config, data_dir)
    digest = ratings_of(config.dataset, data_dir).digest
    try:
        scorer_of, seconds = _scorers(config, held, folder, progress, devices, done)
    except NotFinite as error:
        write_json(folder / "failed.json", {"reason": str(error)})
        return f"failed: {error}"
    line = ""
    for prior in sorted(priors, key=abs, reverse=True):
        served = dataclasses.replace(config, prior=prior)
        record = score(served, held, scorer_of(served))
        where = serving_folder(folder, served)
        _write_arrays(where / "per_user.npz", pack(record))
        write_json(where / "config.json", served)
        told = {**environment(digest, place), "devices": devices, **seconds}
        write_json(where / "env.json", told)
        numbers = summary(record)
        line = f"R@20 {numbers['recall'][20]:.4f}"
        write_json(where / "metrics.json", _json_numbers(numbers))
    (folder / "failed.json").unlink(missing_ok=True)
    return line


def _scorers(
    config: Config,
    held: Fold,
    folder: Path,
    progress: Progress,
    devices: int,
    done: Trained | NotFinite | None,
) -> tuple[Callable[[Config], Scorer], dict[str, float]]:
    """(config with its prior) -> scorer; seconds. Trains if it must."""
    if config.model != "two-tower":
        scorer = baseline(config, held)
        return lambda served: scorer, {}
    vectors = folder / "vectors.npz"
    if vectors.is_file():
        with np.load(vectors) as stored:
            arrays = dict(stored)
        return lambda served: _serve_stored(served, held, arrays), {}

    def on_epoch(epoch: int, row: dict[str, float]) -> None:
        progress(f"epoch {epoch}/{config.epochs} loss {row['loss']:.3f}")

    if isinstance(done, NotFinite):
        raise done
    if done is None:
        validate = _validation(config, held) if config.evaluate_every else None
        done = train(config, held, on_epoch, validate, devices)
    # The vectors mark the training as done, so they are written last.
    _write_history(folder / "history.csv", done.history)
    arrays = {
        "users": done.user_vectors,
        "items": done.item_vectors,
        "temperature": np.float64(done.temperature),
    }
    _write_arrays(vectors, arrays)
    seconds = {"compile_seconds": done.compile_seconds, "run_seconds": done.seconds}
    return lambda served: _serve_stored(served, held, arrays), seconds


def _serve_stored(
    config: Config, held: Fold, arrays: Mapping[str, np.ndarray]
) -> Scorer:
    learned = arrays.get("temperature")
    temperature = config.temperature if learned is None else float(learned)
    return serve(config, held, arrays["users"], arrays["items"], temperature)


def _validation(
    config: Config, held: Fold
) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    def validate(users: np.ndarray, items: np.ndarray) -> dict[str, float]:
        numbers = summary(score(config, held, serve(config, held, users, items)))
        return {f"{m}@20": numbers[m][20] for m in ("ndcg", "recall", "coverage")}

    return validate


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    """A row an epoch; a metric that wasn't measured in it is an empty cell."""
    names = list(dict.fromkeys(name for row in history for name in row))
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({n: f"{v:.7g}" for n, v in row.items()} for row in history)


def _json_numbers(numbers: dict[str, dict[int, float]]) -> dict[str, dict[int, Any]]:
    """JSON has no NaN: a value that nothing counts towards is null."""
    return {
        metric: {k: None if math.isnan(v) else v for k, v in values.items()}
        for metric, values in numbers.items()
    }


def is_done(config: Config, folder: Path) -> bool:
    """Whether the run's metrics under its serving fields are there."""
    return finished(folder) and finished(serving_folder(folder, config))
