"""What the study feedback shows: its table, figure, and verdicts on its prediction."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy import ndarray

from experiments.studies.exposure import CLICKS, ITEMS, USERS
from experiments.studies.feedback import ARM, KINDS, POLICIES, Kind, Round
from experiments.study import Report, described
from research.contrast import MORE
from research.report.colours import strength_ink
from research.report.intervals import Interval, over_seeds
from research.report.pages import (
    interval_frame,
    interval_text,
    markdown_table,
    number_text,
    seeds_text,
)
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

_INKS = (
    *(*map(strength_ink, (0.0, 0.5, 1.0)), "#000000", "#44aa99", "#cc6677"),
    *("#999933", "#b8860b"),
)
# The calibrated ones lie beside what they calibrate.
DRAWN = [name for name, policy in POLICIES.items() if not policy.calibrated]
COLOURS = dict(zip(DRAWN, _INKS))
TERMS = {
    "never, half, full, rule": "served with a popularity prior: none, half or all of "
    "log q, or the rule's strength",
    "shown": "negatives are drawn from what each user was shown, as many for each "
    "click as in a batch",
    "rate": "served with the log of each item's clicks per impression",
    "ips, ips-half": "each click is weighted by the inverse of how often its user was "
    "shown its item, or by the square root of that; served with all of log q",
    "calibrated, calibrated-rule, calibrated-rate": "full, rule and rate with the "
    "prior that suits the scale of the scores, from the clicks that a round holds out",
    "recovered": "share of each user's 20 most relevant items among the 20 listed",
    "most": "what is recovered at the best strength of that round's model",
    "tenth": "share of the list places that the most listed tenth of the items has",
}
Loops = tuple[tuple[str, str], ...]  # each by its kind and its policy


class Statement(NamedTuple):
    """A part of the prediction: a measure's sum after the last round, and its range.

    Attributes:
      text: what is stated.
      measure: a field of ``Round``.
      added: the loops whose measure is added.
      taken: those whose measure is taken off.
      low: end of the range.
      high: the other.
      first: whether it is of the first round instead of the last.
    """

    text: str
    measure: str
    added: Loops
    taken: Loops = ()
    low: float = 0.0
    high: float = np.inf
    first: bool = False


def _of_each(kind: str) -> tuple[Statement, ...]:
    """What is stated of every kind of loop."""
    ahead = "full", "calibrated-rule"
    if KINDS[kind].random >= 0.5:
        ahead = "calibrated-rule", "full"
    texts = {"recovered": "{} recovers more than {}"}
    texts["tenth"] = "lists are narrower with {} than {}"
    return tuple(
        Statement(
            f"{kind}: {texts[measure].format(more, less)}",
            *(measure, ((kind, more),), ((kind, less),)),
        )
        for measure, more, less in (
            ("recovered", "full", "rule"),
            ("recovered", "half", "never"),
            ("tenth", "full", "rule"),
            ("recovered", "shown", "full"),
            ("tenth", "full", "shown"),
            ("recovered", "full", "rate"),
            ("recovered", "full", "ips"),
            ("recovered", "ips-half", "ips"),
            ("recovered", "calibrated-rule", "rule"),
            ("recovered", "calibrated-rate", "rate"),
            ("recovered", *ahead),
        )
    )


def _of_a_start(kind: str) -> tuple[Statement, ...]:
    """What is stated beside it of the first two kinds."""
    return tuple(
        Statement(f"{kind}: {text}", measure, ((kind, policy),), (), low, high)
        for text, measure, policy, low, high in (
            ("the rule's strength is below 0.5", "rule", "rule", -np.inf, 0.5),
            ("at full the best strength is 0.8 to 1.4", "best", "full", 0.8, 1.4),
        )
    )


STATEMENTS = (
    *(statement for kind in KINDS for statement in _of_each(kind)),
    *_of_a_start("even start"),
    *_of_a_start("Zipf start"),
    Statement(
        "the rule's strength is higher with 50 % than with 5 % random places",
        "rule",
        (("50 % random", "rule"),),
        (("5 % random", "rule"),),
    ),
    Statement(
        "full gains more over rule with 5 % than with 50 % random places",
        "recovered",
        (("5 % random", "full"), ("50 % random", "rule")),
        (("5 % random", "rule"), ("50 % random", "full")),
    ),
    *(
        Statement(
            f"{kind}: at shown the best strength is -0.3 to 0.3",
            "best",
            ((kind, "shown"),),
            low=-0.3,
            high=0.3,
        )
        for kind in KINDS
    ),
    *(
        Statement(
            f"Zipf start, first round: {more} recovers {text}",
            "recovered",
            (("Zipf start", more),),
            (("Zipf start", less),),
            low,
            high,
            first=True,
        )
        for more, text, less, low, high in (
            ("rate", "0.1 or more above rule", "rule", 0.1, np.inf),
            ("rate", "within 0.03 of shown", "shown", -0.03, 0.03),
            ("ips", "within 0.03 of rate", "rate", -0.03, 0.03),
            ("calibrated-rate", "more than rate", "rate", MORE, np.inf),
        )
    ),
    *(
        Statement(
            f"{kind}: calibrated recovers within 0.03 of full",
            "recovered",
            ((kind, "calibrated"),),
            ((kind, "full"),),
            low=-0.03,
            high=0.03,
        )
        for kind in KINDS
    ),
    Statement(
        "full recovers more trained on all rounds than on its own",
        "recovered",
        (("all rounds", "full"),),
        (("Zipf start", "full"),),
    ),
)


def feedback_frame(stored: Stored) -> pd.DataFrame:
    """One row per kind, policy and round: each field's mean, _low and _high."""
    header, arrays = stored.header, stored.arrays
    found = {n: arrays[n].astype(float).transpose(1, 0, 3, 2) for n in Round._fields}
    rounds = range(1, 1 + arrays["rule"].shape[-1])
    loops = {"loop": header["kinds"], "policy": header["policies"]}
    return interval_frame(found, **loops, round=rounds)


