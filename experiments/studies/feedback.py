"""Does the rule for the strength hold where recommendations make the exposure?

In the study ``dial`` exposure is given, and the same for all users. Here it is made: a
model is trained without log q on the clicks of a round and served with a popularity
prior, and its lists decide what users see in the next round. Four policies, which
differ in the strength of the prior alone, start from the same round: none, half of log
q, all of it, and the rule's own, from each item's impressions. In every round a user
clicks, in proportion to relevance, on what the lists and a share of random places show.

    python -m experiments run feedback             about 12 minutes on 2 cores
    python -m experiments run feedback --quick     about 1 minute

Expect the rule's strength to fall once lists make the exposure.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.arms import arm
from experiments.studies import STUDIES
from experiments.studies.exposure import (
    CLICKS,
    GROUPS,
    ITEMS,
    RECIPE,
    TOP,
    USERS,
    best_items,
    recovered,
)
from experiments.study import SIMULATED, StudyOptions, save_study, write_report
from research.data.synthetic import (
    Synthetic,
    clicked_fold,
    make_synthetic,
    relevance,
)
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.intervals import Interval, over_seeds
from research.report.pages import (
    QUICK,
    interval_text,
    markdown_page,
    markdown_table,
    seeds_text,
)
from research.report.pictures import STYLE, Drawing, blank, legend_above
from research.report.predictions import statement_table
from research.report.records import Stored, load_stored, study_header
from research.train.loop import train

__all__ = ["report_feedback", "run_feedback"]

NAME, ARM = "feedback", "in-batch"
POLICIES = {"never": 0.0, "half": 0.5, "full": 1.0, "rule": np.nan}
COLOURS = dict(zip(POLICIES, ("#d55e00", "#e69f00", "#0072b2", "#000000")))
STARTS = (0.0, 1.0)  # Zipf exponents of the exposure of the first round
ROUNDS = 6
RANDOM = 0.2  # share of the places that show any item
STRENGTHS = tuple(np.round(np.arange(-0.5, 2.501, 0.1), 2))
TENTH = 0.1  # of the items, the most listed
# The prediction on the last round: the statement, a measure, the policies whose
# difference it is (or the one), and its range.
STATEMENTS = (
    ("full recovers more than rule", "recovered", ("full", "rule"), 0.0, np.inf),
    ("half recovers more than never", "recovered", ("half", "never"), 0.0, np.inf),
    ("the rule's strength is below 0.5", "rule", ("rule",), -np.inf, 0.5),
    ("lists are narrower with full than rule", "tenth", ("full", "rule"), 0.0, np.inf),
    ("at full the best strength is 0.8 to 1.4", "best", ("full",), 0.8, 1.4),
)


class Round(NamedTuple):
    """What a round of a loop shows.

    Attributes:
      recovered: share of each user's 20 most relevant items among the 20 listed.
      most: the same at the strength that recovers most.
      best: that strength.
      rule: the rule's strength.
      tenth: share of the list places that the most listed tenth of the items has.
    """

    recovered: float
    most: float
    best: float
    rule: float
    tenth: float


def draw_shown(
    liking: Float[ndarray, "u i"], shown: Float[ndarray, "u i"], each: int, seed: int
) -> Int[ndarray, "u n"]:
    """Clicks of each user, in proportion to exp(liking) times how often items show.

    Args:
      liking: log relevance, [u, i].
      shown: of each item to each user, [u, i].
      each: clicks a user, drawn with replacement.
      seed: of the draws.
    """
    weight = np.exp(liking - liking.max(axis=1, keepdims=True)) * shown
    upto = np.cumsum(weight, axis=1)
    draws = np.random.default_rng(seed).random((len(liking), each)) * upto[:, -1:]
    clicks = [np.searchsorted(row, at, "right") for row, at in zip(upto, draws)]
    return np.minimum(np.array(clicks), liking.shape[1] - 1)


def play_round(
    world: Synthetic, shown: Float[ndarray, "u i"], seed: int, epochs: int
) -> tuple[Float[ndarray, "u i"], Float[ndarray, " i"], float]:
    """Trains on the clicks of a round.

    Args:
      world: whose relevance makes the clicks.
      shown: of each item to each user, [u, i].
      seed: of the clicks and the training.
      epochs: of the training.

    Returns:
      the logits of all items, [u, i]; log q of the clicks, [i]; the rule's strength.
    """
    clicks = draw_shown(relevance(world), shown, CLICKS + 1, seed)
    fold = clicked_fold(world, clicks)
    changes: dict[str, Any] = RECIPE | {"seed": seed, "epochs": epochs}
    config = dataclasses.replace(arm(ARM), **changes)
    model = train(config, fold)
    logits = model.user_vectors @ model.item_vectors.T / config.temperature
    log_q = log_share(fold.fitted.item_counts).astype(float)
    rule = correction_strength(log_q, np.log(shown.mean(axis=0)))
    return logits.astype(float), log_q, rule


def play(
    world: Synthetic, policy: float, seed: int, rounds: int, epochs: int
) -> list[Round]:
    """One loop: each round's lists are what the next one's users see.

    Args:
      world: its exposure is that of the first round.
      policy: strength of the prior; NaN for the rule's, anew in each round.
      seed: of the first round; each round has its own.
      rounds: how many.
      epochs: of each training.
    """
    truth, out = best_items(relevance(world)), []
    shown = np.tile(np.exp(world.exposure), (len(truth), 1))
    for number in range(rounds):
        logits, log_q, rule = play_round(world, shown, 100 * seed + number, epochs)
        strength = rule if np.isnan(policy) else policy
        scores = logits + strength * log_q
        listed = best_items(scores)
        shares = [recovered(logits + s * log_q, truth) for s in STRENGTHS]
        places = np.sort(listed.sum(axis=0))[::-1]
        tenth = places[: round(TENTH * len(places))].sum() / places.sum()
        at = int(np.argmax(shares))
        found = recovered(scores, truth)
        out.append(Round(found, shares[at], STRENGTHS[at], rule, float(tenth)))
        shown = (1 - RANDOM) * listed / TOP + RANDOM / len(log_q)
    return out


def run_feedback(options: StudyOptions) -> Path:
    """Plays each policy's loop from each start; returns the records.

    Arrays [policy, start, seed, round], by the fields of ``Round``; starts.
    """
    rounds, epochs = (2, 2) if options.quick else (ROUNDS, RECIPE["epochs"])
    shape = len(POLICIES), len(STARTS), options.seeds, rounds, len(Round._fields)
    table = np.zeros(shape)
    for s, start in enumerate(STARTS):
        for seed in range(options.seeds):
            world = make_synthetic(USERS, ITEMS, GROUPS, exposure=start, seed=seed)
            for p, (name, policy) in enumerate(POLICIES.items()):
                table[p, s, seed] = play(world, policy, seed, rounds, epochs)
                last = Round(*table[p, s, seed, -1])
                options.progress(
                    f"start {start:g}, seed {seed}, {name}: {last.recovered:.3f} "
                    f"recovered in the last round, the rule's strength {last.rule:.2f}"
                )
    arrays = {name: table[..., n].astype("<f4") for n, name in enumerate(Round._fields)}
    return save_study(
        options.out,
        study_header(NAME, SIMULATED, options.quick, policies=list(POLICIES)),
        arrays | {"starts": np.array(STARTS, "<f4")},
    )


def feedback_frame(stored: Stored) -> pd.DataFrame:
    """One row per start, policy and round: each field's mean, _low and _high."""
    lines = []
    policies = stored.header["policies"]
    rounds = stored.arrays["rule"].shape[-1]
    for s, start in enumerate(stored.arrays["starts"].astype(float)):
        for p, policy in enumerate(policies):
            for number in range(rounds):
                line = {"start": start, "policy": policy, "round": number + 1}
                for name in Round._fields:
                    values = stored.arrays[name][p, s, :, number].astype(float)
                    line |= over_seeds(values).interval().columns(name)
                lines.append(line)
    return pd.DataFrame(lines)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    at = stored.header["policies"].index
    out = []
    for s, start in enumerate(stored.arrays["starts"].astype(float)):
        for text, name, policies, low, high in STATEMENTS:
            first, *others = (
                stored.arrays[name][at(policy), s, :, -1].astype(float)
                for policy in policies
            )
            values = first - others[0] if others else first
            ends: Interval = over_seeds(values).interval()
            measured = interval_text(*ends, "+.3f")
            out.append([f"start {start:g}: {text}", measured, ends.within(low, high)])
    return out


