"""What the study at-k shows: its tables, its figure, and verdicts on its prediction."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.at_k import SWEEPS
from experiments.studies.compared import (
    PANELS,
    SIDE_BY_SIDE,
    Pair,
    Served,
    compared_report,
    contrast_frame,
    draw_line,
    ndcg_of_users,
)
from experiments.study import Report, described
from research.contrast import MORE
from research.report.intervals import two_way
from research.report.pages import markdown_table
from research.report.pictures import (
    Drawing,
    blank,
    legend_above,
    looks,
    notes_below,
    styled,
)
from research.report.predictions import decided, statement
from research.report.records import Stored

SL, AT_K, STOPPED, WEAKER = SWEEPS
NAMES = {
    SL: "SL",
    AT_K: "SL@20",
    STOPPED: "SL@20, weight detached",
    WEAKER: "bilateral softmax",
}
LEVEL = 0.001  # the most that SL@20 is expected to lead by where both have their prior
OWN = "Large markers: the prior that validation prefers."
APART = 0.012  # of a strength, between arms whose lines would cover each other
POPULAR = (
    "A popularity prior when serving gives the softmax loss what the loss at K gains"
)

NOTE = (
    "Which pairs are compared was declared before the first run, those of bilateral "
    "softmax after the trials; which prior is an arm's own was chosen on validation."
)


def splits(stored: Stored) -> list[str]:
    """The splits that the records have."""
    return [split for split in PANELS if f"{split}_ndcg_20" in stored.arrays]


def own_prior(stored: Stored, split: str, arm: str) -> float:
    """The prior under which an arm has its highest NDCG@20 on validation.

    That closest to 0 where several are highest.
    """
    row = stored.arrays[f"{split}_validation"][stored.header["arms"].index(arm)]
    priors = stored.arrays["priors"][row == row.max()]
    return float(priors[np.argmin(np.abs(priors))])


def at_k_frame(stored: Stored) -> pd.DataFrame:
    """One row per split, arm and prior: NDCG@20 with its 95 % interval, and what else.

    train_count is the mean number of training clicks of a listed item; validation the
    NDCG@20 by which a prior is chosen.
    """
    lines = []
    for split in splits(stored):
        for a, arm in enumerate(stored.header["arms"]):
            for p, prior in enumerate(stored.axis("priors")):
                values = ndcg_of_users(stored, split, Served(arm, prior))
                mean, low, high = two_way(values).interval()
                counts = stored.arrays[f"{split}_train_count_20"][a, p]
                validation = stored.arrays[f"{split}_validation"][a, p]
                line = {"split": split, "arm": arm}
                line |= stored.content["chosen"][split][arm]
                line |= {"prior": prior, "ndcg": mean, "low": low, "high": high}
                line |= {"train_count": counts.mean(), "validation": validation}
                lines.append(line)
    return pd.DataFrame(lines)


def contrasts(stored: Stored) -> pd.DataFrame:
    """What the prediction compares and what explains it, a row each."""
    pairs = []
    for split in splits(stored):
        tuned = {arm: Served(arm, own_prior(stored, split, arm)) for arm in NAMES}
        asked = [
            (Served(AT_K), Served(SL)),
            (Served(AT_K), Served(STOPPED)),
            (Served(STOPPED), Served(SL)),
            (Served(WEAKER), Served(SL)),
            (Served(AT_K), Served(WEAKER)),
            (tuned[AT_K], tuned[SL]),
            (tuned[SL], Served(AT_K)),
            (tuned[SL], Served(SL)),
            (tuned[AT_K], Served(AT_K)),
        ]
        there: list[tuple[Served, Served]] = []
        for one, other in asked:  # an arm may prefer no prior: then some are alike
            if one != other and not {(one, other), (other, one)} & {*there}:
                there.append((one, other))
        pairs += [Pair(split, *pair) for pair in there]
    return contrast_frame(stored, pairs)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""

    def lead(one: Served, other: Served, split: str = "random") -> np.ndarray:
        first, second = (ndcg_of_users(stored, split, it) for it in (one, other))
        return first - second

    sl, at_k, stopped, weaker = map(Served, NAMES)
    whole = lead(at_k, sl)
    priors = {arm: own_prior(stored, "random", arm) for arm in (SL, AT_K)}
    tuned_sl, tuned_at_k = (Served(arm, prior) for arm, prior in priors.items())
    tuned = lead(tuned_at_k, tuned_sl)
    half = "random: half of the lead, less what is left of it without a gradient"
    shrinks = "random: the lead shrinks by validation's priors"
    with_priors = f"random: with them the lead is at most {LEVEL}"
    stated: list[tuple[str, ndarray, float, float]] = [
        ("random: SL@20 above SL", whole, MORE, np.inf),
        (shrinks, whole - tuned, MORE, np.inf),
        (with_priors, tuned, -np.inf, LEVEL),
        (half, whole / 2 - lead(stopped, sl), 0.0, np.inf),
        ("random: bilateral softmax above SL", lead(weaker, sl), MORE, np.inf),
        (
            f"random: SL@20 at most {LEVEL} above bilateral softmax",
            *(lead(at_k, weaker), -np.inf, LEVEL),
        ),
    ]
    if "shifted" in splits(stored):
        even = lead(at_k, sl, "shifted")
        stated.append(("shifted: SL@20 below SL", even, -np.inf, -MORE))
    rows = [
        statement(text, two_way(values).interval(), low, high, "+.4f")
        for text, values, low, high in stated
    ]
    text = "random: the prior of SL is above that of SL@20"
    values = f"{priors[SL]:g}, {priors[AT_K]:g}"
    rows.append(decided(text, values, priors[SL] > priors[AT_K]))
    clicks = {arm: _clicks(stored, arm) for arm in (SL, AT_K)}
    text = "random: training clicks of a listed item, more in SL@20 in every seed"
    values = f"{clicks[AT_K].mean():.0f}, SL {clicks[SL].mean():.0f}"
    more = bool((clicks[AT_K] > clicks[SL]).all())
    return [*rows, decided(text, values, more)]


def _clicks(stored: Stored, arm: str) -> Float[ndarray, " seed"]:
    """The mean number of training clicks of a listed item, without a prior."""
    none = stored.axis("priors").index(0.0)
    a = stored.header["arms"].index(arm)
    return stored.arrays["random_train_count_20"][a, none]


def at_k_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each arm under each prior, in Markdown."""
    priors, rows = stored.axis("priors"), []
    for (split, arm), lines in frame.groupby(["split", "arm"], sort=False):
        means = dict(zip(lines.prior, lines.ndcg, strict=True))
        counts = dict(zip(lines.prior, lines.train_count, strict=True))
        chosen = stored.content["chosen"][str(split)][str(arm)]
        values = ", ".join(f"{field} {value}" for field, value in chosen.items())
        best = own_prior(stored, str(split), str(arm))
        first = [str(split), f"`{arm}`", values, f"{counts[0.0]:.0f}", f"{best:g}"]
        rows.append([*first, *(f"{means[prior]:.4f}" for prior in priors)])
    seeds = stored.arrays["random_ndcg_20"].shape[3]
    heads = ["split", "arm", "chosen", "clicks", "own prior"]
    heads += [f"prior {prior:g}" for prior in priors]
    return (
        described(
            f"NDCG@20, {seeds} seeds, means over the users with a test item; 30 epochs "
            f"unless a number is named. SL is `{SL}`, SL@20 is `{AT_K}`; in "
            f"`{STOPPED}` its weight has no gradient.",
            {
                "chosen": "by validation on a tenth of the training part",
                "clicks": "mean training clicks of a listed item, without a prior",
                "own prior": "that of highest NDCG@20 on the same tenth",
            },
            "Intervals are 95 %, two-way over users and seeds.",
        ),
        markdown_table(heads, rows, left=3),
    )


