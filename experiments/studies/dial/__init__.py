"""How much of log q should be corrected, where part of popularity is exposure?

A click needs an item to be liked and to be shown. In synthetic data both are known: log
q, the log of an item's share of the clicks, holds its quality and its exposure. The
total strength of the correction, log q in the loss plus the popularity prior when
serving, is varied for models trained without and with log q in the loss, and judged by
what users would choose if all items were shown equally often. The rule to be tested
(research/negatives/strength.py) sets the strength from exposure alone: 1 - cov(log q,
log exposure) / var(log q).

    python -m experiments run dial                 about 25 minutes on 2 cores
    python -m experiments run dial --quick         about 1 minute

Expect a mean regret of the rule of about 0.01 of recovered items, of always correcting
fully several times as much.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.studies.recovery import (
    ARMS,
    CLICKS,
    GROUPS,
    ITEMS,
    SPREADS,
    TOP,
    USERS,
    best_items,
    recipe,
    recovered,
)
from experiments.study import SIMULATED, StudyOptions, save_measured
from research.data.synthetic import (
    Synthetic,
    draw_clicks,
    log_clicks,
    made_fold,
    make_synthetic,
    relevance,
)
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.train.loop import train

NAME = "dial"
CORRELATIONS = (0.0, 0.7)
STRENGTHS = tuple(np.round(np.arange(-0.25, 1.501, 0.05), 2))
SHOWN = 20  # further clicks per user, on which the strength could be chosen
LATER = 1000  # added to a world's seed for its further clicks


class Cell(NamedTuple):
    """One synthetic data set: its place along each axis of the arrays, its world."""

    place: tuple[int, int, int, int]
    world: Synthetic


def cells(seeds: int, quick: bool) -> Iterator[Cell]:
    """Every synthetic data set of the study; a quick run has the four corners."""
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    correlations = CORRELATIONS[:1] if quick else CORRELATIONS
    axes = (enumerate(spreads), enumerate(spreads), enumerate(correlations))
    for (q, quality), (e, exposure), (c, correlation) in itertools.product(*axes):
        for seed in range(seeds):
            yield Cell(
                (q, e, c, seed),
                make_synthetic(
                    *(USERS, ITEMS, GROUPS),
                    quality=quality,
                    exposure=exposure,
                    seed=seed,
                    correlation=correlation,
                ),
            )


def click_gain(
    scores: Float[ndarray, "u i"], clicks: Int[ndarray, "u n"]
) -> Float[ndarray, " u"]:
    """Each user's mean of 1 / log2(rank + 1) over clicks in the top 20, 0 below it.

    The DCG of single clicks: what a choice of the strength on clicks would go by.
    """
    held = np.take_along_axis(scores, clicks, axis=1)
    rank = 1 + (scores[:, None, :] > held[:, :, None]).sum(axis=2)
    return np.where(rank <= TOP, 1 / np.log2(rank + 1.0), 0.0).mean(axis=1)


def population(world: Synthetic) -> tuple[Float[ndarray, " s"], float]:
    """What each strength recovers in the limit of endless clicks, and the rule's value.

    A corrected model is then log p(i | u), and log q the log of its mean over users.
    """
    log_p, truth = log_clicks(world), best_items(relevance(world))
    log_q = np.log(np.exp(log_p).mean(axis=0))
    rule = correction_strength(log_q, world.exposure)
    shares = [recovered(log_p - (1 - s) * log_q, truth) for s in (*STRENGTHS, rule)]
    return np.array(shares), rule


def trained(
    world: Synthetic, seed: int, epochs: int | None
) -> tuple[Float[ndarray, "a s"], Float[ndarray, "a s"], float]:
    """What the models recover and which clicks they rank, by strength, and the rule's.

    The last strength is the rule's own, from the clicks' log q and the true exposure.

    Returns:
      recovered shares and gains on further clicks of each arm and strength; the rule's
      strength.
    """
    fold, truth = made_fold(world, CLICKS, seed), best_items(relevance(world))
    clicks = np.concatenate(list(draw_clicks(world, SHOWN, LATER + seed)))
    log_q = log_share(fold.fitted.item_counts).astype(float)
    rule = correction_strength(log_q, world.exposure)
    shares, gains = [], []
    for name in ARMS:
        config = recipe(name, seed, epochs)
        model = train(config, fold)
        logits = model.user_vectors @ model.item_vectors.T / config.temperature
        totals = [logits + (s - config.logq) * log_q for s in (*STRENGTHS, rule)]
        shares.append([recovered(scores, truth) for scores in totals])
        gains.append([click_gain(scores, clicks).mean() for scores in totals])
    return np.array(shares), np.array(gains), rule


def run_dial(options: StudyOptions) -> Path:
    """Measures each strength on each synthetic data set; returns the records.

    Arrays: spreads, correlations, strengths; recovered and clicked
    [arm, quality, exposure, correlation, seed, strength] and limit without the arm, all
    with the rule's strength as the last one; rule and limit_rule
    [quality, exposure, correlation, seed].
    """
    quick = options.quick
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    correlations = CORRELATIONS[:1] if quick else CORRELATIONS
    shape = len(spreads), len(spreads), len(correlations), options.seeds
    many = *shape, len(STRENGTHS) + 1
    arrays = {
        name: np.zeros(size, "<f4")
        for name, size in {
            "recovered": (len(ARMS), *many),
            "clicked": (len(ARMS), *many),
            "limit": many,
            "rule": shape,
            "limit_rule": shape,
        }.items()
    }
    for place, world in cells(options.seeds, quick):
        shares, gains, rule = trained(world, place[-1], 2 if quick else None)
        arrays["limit"][place], arrays["limit_rule"][place] = population(world)
        arrays["rule"][place] = rule
        for a in range(len(ARMS)):
            arrays["recovered"][a, *place] = shares[a]
            arrays["clicked"][a, *place] = gains[a]
        options.progress(
            f"data set {place}: rule {rule:.2f} recovers "
            + ", ".join(f"{n} {shares[a, -1]:.3f}" for a, n in enumerate(ARMS))
        )
    arrays |= {
        "spreads": np.array(spreads, "<f4"),
        "correlations": np.array(correlations, "<f4"),
        "strengths": np.array(STRENGTHS, "<f4"),
    }
    options = options._replace(dataset=SIMULATED)
    return save_measured(options, NAME, arrays, arms=list(ARMS))
