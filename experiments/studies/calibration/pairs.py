"""Every pair of strengths that a model is served with, and what a pair recovers.

A model is served with score / temperature + a log q - b log e: a is the total strength
of log q, that of the loss included, and e each item's exposure.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.studies.dial import TOP, recovered
from experiments.studies.learned_world import World
from research.config import Config
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.records import Stored
from research.types import Fold

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
    config: Config,
    log_shown: Float[ndarray, " i"],
    fold: Fold,
    truth: Bool[ndarray, "u i"],
    strengths: Sequence[float],
    removed: Sequence[float],
) -> Judged:
    """Serves a model with every pair."""
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


# Ways to serve a model; a "chosen" one differs by seed.
RULE = "the rule"
STRENGTH = "best strength of log q"
RATE = "clicks per impression"
PAIR = "best pair"
BY_WEIGHTED = "pair chosen by weighted clicks"
ELECTRONICS = "electronic"


class Served(NamedTuple):
    """A way to serve, by seed: the pair a and b, and the share recovered, each [s]."""

    a: Float[ndarray, " s"]
    b: Float[ndarray, " s"]
    recovered: Float[ndarray, " s"]


class Place(NamedTuple):
    """What the records hold of an arm, a kind of exposure and a count.

    Attributes:
      recovered: the share of the most relevant items, [s, a, b].
      clicked: recall of held-out clicks, [s, a, b].
      weighted: the same with weighted clicks, [s, a, b].
      by_rule: recovered by the rule, [s].
      rule: its strength, [s].
      strengths: a.
      removed: b.
    """

    recovered: ndarray
    clicked: ndarray
    weighted: ndarray
    by_rule: ndarray
    rule: ndarray
    strengths: ndarray
    removed: ndarray

    @classmethod
    def at(cls, stored: Stored, index: tuple[int | slice, ...]) -> "Place":
        """What the arrays have at an index, of which the seeds are left."""
        arrays = stored.arrays
        names = ("recovered", "clicked", "weighted", "by_rule", "rule")
        measured = (arrays[name][index].astype(float) for name in names)
        grid = (arrays[name].astype(float) for name in ("strengths", "removed"))
        return cls(*measured, *grid)

    def pair(self, a: float, b: float) -> Served:
        """Served with the pair of the grid that is nearest to a and b."""
        i = int(np.argmin(np.abs(self.strengths - a)))
        j = int(np.argmin(np.abs(self.removed - b)))
        ones = np.ones(len(self.rule))
        shares = self.recovered[:, i, j]
        return Served(self.strengths[i] * ones, self.removed[j] * ones, shares)

    def chosen(self, scores: Float[ndarray, "s a b"]) -> Served:
        """Served with each seed's pair of the highest score; of ties the lowest."""
        flat = scores.reshape(len(scores), -1).argmax(axis=1)
        i, j = np.unravel_index(flat, scores.shape[1:])
        seeds = np.arange(len(scores))
        return Served(self.strengths[i], self.removed[j], self.recovered[seeds, i, j])


def others(values: Float[ndarray, "s *n"]) -> Float[ndarray, "s *n"]:
    """The mean of the other seeds, for each seed; a single one has its own."""
    if len(values) == 1:
        return values
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))


def ways(here: Place) -> dict[str, Served]:
    """Each way to serve. What is best is chosen on the other seeds, to be fair."""
    alone = np.zeros_like(here.recovered)
    alone[..., 1:] = -np.inf  # without log impressions
    rule = Served(here.rule, np.zeros(len(here.rule)), here.by_rule)
    return {
        RULE: rule,
        STRENGTH: here.chosen(others(here.recovered) + alone),
        RATE: here.pair(1.0, 1.0),
        PAIR: here.chosen(others(here.recovered)),
        BY_WEIGHTED: here.chosen(here.weighted),
    }


Stated = tuple[str, ndarray, float, float]