@styled
def at_k_figure(frame: pd.DataFrame, stored: Stored, title: str) -> Drawing:
    """NDCG@20 by the popularity prior, a panel for each split.

    Args:
      frame: from ``at_k_frame``.
      stored: the records.
      title: the heading.
    """
    styles, there = looks(NAMES), splits(stored)
    aside = dict(zip(NAMES, APART * np.arange(len(NAMES)), strict=True))
    figure, panels = blank(3.9, ncols=len(there), squeeze=False)
    for axes, split in zip(panels[0], there, strict=True):
        for arm, line in frame[frame.split == split].groupby("arm", sort=False):
            place = line.prior + aside[str(arm)]
            own = line.prior == own_prior(stored, split, str(arm))
            look, name = styles[str(arm)], NAMES[str(arm)]
            draw_line(axes, place, line, own, look, name)
        axes.set(
            title=PANELS[split],
            xlabel="popularity prior when serving",
            ylabel="NDCG@20",
        )
    notes_below(figure, [OWN, SIDE_BY_SIDE])
    legend_above(figure, panels[0][0], title, 4)
    return Drawing(figure, frame)


def heading(rows: list[list[str]]) -> str:
    """What the statements on the random split show together; else the question."""
    first = [row[2] for row in rows[:3]]
    return POPULAR if first == ["holds"] * 3 else STUDIES["at-k"].question


def report_at_k(stored: Stored) -> Report:
    """The study's tables, page and figure."""
    frame = at_k_frame(stored)
    compared = contrasts(stored)
    page, judged = at_k_page(frame, stored), verdicts(stored)
    title = heading(judged)
    drawings = {"-priors": at_k_figure(frame, stored, title)}
    report = compared_report(stored, frame, page, compared, NOTE, drawings)
    lacking = ["test items drawn evenly (no such split here)"]
    lacking = [] if "shifted" in splits(stored) else lacking
    return report._replace(statements=judged, not_judged=lacking)
