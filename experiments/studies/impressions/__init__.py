"""With impressions of each item, how much of log q and of their log to serve with?

The rule of the correction's strength turns impressions into one number for all items.
Here they are taken out item by item: a model is served with

    score / temperature + a log q - b log e,

a the total strength of log q, that of the loss included, and e each item's exposure. As
in the study ``semisynthetic`` the relevance is that of a full softmax trained on real
clicks, and clicks are drawn anew; the exposure is the click share to the power gamma
times a factor of each item's own. Every pair of a and b is judged by the share of each
user's 20 most relevant items among the 20 recommended; by the recall of a held-out
click of each user; and by that recall with each click weighted by 1 / e, which makes it
one under even exposure. Exposure is known exactly, or as counted impressions, log(n +
1), of 100, 10 or 1 per item in the mean.

    python -m experiments run impressions             about 25 minutes on 2 cores
    python -m experiments run impressions --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes an hour and a half.
Expect clicks per impression, with more of log q, to recover most.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.inputs import ratings_of
from experiments.studies.exposure import TOP, best_items, recovered
from experiments.studies.semisynthetic import (
    World,
    drawn_fold,
    learned_world,
    trained_logits,
    training,
)
from experiments.study import StudyOptions, save_study
from research.data import name_of
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.records import study_header
from research.types import Fold

__all__ = ["ARMS", "EXACT", "KINDS", "Judged", "Kind", "judged", "run_impressions"]

NAME = "impressions"
ARMS = ("in-batch", "in-batch+logq")
STRENGTHS = tuple(np.arange(0, 3.01, 0.25))  # a
REMOVED = tuple(np.arange(0, 2.51, 0.25))  # b
EXACT = np.inf
COUNTS = (EXACT, 100.0, 10.0, 1.0)  # impressions of an item in the mean
JUDGED = 1500  # users, the first ones, so that ranking takes less time than training


class Kind(NamedTuple):
    """How exposed items are: exposure is popularity^gamma times exp(spread * normal).

    Attributes:
      gamma: power of the share of the real clicks.
      spread: standard deviation of the log of each item's own factor.
    """

    gamma: float
    spread: float


KINDS = {
    "even": Kind(0.0, 0.0),
    "independent": Kind(0.0, 1.0),
    "with popularity": Kind(0.5, 1.0),
    "against popularity": Kind(-0.5, 1.0),
}


def drawn_exposure(world: World, kind: Kind, seed: int) -> Float[ndarray, " i"]:
    """The log of each item's exposure, up to a constant."""
    own = np.random.default_rng([seed, 1]).normal(size=len(world.popularity))
    drawn: Float[ndarray, " i"] = kind.gamma * world.popularity + kind.spread * own
    return drawn


def counted(
    log_exposure: Float[ndarray, " i"], count: float, seed: int
) -> Float[ndarray, " i"]:
    """What is known of log exposure where impressions are counted: log(n + 1).

    Args:
      log_exposure: of each item, [i].
      count: impressions of an item in the mean, Poisson; EXACT: all is known.
      seed: of the draw.
    """
    if count == EXACT:
        return log_exposure
    share = np.exp(log_exposure - log_exposure.max())
    mean = count * share / share.mean()
    return np.log1p(np.random.default_rng([seed, 2]).poisson(mean))


class Judged(NamedTuple):
    """What each pair of a and b gives a trained model.

    Attributes:
      recovered: share of the 20 most relevant items among the 20 recommended, [a, b].
      clicked: recall@20 of the held-out clicks, [a, b].
      weighted: the same, each click weighted by 1 / e, [a, b].
      by_rule: recovered with the rule's strength of log q alone.
      rule: that strength.
    """

    recovered: Float[ndarray, "a b"]
    clicked: Float[ndarray, "a b"]
    weighted: Float[ndarray, "a b"]
    by_rule: float
    rule: float


def judged(
    logits: Float[ndarray, "u i"],
    in_loss: float,
    log_shown: Float[ndarray, " i"],
    fold: Fold,
    truth: Bool[ndarray, "u i"],
) -> Judged:
    """Serves a model with every pair.

    Args:
      logits: of a model trained on the fold, of the first users, [u, i].
      in_loss: strength of log q that its loss had.
      log_shown: what is known of the log of each item's exposure, [i].
      fold: the clicks.
      truth: those users' most relevant items, [u, i].
    """
    log_q = log_share(fold.fitted.item_counts).astype(float)
    rule = correction_strength(log_q, log_shown)
    n_users = len(logits)
    n_clicks = fold.fitted.offsets[n_users]
    clicked = fold.fitted.user[:n_clicks], fold.fitted.item[:n_clicks]
    held = fold.held_user[:n_users], fold.held_item[:n_users]
    weights = np.exp(log_shown.min() - log_shown[held[1]])
    best, recall, weighted = np.zeros((3, len(STRENGTHS), len(REMOVED)))
    for a, b in np.ndindex(*best.shape):
        prior = (STRENGTHS[a] - in_loss) * log_q - REMOVED[b] * log_shown
        scores = logits + prior.astype(logits.dtype)
        best[a, b] = recovered(scores, truth)
        scores[clicked] = -np.inf
        hit = (scores > scores[held][:, None]).sum(axis=1) < TOP
        recall[a, b], weighted[a, b] = hit.mean(), np.average(hit, weights=weights)
    prior = ((rule - in_loss) * log_q).astype(logits.dtype)
    by_rule = recovered(logits + prior, truth)
    return Judged(best, recall, weighted, by_rule, rule)


def run_impressions(options: StudyOptions) -> Path:
    """Trains each arm on each kind of exposure's clicks; returns the records.

    Arrays: recovered, clicked and weighted [arm, kind, seed, count, a, b]; by_rule and
    rule [arm, kind, seed, count]; counts, strengths (a), removed (b). A quick run has
    two kinds and exposure known exactly alone.
    """
    world = learned_world(options)
    kinds = list(KINDS)[: 2 if options.quick else None]
    counts = COUNTS[: 1 if options.quick else None]
    truth = best_items(world.relevance[:JUDGED])
    found = []
    for name in ARMS:
        for kind in kinds:
            for seed in range(options.seeds):
                log_exposure = drawn_exposure(world, KINDS[kind], seed)
                fold = drawn_fold(world, log_exposure, seed)
                config = training(name, options, seed)
                logits = trained_logits(config, fold)[:JUDGED]
                for count in counts:
                    shown = counted(log_exposure, count, seed)
                    found.append(judged(logits, config.logq, shown, fold, truth))
                one = found[-len(counts)]
                options.progress(
                    f"{name}, {kind}, seed {seed}: the rule recovers {one.by_rule:.3f},"
                    f" the best pair {one.recovered.max():.3f}"
                )
    shape = len(ARMS), len(kinds), options.seeds, len(counts)
    arrays = {
        name: np.array([getattr(one, name) for one in found], "<f4")
        for name in Judged._fields
    }
    digest = ratings_of(options.dataset, options.data_dir).digest
    names = {"arms": list(ARMS), "kinds": kinds}
    return save_study(
        options.out,
        study_header(NAME, name_of(options.dataset), options.quick, digest, **names),
        {name: a.reshape(*shape, *a.shape[1:]) for name, a in arrays.items()}
        | {
            "counts": np.array(counts, "<f4"),
            "strengths": np.array(STRENGTHS, "<f4"),
            "removed": np.array(REMOVED, "<f4"),
        },
    )
