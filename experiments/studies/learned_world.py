"""Tastes learned from real clicks, and clicks drawn anew from them.

The relevance is that of a full softmax trained on a real data set: its logits of all
items for all evaluated users. Clicks are drawn from exp(relevance) times exposure, as
many per user as there were, no item twice, and models are trained on them alone, by ids
and histories.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.arms import arm
from experiments.grid import SHORTER
from experiments.inputs import prepared_run, study_split
from experiments.studies.dial import recovered
from experiments.study import StudyOptions
from research.config import Config
from research.positives import log_share
from research.train.loop import train
from research.types import Events, Fold, Table, check

CLICKED = "clicked_"  # before the name of what lists without the other items recover
RECIPE: dict[str, Any] = {"user_features": (), "item_features": ("id",)}


class World(NamedTuple):
    """Learned relevance of a real data set, and what clicks are drawn by.

    Attributes:
      relevance: logits of the full softmax, [u, i].
      popularity: log of each item's share of the real clicks, [i].
      clicks: how many each user had, [u].
    """

    relevance: Float[ndarray, "u i"]
    popularity: Float[ndarray, " i"]
    clicks: ndarray


def learned_world(options: StudyOptions) -> World:
    """Trains the full softmax whose logits are the relevance."""
    config = training("full-softmax", options, seed=0)
    fold = prepared_run(config, options.data_dir).fold
    return World(
        trained_logits(config, fold),
        log_share(fold.fitted.item_counts).astype(float),
        np.diff(fold.fitted.offsets)[fold.evaluated],
    )


def training(name: str, options: StudyOptions, seed: int) -> Config:
    """The config of an arm of these studies, a quick one's with two epochs."""
    changes = RECIPE | SHORTER.get(options.dataset, {}) | {"seed": seed}
    if options.quick:
        changes["epochs"] = 2
    split = study_split(options.dataset, options.data_dir)
    base = Config(dataset=options.dataset, split=split)
    return dataclasses.replace(arm(name, base), **changes)


def drawn_fold(world: World, log_exposure: Float[ndarray, " i"], seed: int) -> Fold:
    """A phase fitted on clicks drawn anew; one more of each user is held out.

    The n items with the largest sum of log weight and Gumbel noise are n draws without
    replacement in proportion to the weights; the noise orders them in time.
    """
    n_users, n_items = world.relevance.shape
    draw = np.random.default_rng([seed, n_users])
    held, fitted = np.empty(n_users, np.int64), []
    for user, count in enumerate(world.clicks):
        count = min(int(count), n_items - 1)
        keys = world.relevance[user] + log_exposure + draw.gumbel(size=n_items)
        order = np.argsort(-keys)[: count + 1]
        held[user] = order[count]
        fitted.append(order[:count])
    sizes = [len(items) for items in fitted]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    item, users = np.concatenate(fitted), np.arange(n_users)
    events = Events(
        user=np.repeat(users, sizes),
        item=item,
        rating=np.ones(len(item), np.float32),
        timestamp=np.arange(len(item)),
        order=np.arange(len(item)),
        offsets=offsets,
        users=Table(users, {}),
        items=Table(np.arange(n_items), {}),
    )
    return check(Fold(events, users, held, users))


def trained_logits(config: Config, fold: Fold) -> Float[ndarray, "u i"]:
    """The logits of a model trained on a fold, of all its users and items."""
    model = train(config, fold)
    scores: Float[ndarray, "u i"] = model.user_vectors @ model.item_vectors.T
    return scores / model.temperature


def served(
    logits: Float[ndarray, "u i"],
    priors: Float[ndarray, " s"],
    log_q: Float[ndarray, " i"],
    truth: Bool[ndarray, "u i"],
) -> Float[ndarray, " s"]:
    """What a model recovers when served with each prior."""
    return np.array([recovered(logits + prior * log_q, truth) for prior in priors])
