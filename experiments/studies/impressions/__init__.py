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
1), of 100, 10 or 1 per item in the mean. Two arms have exposure taken out in training
instead, by inverse propensity weights of the pairs, known exactly: b counts those, too.

    python -m experiments run impressions             about 30 minutes on 2 cores
    python -m experiments run impressions --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes an hour and a half;
on Electronics (--dataset DIR/electronic --arms in-batch in-batch+ips --seeds 3) one.
Expect a pair to recover most of what exposure costs, and no strength of log q to.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.exposure import TOP, best_items, recovered
from experiments.studies.semisynthetic import (
    World,
    drawn_fold,
    learned_world,
    trained_logits,
    training,
)
from experiments.study import StudyOptions, save_cells
from research.config import Config
from research.exposure import IMPRESSIONS
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.types import NUMBER, Column, Fold, Table

NAME = "impressions"
STRENGTHS = tuple(np.arange(0, 3.01, 0.25))  # a
REMOVED = tuple(np.arange(0, 2.51, 0.25))  # b
EXACT = np.inf
COUNTS = (EXACT, 100.0, 10.0, 1.0)  # impressions of an item in the mean
MANY = 1e12  # impressions of the item that is shown most, where they are exact
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
    return np.asarray(kind.gamma * world.popularity + kind.spread * own)


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


_NONE = np.full((len(STRENGTHS), len(REMOVED)), np.nan)
UNKNOWN = Judged(_NONE, _NONE, _NONE, np.nan, np.nan)


def judged(
    logits: Float[ndarray, "u i"],
    config: Config,
    log_shown: Float[ndarray, " i"],
    fold: Fold,
    truth: Bool[ndarray, "u i"],
    strengths: Sequence[float] = STRENGTHS,
    removed: Sequence[float] = REMOVED,
) -> Judged:
    """Serves a model with every pair.

    Args:
      logits: of a model trained on the fold, of the first users, [u, i].
      config: of its training: the strength of log q and the power of its weights.
      log_shown: what is known of the log of each item's exposure, [i].
      fold: the clicks.
      truth: those users' most relevant items, [u, i].
      strengths: each a.
      removed: each b.
    """
    log_q = log_share(fold.fitted.item_counts).astype(float)
    rule = correction_strength(log_q, log_shown)
    n_users = len(logits)
    n_clicks = fold.fitted.offsets[n_users]
    clicked = fold.fitted.user[:n_clicks], fold.fitted.item[:n_clicks]
    held = fold.held_user[:n_users], fold.held_item[:n_users]
    weights = np.exp(log_shown.min() - log_shown[held[1]])
    best, recall, weighted = np.zeros((3, len(strengths), len(removed)))
    for a, b in np.ndindex(*best.shape):
        prior = (strengths[a] - config.logq) * log_q
        prior -= (removed[b] - config.ips) * log_shown
        scores = logits + prior.astype(logits.dtype)
        best[a, b] = recovered(scores, truth)
        scores[clicked] = -np.inf
        hit = (scores > scores[held][:, None]).sum(axis=1) < TOP
        recall[a, b], weighted[a, b] = hit.mean(), np.average(hit, weights=weights)
    prior = (rule - config.logq) * log_q + config.ips * log_shown
    by_rule = recovered(logits + prior.astype(logits.dtype), truth)
    return Judged(best, recall, weighted, by_rule, rule)


def with_impressions(fold: Fold, log_exposure: Float[ndarray, " i"]) -> Fold:
    """The fold with impressions of each item, so many that they are exact."""
    shown = MANY * np.exp(log_exposure - log_exposure.max())
    columns = {IMPRESSIONS: Column(NUMBER, shown)}
    items = Table(fold.fitted.items.id, columns)
    return fold._replace(fitted=fold.fitted._replace(items=items))


def _trained(
    name: str,
    world: World,
    kind: Kind,
    counts: Sequence[float],
    options: StudyOptions,
    seed: int,
) -> list[Judged]:
    """An arm trained on a kind of exposure's clicks, judged for each count."""
    log_exposure = drawn_exposure(world, kind, seed)
    fold = with_impressions(drawn_fold(world, log_exposure, seed), log_exposure)
    config, truth = training(name, options, seed), best_items(world.relevance[:JUDGED])
    logits = trained_logits(config, fold)[:JUDGED]
    judge = partial(judged, logits, config, fold=fold, truth=truth)
    # Weights know exposure exactly: they aren't judged by counts.
    return [
        judge(log_shown=counted(log_exposure, n, seed))
        if n == EXACT or not config.ips
        else UNKNOWN
        for n in counts
    ]


def run_impressions(options: StudyOptions) -> Path:
    """Trains each arm on each kind of exposure's clicks; returns the records.

    Arrays: recovered, clicked and weighted [arm, kind, seed, count, a, b]; by_rule and
    rule [arm, kind, seed, count], NaN where an arm isn't judged by that count; counts,
    strengths (a), removed (b). A quick run has two kinds and exposure known exactly.
    """
    world = learned_world(options)
    kinds = list(KINDS)[: 2 if options.quick else None]
    counts = COUNTS[: 1 if options.quick else None]
    arms = options.arms or STUDIES[NAME].arms
    found: list[Judged] = []
    for name in arms:
        for kind in kinds:
            for seed in range(options.seeds):
                made = _trained(name, world, KINDS[kind], counts, options, seed)
                found += made
                one = made[0]
                options.progress(
                    f"{name}, {kind}, seed {seed}: the rule recovers {one.by_rule:.3f},"
                    f" the best pair {one.recovered.max():.3f}"
                )
    shape = len(arms), len(kinds), options.seeds, len(counts)
    cells = [one._asdict() for one in found]
    swept = {"counts": counts, "strengths": STRENGTHS, "removed": REMOVED}
    names = {"arms": list(arms), "kinds": kinds}
    return save_cells(options, NAME, cells, shape, swept, **names)
