"""Does the rule for the strength hold where recommendations make the exposure?

In the study ``dial`` exposure is given, and the same for all users. Here it is made: a
model is trained without log q on the clicks of a round and served with a popularity
prior, and its lists decide what users see in the next round. Four policies, which
differ in the strength of the prior alone, start from the same round: none, half of log
q, all of it, and the rule's own, from each item's impressions. Two more take exposure
out by itself: pair by pair (the model's negatives are drawn from what each user was
shown, and it is served without a prior), and item by item (served with a prior of the
log of clicks per impression). Two weigh each click by the inverse of how often its user
was shown its item, or by the root of that. The last three are all of log q, the rule
and clicks per impression, calibrated on the clicks that a round holds out
(research/calibration.py). In every round a user clicks, in proportion to relevance, on
what the lists and a share of random places show.
Five kinds of loop differ in the first round's exposure, the share of random places, and
whether a model trains on the clicks of its own round or of all rounds so far.

    python -m experiments run feedback             about 70 minutes on 2 cores
    python -m experiments run feedback --quick     about 1 minute

Expect the rule's strength to fall once lists make the exposure.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.studies.exposure import (
    CLICKS,
    GROUPS,
    ITEMS,
    RECIPE,
    TOP,
    USERS,
    best_items,
    recipe,
    recovered,
)
from experiments.studies.feedback.shown import (
    SHOWN,
    WEIGHTED,
    shown_entry,
    weighted_kind,
)
from experiments.study import SIMULATED, StudyOptions, save_measured
from research.calibration import Calibration, NoScale, calibrate
from research.data.synthetic import Synthetic, clicked_fold, make_synthetic, relevance
from research.negatives import SOURCES
from research.negatives.strength import correction_strength
from research.positives import POSITIVES, log_share
from research.train.loop import train

NAME, ARM = "feedback", "in-batch"


class Policy(NamedTuple):
    """What a loop does about popularity.

    Attributes:
      strength: of the popularity prior that lists are served with; NaN for the rule's.
      shown: whether negatives are drawn from what each user was shown, as many as the
        batch would give, instead of from the batch.
      rate: whether the log of an item's share of what was shown is taken off: with the
        strength 1 the prior is the log of its clicks per impression, up to a constant.
      ips: power of the weights of clicks by how rarely their item was shown to their
        user.
      calibrated: whether the prior is the one that suits the scale of the scores, by
        the held-out clicks.
    """

    strength: float
    shown: bool = False
    rate: bool = False
    ips: float = 0.0
    calibrated: bool = False


POLICIES = {
    "never": Policy(0.0),
    "half": Policy(0.5),
    "full": Policy(1.0),
    "rule": Policy(np.nan),
    "shown": Policy(0.0, shown=True),
    "rate": Policy(1.0, rate=True),
    "ips": Policy(1.0, ips=1.0),
    "ips-half": Policy(1.0, ips=0.5),
    "calibrated": Policy(1.0, calibrated=True),
    "calibrated-rule": Policy(np.nan, calibrated=True),
    "calibrated-rate": Policy(1.0, rate=True, calibrated=True),
}
ROUNDS = 6
STRENGTHS = tuple(np.round(np.arange(-0.5, 2.501, 0.1), 2))
TENTH = 0.1  # of the items, the most listed


class Kind(NamedTuple):
    """A kind of loop.

    Attributes:
      start: Zipf exponent of the first round's exposure.
      random: share of the places of later rounds that show any item.
      all_rounds: whether a model trains on the clicks of all rounds so far, and the
        rule has their impressions, instead of those of its own round.
    """

    start: float
    random: float = 0.2
    all_rounds: bool = False


KINDS = {
    "even start": Kind(0.0),
    "Zipf start": Kind(1.0),
    "5 % random": Kind(1.0, random=0.05),
    "50 % random": Kind(1.0, random=0.5),
    "all rounds": Kind(1.0, all_rounds=True),
}


class Round(NamedTuple):
    """What a round of a loop shows.

    Attributes:
      recovered: share of each user's 20 most relevant items among the 20 listed.
      most: the same at the strength that recovers most.
      best: that strength.
      rule: the rule's strength.
      tenth: share of the list places that the most listed tenth of the items has.
      scale: of the scores, where the policy is calibrated; NaN elsewhere, and where no
        scale above 0 fits, so that it serves as if uncalibrated.
    """

    recovered: float
    most: float
    best: float
    rule: float
    tenth: float
    scale: float


def draw_shown(
    liking: Float[ndarray, "u i"], shown: Float[ndarray, "u i"], each: int, seed: int
) -> Int[ndarray, "u n"]:
    """Clicks of each user, in proportion to exp(liking) times how often items show.

    Args:
      liking: log relevance, [u, i].
      shown: of each item to each user, [u, i].
      each: clicks per user, drawn with replacement.
      seed: of the draws.
    """
    weight = np.exp(liking - liking.max(axis=1, keepdims=True)) * shown
    upto = np.cumsum(weight, axis=1)
    draws = np.random.default_rng(seed).random((len(liking), each)) * upto[:, -1:]
    clicks = [np.searchsorted(row, at, "right") for row, at in zip(upto, draws)]
    return np.minimum(np.array(clicks), liking.shape[1] - 1)


class Trained(NamedTuple):
    """A model of a round, with what its users were shown and clicked.

    Attributes:
      logits: of all items, [u, i].
      log_q: of the clicks that it was trained on, [i].
      log_shown: log of each item's share of what was shown, [i].
      rule: the rule's strength.
      held: the user and the item of each held-out click, [2, c].
    """

    logits: Float[ndarray, "u i"]
    log_q: Float[ndarray, " i"]
    log_shown: Float[ndarray, " i"]
    rule: float
    held: Int[ndarray, "2 c"]


def train_round(
    world: Synthetic,
    clicks: Int[ndarray, "u n"],
    shown: Float[ndarray, "u i"],
    seed: int,
    epochs: int,
    from_shown: bool = False,
    ips: float = 0.0,
) -> Trained:
    """Trains on clicks.

    Args:
      world: whose relevance made the clicks.
      clicks: of each user, in the order of time; the last is held out.
      shown: of each item to each user, [u, i].
      seed: of the training.
      epochs: of the training.
      from_shown: whether negatives are drawn from what each user was shown.
      ips: power of the clicks' weights.
    """
    fold = clicked_fold(world, clicks)
    changes: dict[str, Any] = {}
    with ExitStack() as registered:
        if from_shown:
            changes["negatives"] = (f"{SHOWN}:{RECIPE['batch'] - 1}",)
            registered.enter_context(
                SOURCES.added(SHOWN, shown_entry(shown), alike=True)
            )
        if ips:
            changes["positives"] = WEIGHTED
            kind = weighted_kind(shown, ips)
            registered.enter_context(POSITIVES.added(WEIGHTED, kind, alike=True))
        config = dataclasses.replace(recipe(ARM, seed, epochs), **changes)
        model = train(config, fold)
    logits = model.user_vectors @ model.item_vectors.T / config.temperature
    log_q = log_share(fold.fitted.item_counts).astype(float)
    log_shown = np.log(shown.mean(axis=0))
    rule = correction_strength(log_q, log_shown)
    held = np.stack([fold.held_user, fold.held_item])
    return Trained(logits.astype(float), log_q, log_shown, rule, held)


def serve_round(
    model: Trained, policy: Policy, truth: ndarray
) -> tuple[Round, ndarray]:
    """What lists with a policy's prior show, and which items they hold, [u, i].

    Args:
      model: of the round.
      policy: whose prior.
      truth: whether an item is among each user's 20 most relevant, [u, i].
    """
    logits, log_q, log_shown, rule, _ = model
    strength = rule if np.isnan(policy.strength) else policy.strength
    prior, per_impression, scale = strength, float(policy.rate), np.nan
    if policy.calibrated and (fit := fitted(model)):
        prior, scale = fit.by_rule(strength).prior, fit.scale
        per_impression /= scale
    scores = logits + prior * log_q - per_impression * log_shown
    listed = best_items(scores)
    shares = [recovered(logits + s * log_q, truth) for s in STRENGTHS]
    places = np.sort(listed.sum(axis=0))[::-1]
    tenth = places[: round(TENTH * len(places))].sum() / places.sum()
    at, found = int(np.argmax(shares)), recovered(scores, truth)
    best = shares[at], STRENGTHS[at]
    return Round(found, *best, rule, float(tenth), scale), listed


def fitted(model: Trained) -> Calibration | None:
    """The calibration that held-out clicks give a model; None if no scale fits."""
    try:
        return calibrate(model.logits, model.log_q, *model.held)
    except NoScale:
        return None


def play(
    world: Synthetic,
    kind: Kind,
    policies: Sequence[Policy],
    seed: int,
    rounds: int,
    epochs: int,
) -> list[list[Round]]:
    """A loop for each policy; they have the first round's clicks in common.

    Those with the same negatives and weights have its model in common, too.

    Args:
      world: its exposure is that of the first round.
      kind: of the loops.
      policies: one per loop; the rule's strength is computed anew in each round.
      seed: of the first round; each round has its own.
      rounds: how many.
      epochs: of each training.
    """
    liking = relevance(world)
    truth, each = best_items(liking), CLICKS + 1
    start = np.tile(np.exp(world.exposure), (len(truth), 1))
    start /= start.sum(axis=1, keepdims=True)
    first = draw_shown(liking, start, each, 100 * seed)
    models = {
        way: train_round(world, first, start, 100 * seed, epochs, *way)
        for way in sorted({(policy.shown, policy.ips) for policy in policies})
    }
    loops = []
    for policy in policies:
        found, listed = serve_round(models[policy.shown, policy.ips], policy, truth)
        loop, clicks, shown = [found], first, start
        for number in range(1, rounds):
            now = (1 - kind.random) * listed / TOP + kind.random / truth.shape[1]
            clicked = draw_shown(liking, now, each, 100 * seed + number)
            if kind.all_rounds:
                clicks = np.concatenate([clicks, clicked], axis=1)
                shown = (number * shown + now) / (number + 1)
            else:
                clicks, shown = clicked, now
            own = 100 * seed + number
            later = train_round(
                world, clicks, shown, own, epochs, policy.shown, policy.ips
            )
            found, listed = serve_round(later, policy, truth)
            loop.append(found)
        loops.append(loop)
    return loops


def run_feedback(options: StudyOptions) -> Path:
    """Plays each policy's loop of each kind; returns the records.

    Arrays [policy, kind, seed, round], by the fields of ``Round``.
    """
    rounds, epochs = (2, 2) if options.quick else (ROUNDS, RECIPE["epochs"])
    policies = {name: POLICIES[name] for name in options.arms or POLICIES}
    shape = len(policies), len(KINDS), options.seeds, rounds, len(Round._fields)
    table = np.zeros(shape)
    for k, (name, kind) in enumerate(KINDS.items()):
        for seed in range(options.seeds):
            world = make_synthetic(USERS, ITEMS, GROUPS, exposure=kind.start, seed=seed)
            loops = play(world, kind, [*policies.values()], seed, rounds, epochs)
            table[:, k, seed] = loops
            last = ", ".join(
                f"{policy} {loop[-1].recovered:.3f}"
                for policy, loop in zip(policies, loops, strict=True)
            )
            options.progress(
                f"{name}, seed {seed}: recovered in the last round: {last}"
            )
    arrays = {name: table[..., n].astype("<f4") for n, name in enumerate(Round._fields)}
    names = {"policies": list(policies), "kinds": list(KINDS)}
    return save_measured(options._replace(dataset=SIMULATED), NAME, arrays, **names)
