"""What the study shift shows: its table, and verdicts on its prediction."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.studies import STUDIES
from experiments.studies.compared import (
    PANELS,
    SIDE_BY_SIDE,
    Pair,
    Served,
    compared_report,
    contrast_frame,
    difference,
    draw_line,
    ndcg_of_users,
)
from experiments.study import Report, not_run
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

__all__ = ["report_shift"]

# (corrected, uncorrected): the first is predicted to be better at random, the second
# on the shifted split.
PAIRS = (("in-batch+logq", "in-batch"), ("mixed+logq", "mixed"))
SPLITS = ("random", "shifted")
CHOSEN = {"temperature": "temperature", "learning_rate": "rate"}  # of each arm
SWEPT = "in-batch"  # the model whose best prior is predicted
# half of log q served, all of it learned
HALF = Served(SWEPT, 0.5), Served("in-batch+logq")
NOTE = (
    "The rows of `in-batch prior 0.5` were added after the models had been compared, "
    "the others before the first run."
)
BEST = {"random": (0.5, 1.0), "shifted": (-1.0, 0.0)}  # ends of the best prior


def shift_frame(stored: Stored) -> pd.DataFrame:
    """One row per split, arm and prior: mean NDCG@20, the ends of its 95 % interval."""
    lines = []
    for split in SPLITS:
        for a, arm in enumerate(stored.header["arms"]):
            chosen = {f: float(stored.arrays[f"{split}_{f}"][a]) for f in CHOSEN}
            for prior in stored.arrays["priors"]:
                values = ndcg_of_users(stored, split, Served(arm, float(prior)))
                mean, low, high = two_way(values).interval()
                line = {"split": split, "arm": arm, **chosen, "prior": float(prior)}
                lines.append({**line, "ndcg": mean, "low": low, "high": high})
    return pd.DataFrame(lines)


def contrasts(stored: Stored) -> pd.DataFrame:
    """What the prediction is about, a row each.

    HALF was added after the models had been compared.
    """
    pairs = [(Served(one), Served(other)) for one, other in _pairs(stored)]
    if SWEPT in stored.header["arms"]:
        pairs.append((Served(SWEPT, 1.0), Served(SWEPT)))
    if {served.arm for served in HALF} <= set(stored.header["arms"]):
        pairs.append(HALF)
    return contrast_frame(stored, [Pair(s, *pair) for s in SPLITS for pair in pairs])


def _pairs(stored: Stored) -> list[tuple[str, str]]:
    """The pairs whose arms are there."""
    return [pair for pair in PAIRS if set(pair) <= set(stored.header["arms"])]


def verdicts(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    for split in SPLITS:
        more = split == "random"
        ends = (0.0, np.inf) if more else (-np.inf, 0.0)
        for corrected, plain in _pairs(stored):
            pair = Pair(split, Served(corrected), Served(plain))
            found = difference(stored, pair).interval()
            word = "above" if more else "below"
            text = f"{split}: {corrected} {word} {plain}"
            out.append(statement(text, found, *ends, "+.4f"))
        if SWEPT not in stored.header["arms"]:
            continue
        pair = Pair(split, Served(SWEPT, 1.0), Served(SWEPT))
        found = difference(stored, pair).interval()
        word = "gains" if more else "loses"
        text = f"{split}: {SWEPT} {word} by a prior of 1"
        out.append(statement(text, found, *ends, "+.4f"))
        rows = frame[(frame.split == split) & (frame.arm == SWEPT)]
        best = float(rows.prior[rows.ndcg.idxmax()])
        low, high = BEST[split]
        text = f"{split}: the best prior of {SWEPT} is {low:g} to {high:g}"
        out.append(decided(text, f"{best:g}", low <= best <= high))
    return out


def shift_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each arm under each prior, in Markdown."""
    priors = [float(prior) for prior in stored.arrays["priors"]]
    rows = []
    for (split, arm), lines in frame.groupby(["split", "arm"], sort=False):
        means = dict(zip(lines.prior, lines.ndcg, strict=True))
        chosen = (f"{lines[field].iloc[0]:g}" for field in CHOSEN)
        first = [str(split), str(arm), *chosen]
        rows.append([*first, *(f"{means[prior]:.4f}" for prior in priors)])
    seeds = stored.arrays["random_ndcg_20"].shape[3]
    heads = ["split", "arm", *CHOSEN.values(), *(f"prior {p:g}" for p in priors)]
    return (
        f"NDCG@20, {seeds} seeds, means over the users with a test item. The prior is "
        "the strength of the popularity prior when serving. Temperature and learning "
        "rate were chosen on a tenth of the training part. Intervals are 95 %, two-way "
        "over users and seeds.",
        markdown_table(heads, rows, left=2),
    )


HELPS_AND_HARMS = (
    "Without a prior, log q in the loss raises NDCG@20 where test items are as popular "
    "as train items, and lowers it where they are drawn evenly"
)
BARE = "Large markers: no popularity prior when serving."
APART = 0.03  # of a strength, between arms whose lines would cover each other


@styled
def shift_figure(frame: pd.DataFrame, compared: pd.DataFrame) -> Drawing:
    """NDCG@20 by the total strength of log q, a panel for each split.

    The total is 1 with log q in the loss or all items as negatives, else 0, plus the
    prior. The heading says what the contrasts of the pairs show, if they all do.

    Args:
      frame: from ``shift_frame``.
      compared: from ``contrasts``.
    """
    plain = {uncorrected for _, uncorrected in PAIRS}
    points = frame.assign(total=frame.prior + ~frame.arm.isin(plain))
    pairs = compared[~compared.arm.str.contains("prior")]
    shown = {*zip(pairs.split, pairs.verdict, strict=True)}
    expected = {("random", "better"), ("shifted", "worse")}
    title = HELPS_AND_HARMS if shown == expected else STUDIES["shift"].question
    styles = looks(points.arm)
    places = {str(arm): place for place, arm in enumerate(points.arm.unique())}
    figure, panels = blank(3.9, ncols=2)
    for axes, (split, name) in zip(panels, PANELS.items(), strict=True):
        for arm, line in points[points.split == split].groupby("arm", sort=False):
            place = line.total + APART * (places[str(arm)] - (len(places) - 1) / 2)
            bare = line.prior == 0
            draw_line(axes, place, line, bare, styles[str(arm)], str(arm))
        axes.set(title=name, xlabel="total strength of log q", ylabel="NDCG@20")
        axes.set_ylim(bottom=0)
    notes_below(figure, [BARE, SIDE_BY_SIDE])
    legend_above(figure, panels[0], title, 5)
    return Drawing(figure, points)


def report_shift(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = shift_frame(stored)
    compared = contrasts(stored)
    page = shift_page(frame, stored)
    drawings = {"-curves": shift_figure(frame, compared)}
    report = compared_report(stored, frame, page, compared, NOTE, drawings)
    lacking = not_run((arm for arm, _ in PAIRS), stored.header["arms"])
    return report._replace(statements=verdicts(frame, stored), not_judged=lacking)
