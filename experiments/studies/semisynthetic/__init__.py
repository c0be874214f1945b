"""Does the rule of the correction's strength hold for tastes learned from real clicks?

The relevance is that of a full softmax trained on a real data set: its logits of all
items for all evaluated users. Each item's exposure is its click share to the power
gamma. Clicks are drawn anew from exp(relevance) times exposure, as many per user as
there were, no item twice, and models are trained on them alone, by ids and histories.
As in the study ``dial``, each total strength of the correction is judged by the share
of each user's 20 most relevant items among the 20 recommended; beside them stands a
prior of the log of clicks per impression, which no strength of log q is. Each is judged
with all items in the lists and without those that got no click.

    python -m experiments run semisynthetic             about 10 minutes on 2 cores
    python -m experiments run semisynthetic --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes an hour and a half.
Expect on MovieLens 100K: the best strength falls as exposure follows popularity more.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.arms import arm
from experiments.grid import SHORTER
from experiments.inputs import prepared_run, study_split
from experiments.studies.exposure import best_items, recovered
from experiments.study import StudyOptions, save_measured
from research.config import Config
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.train.loop import train
from research.types import Events, Fold, Table, check

NAME = "semisynthetic"
STRENGTHS = tuple(np.round(np.arange(-0.25, 2.501, 0.05), 2))
GAMMAS = (-0.5, 0.0, 0.5, 1.0)  # exposure is the click share to this power
CLICKED = "clicked_"  # before the name of what lists without the other items recover
SWEPT = ("in-batch", "in-batch+logq")  # served at every total strength
OTHERS = ("mixed", "mixed+logq")  # served as trained
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

    Args:
      world: the relevance, and how many clicks each user has.
      log_exposure: of each item, [i].
      seed: of the draws.
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


class Clicks(NamedTuple):
    """Clicks drawn anew, with what a correction needs of them.

    Attributes:
      fold: of the clicks.
      log_q: of each item's share of them, [i].
      rule: the strength of the correction by the rule.
    """

    fold: Fold
    log_q: Float[ndarray, " i"]
    rule: float


def drawn_clicks(world: World, gamma: float, seed: int) -> Clicks:
    """Draws clicks where exposure is the click share to the power gamma."""
    log_exposure = gamma * world.popularity
    fold = drawn_fold(world, log_exposure, seed)
    log_q = log_share(fold.fitted.item_counts).astype(float)
    return Clicks(fold, log_q, correction_strength(log_q, log_exposure))


def run_semisynthetic(options: StudyOptions) -> Path:
    """Trains each arm on each exposure's clicks; returns the records.

    Arrays: recovered [arm, gamma, seed, strength] of the swept arms, the rule's
    strength the last one; rate [arm, gamma, seed] of them, by clicks per impression;
    clicked_recovered and clicked_rate, of lists without items that got no click; others
    [arm, gamma, seed] as trained; rule [gamma, seed]; gammas, strengths.
    """
    world = learned_world(options)
    truth = best_items(world.relevance)
    gammas = GAMMAS[::3] if options.quick else GAMMAS
    shape = len(gammas), options.seeds
    swept: dict[str, ndarray] = {}
    others, rules = np.zeros((len(OTHERS), *shape)), np.zeros(shape)
    for g, gamma in enumerate(gammas):
        for seed in range(options.seeds):
            clicks = drawn_clicks(world, gamma, seed)
            rules[g, seed] = clicks.rule
            for a, name in enumerate((*SWEPT, *OTHERS)):
                config = training(name, options, seed)
                logits = trained_logits(config, clicks.fold)
                if name in OTHERS:
                    others[a - len(SWEPT), g, seed] = recovered(logits, truth)
                    continue
                log_exposure = gamma * world.popularity
                found = every_way(logits, config.logq, clicks, log_exposure, truth)
                for what, values in found.items():
                    if what not in swept:
                        swept[what] = np.zeros((len(SWEPT), *shape, *values.shape))
                    swept[what][a, g, seed] = values
            by_rule = swept["recovered"][:, g, seed, -1]
            options.progress(
                f"gamma {gamma:g}, seed {seed}: rule {clicks.rule:.2f} recovers "
                + ", ".join(f"{n} {r:.3f}" for n, r in zip(SWEPT, by_rule, strict=True))
            )
    arrays = {**swept, "others": others, "rule": rules}
    arrays |= {"gammas": np.array(gammas), "strengths": np.array(STRENGTHS)}
    arrays = {what: values.astype("<f4") for what, values in arrays.items()}
    names = {"arms": list(SWEPT), "others": list(OTHERS)}
    return save_measured(options, NAME, arrays, **names)


def every_way(
    logits: Float[ndarray, "u i"],
    in_loss: float,
    clicks: Clicks,
    log_exposure: Float[ndarray, " i"],
    truth: Bool[ndarray, "u i"],
) -> dict[str, ndarray]:
    """What a model recovers, with all items in the lists and with the clicked ones.

    Args:
      logits: of the model, [u, i].
      in_loss: strength of log q in its loss.
      clicks: that it was trained on.
      log_exposure: of each item, [i].
      truth: each user's most relevant items, [u, i].

    Returns:
      recovered, at each total strength and the rule's, and rate, by the log of clicks
      per impression; the same with CLICKED before its name.
    """
    priors = np.array((*STRENGTHS, clicks.rule)) - in_loss
    rate = (1.0 - in_loss) * clicks.log_q - log_exposure
    left_out = np.where(clicks.fold.fitted.item_counts > 0, 0.0, -np.inf)
    found: dict[str, ndarray] = {}
    for kind, kept in (("", logits), (CLICKED, logits + left_out)):
        found[f"{kind}recovered"] = served(kept, priors, clicks.log_q, truth)
        found[f"{kind}rate"] = np.array(recovered(kept + rate, truth))
    return found


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
    """What a model recovers when served with each prior.

    Args:
      logits: of the model, [u, i].
      priors: strengths of the prior, [s].
      log_q: of the clicks it was trained on, [i].
      truth: each user's most relevant items, [u, i].
    """
    return np.array([recovered(logits + prior * log_q, truth) for prior in priors])
