"""A trained model, served: lists, scores, and their fit to held-out clicks."""

from collections.abc import Sequence

import numpy as np

from research.calibration import Calibration, calibrate, calibrate_first
from research.evaluate.metrics import CUTOFF, METRICS, mean_counted
from research.evaluate.record import evaluate
from research.evaluate.top_k import Scorer, dot_product, rank_scores, seen_items_of
from research.positives import log_share
from research.prepare import Prepared
from research.serving import AS_TRAINED, Serving
from research.types import Fold, Record

CLICKS = 2000  # most held-out clicks that calibrate a model


def rank(run: Prepared, scorer: Scorer) -> np.ndarray:
    """The best candidates for every query of the task, best first, [v, k]."""
    fold = run.task.fold
    return rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))


def score(run: Prepared, scorer: Scorer) -> Record:
    """Ranks all candidates for every query of the task; keeps what tables need."""
    return evaluate(run.task.fold, rank(run, scorer), scorer=scorer)


def metric_means(
    run: Prepared, scorer: Scorer, names: Sequence[str], k: int = CUTOFF
) -> list[float]:
    """Means of metrics of a scorer's lists, judged by the run's held-out positives."""
    record = evaluate(run.task.fold, rank(run, scorer), ks=[k])
    values = [np.atleast_1d(METRICS[name].of(record, k)) for name in names]
    return [mean_counted(found) for found in values]


def serve(
    run: Prepared,
    users: np.ndarray,
    items: np.ndarray,
    temperature: float | None = None,
    serving: Serving = AS_TRAINED,
) -> Scorer:
    """score / temperature plus what serving adds by item (research/serving.py)."""
    fitted = run.task.fold.fitted
    bias = serving.bias(fitted.item_counts, fitted.items)
    divisor = temperature or run.config.temperature
    return dot_product(users, items, bias, 1.0 / divisor)


def calibrated(
    run: Prepared,
    users: np.ndarray,
    items: np.ndarray,
    temperature: float | None = None,
    clicks: int = CLICKS,
    places: int | None = None,
    min_clicks: int = 0,
) -> Calibration:
    """How much a model's scores should count beside log q, by held-out clicks.

    Raises:
      InputError: the clicks fit no scale (research/calibration.py).
    """
    drawn = np.sort(drawn_clicks(run.task.fold, clicks))
    found = clicked_logits(run, users, items, drawn, temperature, min_clicks)
    return calibrate(*found) if places is None else calibrate_first(*found, places)


def clicked_logits(
    run: Prepared,
    users: np.ndarray,
    items: np.ndarray,
    drawn: np.ndarray,
    temperature: float | None = None,
    min_clicks: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits of held-out clicks' users, -inf where lists leave an item out, and log q.

    Returns:
      Logits [c, i], log q [i], the row [c] and the item [c] of each click.
    """
    fold = run.task.fold
    listed = fold.fitted.item_counts >= min_clicks
    drawn = drawn[listed[fold.held_item[drawn]]]
    rows = np.searchsorted(fold.evaluated, fold.held_user[drawn])
    logits = users[rows] @ items.T / (temperature or run.config.temperature)
    offsets, seen = seen_items_of(fold)
    for n, row in enumerate(rows):
        logits[n, seen[offsets[row] : offsets[row + 1]]] = -np.inf
    logits[:, ~listed] = -np.inf
    log_q = log_share(fold.fitted.item_counts)
    return logits, log_q, np.arange(len(rows)), fold.held_item[drawn]


def drawn_clicks(fold: Fold, clicks: int) -> np.ndarray:
    """Indices of some held-out clicks of the evaluated users, [c]."""
    mine = np.flatnonzero(np.isin(fold.held_user, fold.evaluated))
    return np.random.default_rng(0).permutation(mine)[:clicks]