def feedback_page(frame: pd.DataFrame, stored: Stored) -> str:
    """The prediction, its verdicts, and each policy's rounds, in Markdown."""
    seeds = stored.arrays["rule"].shape[2]
    about = (
        f"Synthetic data, {USERS} users and {ITEMS} items, {seeds_text(seeds)}; "
        f"trained in each round: {ARM}, on {CLICKS} clicks of each user. Start: Zipf "
        f"exponent of the first round's exposure; later {1 - RANDOM:.0%} of what a "
        "user sees is the list of the round before, the rest any item. Recovered: "
        "share of each user's 20 most relevant items among the 20 listed; most: at "
        "the best strength of that round's model. Tenth: share of the list places "
        "that the most listed tenth of the items has. 95 % t intervals over seeds."
    )
    rows = [
        [
            f"{row['start']:g}",
            row["policy"],
            f"{row['round']}",
            interval_text(
                row["recovered"], row["recovered_low"], row["recovered_high"], ".3f"
            ),
            f"{row['most']:.3f}",
            *(f"{row[name]:.2f}" for name in ("best", "rule", "tenth")),
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["start", "policy", "round", "recovered [95 %]", "most", "best strength"]
    heads += ["rule's strength", "tenth"]
    return markdown_page(
        STUDIES[NAME].question,
        about,
        QUICK if stored.header["quick"] else "",
        f"Prediction: {STUDIES[NAME].prediction}",
        statement_table(verdicts(stored)),
        markdown_table(heads, rows, left=2),
    )


def feedback_figure(frame: pd.DataFrame) -> Drawing:
    """Draws what each policy recovers by round, a panel for each start."""
    starts = frame.start.unique()
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(3.6, ncols=len(starts), sharey=True, squeeze=False)
        for panel, start in zip(panels[0], starts, strict=True):
            part = frame[frame.start == start]
            for policy, line in part.groupby("policy", sort=False):
                style = {"color": COLOURS[str(policy)], "label": f"{policy}"}
                panel.plot(line["round"], line.recovered, marker="o", **style)
                ends = line.recovered_low, line.recovered_high
                panel.fill_between(
                    line["round"], *ends, color=style["color"], alpha=0.15, linewidth=0
                )
            panel.set_title(f"first round's exposure: Zipf exponent {start:g}")
            panel.set_xlabel("round")
            panel.set_ylabel("share of the truly best 20 listed")
        handles, _ = panels[0][0].get_legend_handles_labels()
        legend_above(figure, handles, heading(frame), len(POLICIES))
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """Which policy recovers most in the last round, if it is one at every start."""
    last = frame[frame["round"] == frame["round"].max()]
    ahead = last.loc[last.groupby("start").recovered.idxmax()].policy.unique()
    text = "Lists make the next round's exposure; strengths of log q when serving"
    if len(ahead) == 1:
        return f"{text}: '{ahead[0]}' has the highest mean after the last round"
    return text


def report_feedback(records: Path, out: Path) -> list[Path]:
    """Writes the study's table, page and figure under out from its records.

    Raises:
      InputError: no such file, or of another RECORDS_VERSION.
    """
    stored = load_stored(records)
    frame = feedback_frame(stored)
    texts = {".csv": frame, ".md": feedback_page(frame, stored)}
    return write_report(out, stored.header, texts, {"-rounds": feedback_figure(frame)})
