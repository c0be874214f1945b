"""Do more clicks bring the best strength of the correction to the rule's?

The study ``semisynthetic`` once more, with one thing changed at a time: the number of
users, of clicks per user, or of epochs. Where users or clicks change, there is also a
condition in which the epochs change the other way, which keeps the number of steps. On
each condition's clicks, drawn anew, a model is trained without log q, and every total
strength is judged by the share of each user's 20 most relevant items among the 20
recommended. Beside it stands the strength by a fit: with relevance = a logits + b log q
+ a constant of each user by least squares, b / a.

    python -m experiments run clicks             about 50 minutes on 2 cores
    python -m experiments run clicks --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) the quarters alone are run,
in about 30 minutes.
Expect the best strength to fall with more users and with fewer epochs.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.exposure import best_items
from experiments.studies.semisynthetic import (
    World,
    drawn_clicks,
    learned_world,
    served,
    trained_logits,
    training,
)
from experiments.study import StudyOptions, save_cells

NAME, ARM = "clicks", "in-batch"
STRENGTHS = tuple(np.round(np.arange(-0.25, 5.001, 0.05), 2))
GAMMAS = (0.0, 1.0)
JUDGED = 1500  # users, the first ones, so that ranking takes less time than training


class Condition(NamedTuple):
    """Factors of the size of a world; 1 leaves it as it is.

    Attributes:
      users: a part of the users, or each user several times, with clicks of its own.
      clicks: of each user, at least one.
      epochs: of the training.
      history: the longest history that a user is described by.
    """

    users: float = 1.0
    clicks: float = 1.0
    epochs: float = 1.0
    history: float = 1.0


AS_IS = "as it is"
_QUARTERS = {
    AS_IS: Condition(),
    "users / 4": Condition(users=0.25),
    "clicks per user / 4": Condition(clicks=0.25),
    "epochs / 4": Condition(epochs=0.25),
    "users / 4, epochs x 4": Condition(users=0.25, epochs=4),
    "clicks per user / 4, epochs x 4": Condition(clicks=0.25, epochs=4),
}
CONDITIONS = _QUARTERS | {
    "users x 4": Condition(users=4),
    "clicks per user x 4": Condition(clicks=4),
    "epochs x 4": Condition(epochs=4),
    "users x 4, epochs / 4": Condition(users=4, epochs=0.25),
    "clicks per user x 4, epochs / 4": Condition(clicks=4, epochs=0.25),
    "clicks per user and history x 4": Condition(clicks=4, history=4),
}
DATASET_CONDITIONS = {"ml-1m": _QUARTERS}  # elsewhere all of them


def changed(world: World, condition: Condition, seed: int) -> World:
    """The world with its users and their clicks multiplied.

    Args:
      world: as it is.
      condition: the factors.
      seed: which part of the users is taken, where it is a part.
    """
    n = len(world.clicks)
    users = np.tile(np.arange(n), max(1, int(condition.users)))
    if condition.users < 1:
        order = np.random.default_rng([seed, n]).permutation(n)
        users = np.sort(order[: round(n * condition.users)])
    clicks = np.maximum(1, np.round(world.clicks * condition.clicks)).astype(np.int64)
    return World(world.relevance[users], world.popularity, clicks[users])


def least_squares(
    relevance: Float[ndarray, "u i"],
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, " i"],
) -> tuple[float, float]:
    """a and b of relevance = a logits + b log q + a constant of each user.

    Args:
      relevance: of the items for the users, [u, i].
      logits: of a model, [u, i].
      log_q: of the clicks it was trained on, [i].

    >>> logits, log_q = np.array([[1.0, 0, 2], [0, 3, 1]]), np.array([0.0, -1, -3])
    >>> relevance = 2 * logits + 3 * log_q + np.array([[5.0], [7.0]])
    >>> [round(value, 6) for value in least_squares(relevance, logits, log_q)]
    [2.0, 3.0]
    """
    prior = np.broadcast_to(log_q, logits.shape)
    y, x, z = (
        values - values.mean(axis=1, keepdims=True)
        for values in (relevance, logits, prior)
    )
    square = [[(x * x).sum(), (x * z).sum()], [(x * z).sum(), (z * z).sum()]]
    a, b = np.linalg.solve(square, [(x * y).sum(), (z * y).sum()])
    return float(a), float(b)


class Measured(NamedTuple):
    """What one trained model shows.

    Attributes:
      recovered: at each strength, and at the rule's last, [strength + 1].
      rule: the strength by the rule.
      fit: a and b of ``least_squares``, [2].
      clicks: how many it was trained on.
    """

    recovered: Float[ndarray, " s"]
    rule: float
    fit: tuple[float, float]
    clicks: int


def measured(
    world: World, condition: Condition, gamma: float, seed: int, options: StudyOptions
) -> Measured:
    """Draws the clicks of a condition, trains on them and judges every strength."""
    there = changed(world, condition, seed)
    fold, log_q, rule = drawn_clicks(there, gamma, seed)
    config = training(ARM, options, seed)
    config = dataclasses.replace(
        config,
        epochs=max(1, round(config.epochs * condition.epochs)),
        history=round(config.history * condition.history),
    )
    judged = slice(min(JUDGED, len(world.clicks), len(there.clicks)))
    logits = trained_logits(config, fold)[judged]
    relevance = there.relevance[judged]
    recovered = served(
        logits, np.array((*STRENGTHS, rule)), log_q, best_items(relevance)
    )
    fit = least_squares(relevance, logits, log_q)
    return Measured(recovered, rule, fit, len(fold.fitted.item))


def run_clicks(options: StudyOptions) -> Path:
    """Trains on each condition's clicks; returns the records.

    Arrays, over [condition, gamma, seed]: recovered [..., strength], the rule's
    strength the last one; rule; fit [..., 2]; clicks. And gammas, strengths.
    """
    world = learned_world(options)
    conditions = DATASET_CONDITIONS.get(options.dataset, CONDITIONS)
    found = []
    for name, condition in conditions.items():
        for gamma in GAMMAS:
            for seed in range(options.seeds):
                one = measured(world, condition, gamma, seed, options)
                best = STRENGTHS[int(np.argmax(one.recovered[:-1]))]
                options.progress(
                    f"{name}, gamma {gamma:g}, seed {seed}: best strength {best:.2f}, "
                    f"the rule's {one.rule:.2f}"
                )
                found.append(one)
    shape = len(conditions), len(GAMMAS), options.seeds
    cells = [one._asdict() for one in found]
    swept = {"gammas": GAMMAS, "strengths": STRENGTHS}
    return save_cells(options, NAME, cells, shape, swept, conditions=list(conditions))