def in_round(stored: Stored, number: int, measure: str, loops: Loops) -> ndarray:
    """Sum of a measure over loops in a round (from 0), by seed; 0 without a loop."""
    at, of = stored.header["policies"].index, stored.header["kinds"].index
    found = stored.arrays[measure][..., number].astype(float)
    return sum((found[at(policy), of(kind)] for kind, policy in loops), np.zeros(1))


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out, policies = [], set(stored.header["policies"])
    for text, measure, added, taken, low, high, first in STATEMENTS:
        if not {policy for _, policy in (*added, *taken)} <= policies:
            continue
        number = 0 if first else -1
        values = in_round(stored, number, measure, added)
        values = values - in_round(stored, number, measure, taken)
        out.append(statement(text, over_seeds(values).interval(), low, high))
    return out


def feedback_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each policy's rounds, in Markdown."""
    seeds = stored.arrays["rule"].shape[2]
    about = described(
        f"Synthetic data, {USERS} users and {ITEMS} items, {seeds_text(seeds)}. In "
        f"each round {ARM} is trained on {CLICKS} clicks of each user: those of the "
        "round, in one loop those of all rounds so far. The first round's exposure is "
        "the same for all users: the same for all items (even start), or Zipf's with "
        "the exponent 1 (all other loops). Later a user sees the list of the round "
        "before and, in 20 % of the places, random items; two loops have other shares.",
        TERMS,
        "Intervals are 95 % t intervals over seeds. The rounds between are in the CSV "
        "file beside this page.",
    )
    ends = frame["round"].isin((1, frame["round"].max()))
    rows = [
        [
            row["loop"],
            row["policy"],
            f"{row['round']}",
            interval_text(*Interval.of(row, "recovered"), ".3f"),
            f"{row['most']:.3f}",
            *(f"{row[name]:.2f}" for name in ("best", "rule", "tenth")),
            number_text(row["scale"], ".2f"),
        ]
        for row in frame[ends].to_dict("records")
    ]
    heads = ["loop", "policy", "round", "recovered [95 %]", "most", "best strength"]
    heads += ["rule's strength", "tenth", "scale"]
    return (
        about,
        markdown_table(heads, rows, left=2),
    )


@styled
def feedback_figure(frame: pd.DataFrame) -> Drawing:
    """Draws what each plain policy recovers by round, a panel for each kind of loop."""
    frame = frame[frame.policy.isin(DRAWN)]
    kinds = frame.loop.unique()
    figure, panels = blank(5.6, nrows=2, ncols=3, sharex=True, sharey=True)
    for panel, kind in itertools.zip_longest(panels.flat, kinds):
        if kind is None:
            panel.set_visible(False)
            continue
        part = frame[frame.loop == kind]
        for policy, line in part.groupby("policy", sort=False):
            style = {"color": COLOURS[str(policy)], "label": f"{policy}"}
            panel.plot(line["round"], line.recovered, marker="o", **style)
            ends = line.recovered_low, line.recovered_high
            panel.fill_between(
                line["round"], *ends, color=style["color"], alpha=0.15, linewidth=0
            )
        panel.set_title(title_of(KINDS[kind]))
        panel.tick_params(labelbottom=True)
        panel.set(xlabel="round", xticks=part["round"].unique())
    for row in panels:
        row[0].set_ylabel("share of the truly\nbest 20 listed")
    legend_above(figure, panels[0, 0], heading(frame), 4)
    return Drawing(figure, frame)


def title_of(kind: Kind) -> str:
    """A kind of loop in words.

    >>> title_of(Kind(1.0, random=0.05))
    'Zipf start, 5 % random'
    """
    start = "Zipf" if kind.start else "even"
    words = f"{start} start, {100 * kind.random:g} % random"
    return f"{words},\nclicks of all rounds" if kind.all_rounds else words


def heading(frame: pd.DataFrame) -> str:
    """What is drawn, and how often no policy is clearly above each at the end."""
    last = frame[frame["round"] == frame["round"].max()]
    highest = last.loc[last.groupby("loop").recovered.idxmax()].set_index("loop")
    reaches = last.recovered_high >= last.loop.map(highest.recovered_low)
    counts = last[reaches].policy.value_counts().items()
    return (
        "Lists make the next round's exposure. Highest at the end, or with an "
        "overlapping interval: "
        + ", ".join(f"'{policy}' in {count}" for policy, count in counts)
        + f" of {len(highest)} loops"
    )


def report_feedback(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = feedback_frame(stored)
    drawings = {"-rounds": feedback_figure(frame)}
    return Report(
        {".csv": frame}, feedback_page(frame, stored), drawings, verdicts(stored)
    )
