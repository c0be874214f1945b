"""Looks at a model in training: how good its lists of validation are, by the prior.

One training gives every length and every popularity prior, so that neither costs a
trial of its own.
"""

from collections.abc import Callable

import numpy as np

from experiments.serve import calibrated, score, serve
from research.calibration import NoScale
from research.evaluate.formulas import DEPTH, ndcg
from research.evaluate.metrics import CUTOFF, summary
from research.evaluate.record import held_out
from research.evaluate.top_k import rank_scores, seen_items_of
from research.prepare import Prepared
from research.serving import AS_TRAINED, Serving
from research.train.loop import Validate
from research.types import Fold, Record

PRIORS = (-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
MOST_USERS = 4000  # of validation, drawn once: a look must not cost more than an epoch
NDCG = f"ndcg@{CUTOFF}"


def validation(run: Prepared) -> Validate:
    """Metrics of vectors on validation, for runs that are evaluated while training.

    The first metric, NDCG@20, is the one that decides; config.evaluate_prior names the
    prior of the lists that it judges.
    """
    if run.config.evaluate_prior == "best":
        return _by_prior(run)
    judged = run.config.evaluate_prior == "calibrated"

    def validate(users: np.ndarray, items: np.ndarray) -> dict[str, float]:
        serving = _calibrated_serving(run, users, items) if judged else AS_TRAINED
        numbers = summary(score(run, serve(run, users, items, serving=serving)))
        shown = ("ndcg", "recall", "coverage")
        return {f"{name}@{CUTOFF}": numbers[name][CUTOFF] for name in shown}

    return validate


def column_of(prior: float) -> str:
    """The column of a history that holds NDCG@20 with a prior."""
    return f"{NDCG} prior {prior:g}"


def _by_prior(run: Prepared) -> Validate:
    """NDCG@20 with the best of PRIORS, which one that is, and NDCG@20 with each."""
    evaluated = run.task.fold.evaluated
    drawn = np.random.default_rng(0).permutation(len(evaluated))[:MOST_USERS]
    rows = np.sort(drawn)
    ndcg_of = _list_quality(run.task.fold._replace(evaluated=evaluated[rows]))

    def validate(users: np.ndarray, items: np.ndarray) -> dict[str, float]:
        found = {
            prior: ndcg_of(run, users[rows], items, Serving(prior)) for prior in PRIORS
        }
        best = max(found, key=lambda prior: found[prior])
        columns = {column_of(prior): value for prior, value in found.items()}
        return {NDCG: found[best], "prior": best, **columns}

    return validate


def _list_quality(
    fold: Fold,
) -> Callable[[Prepared, np.ndarray, np.ndarray, Serving], float]:
    """A function from vectors of a fold's users to the mean NDCG@20 of their lists."""
    seen, counts = seen_items_of(fold), fold.fitted.item_counts
    depth = min(CUTOFF, fold.fitted.n_items)

    def mean_ndcg(
        run: Prepared, users: np.ndarray, items: np.ndarray, serving: Serving
    ) -> float:
        scorer = serve(run, users, items, serving=serving)
        lists = rank_scores(scorer, fold.fitted.n_items, *seen, depth)
        user, _, rank = held_out(fold, lists)
        held = np.bincount(user, minlength=len(users))
        unused = np.empty(0)
        record = Record(
            ks=np.array([CUTOFF]),
            held=held,
            rank=rank,
            band=unused,
            exposure=unused,
            item_counts=counts,
            columns={},
            depth=DEPTH,
        )
        return float(ndcg(record, CUTOFF).mean())

    return mean_ndcg


def _calibrated_serving(run: Prepared, users: np.ndarray, items: np.ndarray) -> Serving:
    """Serving with the prior of highest likelihood of the run's held-out clicks."""
    try:
        return calibrated(run, users, items).by_rule(1.0)
    except NoScale:
        return AS_TRAINED
