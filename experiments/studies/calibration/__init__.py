"""Do held-out clicks say how far the best strength lies from the rule's?

The best strength of log q lies above the rule's where models know little of the tastes
(study ``clicks``), and the best pair of strengths takes out more than all of log
impressions (study ``impressions``). Here each trained model's scores are calibrated: a
conditional logit of held-out clicks on score / temperature and log q has a scale and a
share (research/calibration.py). Relevance is then

    scale * score / temperature + share * log q - log e,

e the exposure. Divided by the scale, this is how to serve: by the impressions of each
item or, with the slope of log e on log q in place of log e, by log q alone. Both are
judged on tastes learned from real clicks, as in ``impressions``, against every strength
and every pair; there are two more kinds of exposure, powers of popularity, for which
the rule is exact. The rule and calibration are also judged without items that got no
click, in lists and fits.

    python -m experiments run calibration             about 20 minutes on 2 cores
    python -m experiments run calibration --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes an hour and a half,
on Electronics (--dataset DIR/electronic --arms in-batch --seeds 3) an hour.
Expect calibrated ways to serve near the best ones, except where exposure is popularity.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.calibration.pairs import JUDGED, Kind, drawn_exposure, judged
from experiments.studies.calibration.pairs import KINDS as OWN
from experiments.studies.dial import best_items, recovered
from experiments.studies.learned_world import (
    CLICKED,
    drawn_fold,
    learned_world,
    served,
    trained_logits,
    training,
)
from experiments.study import StudyOptions, save_cells
from research.calibration import Calibration, NoScale, calibrate
from research.positives import log_share
from research.types import Fold

NAME = "calibration"
KINDS = {**OWN, "root of popularity": Kind(0.5, 0.0), "popularity": Kind(1.0, 0.0)}
STRENGTHS = (*np.arange(0, 3.01, 0.25), 3.5, 4.0, 5.0, 6.0)  # a
REMOVED = (*np.arange(0, 2.51, 0.25), 3.0, 3.5, 4.0, 5.0)  # b


class Calibrated(NamedTuple):
    """What a calibrated model recovers, with its scale and share.

    Attributes:
      scale: of its scores.
      share: of log q.
      calibrated_rule: recovered by the rule of the strength.
      calibrated_rate: recovered by clicks per impression.
    """

    scale: float
    share: float
    calibrated_rule: float
    calibrated_rate: float


def without_clicked(logits: Float[ndarray, "u i"], fold: Fold) -> Float[ndarray, "u i"]:
    """Logits of the first users, -inf for the items that each clicked in training."""
    n_clicks, left = fold.fitted.offsets[len(logits)], logits.copy()
    left[fold.fitted.user[:n_clicks], fold.fitted.item[:n_clicks]] = -np.inf
    return left


def fitted_on_held(logits: Float[ndarray, "u i"], fold: Fold) -> Calibration:
    """What the held-out clicks of the first users fit.

    Raises:
      NoScale: the clicks fit no scale above 0.
    """
    log_q = log_share(fold.fitted.item_counts).astype(float)
    held = np.stack([each[: len(logits)] for each in (fold.held_user, fold.held_item)])
    return calibrate(logits, log_q, *held[:, logits[tuple(held)] > -np.inf])


def calibrated(
    logits: Float[ndarray, "u i"],
    log_exposure: Float[ndarray, " i"],
    rule: float,
    fold: Fold,
    truth: Bool[ndarray, "u i"],
) -> Calibrated:
    """Calibrates a model on the held-out clicks of the first users, and serves it.

    NaN where the clicks fit no scale above 0.
    """
    log_q = log_share(fold.fitted.item_counts).astype(float)
    try:
        fitted = fitted_on_held(without_clicked(logits, fold), fold)
    except NoScale:
        return Calibrated(*[np.nan] * len(Calibrated._fields))
    found = [
        recovered(logits + (way.prior * log_q - way.exposure * log_exposure), truth)
        for way in (fitted.by_rule(rule), fitted.by_impressions())
    ]
    return Calibrated(fitted.scale, fitted.share, *found)


def without_unclicked(
    logits: Float[ndarray, "u i"],
    in_loss: float,
    log_exposure: Float[ndarray, " i"],
    rule: float,
    fold: Fold,
    truth: Bool[ndarray, "u i"],
) -> dict[str, ndarray]:
    """What a model recovers without the items that got no click, in lists and fits.

    Returns:
      by CLICKED and a name: those of ``Calibrated``, by_rule, and by_strength, by log q
      alone at each of STRENGTHS, [a].
    """
    counts = fold.fitted.item_counts
    kept = np.where(counts > 0, logits, -np.inf).astype(logits.dtype)
    log_q = log_share(counts).astype(float)
    by_strength = served(kept, np.array(STRENGTHS) - in_loss, log_q, truth)
    by_rule = served(kept, np.array([rule - in_loss]), log_q, truth)
    fitted = calibrated(kept, log_exposure, rule, fold, truth)
    found = {**fitted._asdict(), "by_rule": by_rule[0], "by_strength": by_strength}
    return {f"{CLICKED}{name}": np.array(values) for name, values in found.items()}


def run_calibration(options: StudyOptions) -> Path:
    """Trains each arm on each kind of exposure's clicks; returns the records.

    Arrays: those of ``Judged``, of ``Calibrated`` and of ``without_unclicked`` [arm,
    kind, seed], with two more axes, a and b, where every pair is judged; strengths (a),
    removed (b). A quick run has two kinds.
    """
    world = learned_world(options)
    truth = best_items(world.relevance[:JUDGED])
    kinds = list(KINDS)[: 2 if options.quick else None]
    arms = options.arms or STUDIES[NAME].arms
    cells: list[dict[str, Any]] = []
    for name in arms:
        for kind in kinds:
            for seed in range(options.seeds):
                log_exposure = drawn_exposure(world, KINDS[kind], seed)
                fold = drawn_fold(world, log_exposure, seed)
                config = training(name, options, seed)
                logits = trained_logits(config, fold)[:JUDGED]
                grid = STRENGTHS, REMOVED
                one = judged(logits, config, log_exposure, fold, truth, *grid)
                two = calibrated(logits, log_exposure, one.rule, fold, truth)
                place = config.logq, log_exposure, one.rule, fold, truth
                more = without_unclicked(logits, *place)
                cells.append({**one._asdict(), **two._asdict(), **more})
                options.progress(
                    f"{name}, {kind}, seed {seed}: scale {two.scale:.2f}, the rule "
                    f"recovers {one.by_rule:.3f}, calibrated {two.calibrated_rule:.3f}"
                )
    shape = len(arms), len(kinds), options.seeds
    swept = {"strengths": STRENGTHS, "removed": REMOVED}
    names = {"arms": list(arms), "kinds": kinds}
    return save_cells(options, NAME, cells, shape, swept, **names)
