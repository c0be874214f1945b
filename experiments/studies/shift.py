"""Should log q be corrected if test items are drawn evenly from the catalogue?

The same interactions are split twice: at random, so that test items are as popular as
train items, and with test items drawn evenly from the catalogue (the shifted split of
IR-Benchmark [yang2024psl]). Matrix factorisation is trained on each with in-batch and
mixed negatives, without and with log q, and with all items as negatives; each model is
served with popularity priors from -1 to 1. A temperature and a learning rate are chosen
for each arm and split on a tenth of the training part; models are then trained on all
of it.

    python -m experiments run shift --dataset DIR/electronic           about 180 minutes
    python -m experiments run shift --quick --dataset DIR/electronic   about 3 minutes

The data set is a folder with the first split; the folder with the second one is beside
it and has -popularity after its name (docs/outside.md). A run that was finished is not
done again. On Amazon's Movies and TV (DIR/movie) a run takes five times as long:
--arms in-batch in-batch+logq --seeds 2 takes 130 minutes.

Expect the corrected models to be better at random, the uncorrected ones on the shift.
With temperatures up to 0.8 instead of 0.2, expect the uncorrected arms to choose 0.4
and the corrected ones 0.2 on both splits, and every difference between them to become
smaller without changing its sign: a larger temperature makes up for a part of the
correction. On Movies expect the same verdicts but one: popularity alone finds little
there (NDCG@20 0.014, item cosine 0.084), so that a prior of 1 is too much at random.

At the rate 0.01, the only one at first, 20 epochs end early: all items as negatives
have 0.009 on the shifted split of Electronics where the study outside, at 0.1 and after
up to 200 epochs, has 0.014, more than the 0.012 of in-batch negatives without log q.
With the rates 0.01 and 0.1, expect every arm to choose 0.1, the corrected ones the
temperature 0.2 and the uncorrected ones 0.4 or 0.8; every NDCG@20 to rise, and that of
the corrected arms by more on the shifted split; the same verdicts on both data sets,
that is, the uncorrected ones still better there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from experiments.arms import FACTORS
from experiments.grid import Sweep
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
from experiments.studies.split import ndcg_of, splits_of
from experiments.study import Report, StudyOptions, not_run, save_measured
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

NAME = "shift"
SWEEP: Sweep = {"temperature": (0.1, 0.2, 0.4, 0.8), "learning_rate": (0.01, 0.1)}
PRIORS = (-1.0, -0.5, 0.0, 0.5, 1.0)
CHANGES: dict[str, Any] = {**FACTORS, "table_scale": 1.0, "batch": 1024, "epochs": 20}


def run_shift(options: StudyOptions) -> Path:
    """Chooses each arm's values, trains every model, serves it under every prior.

    Returns:
      the records; an array of each split, ndcg_20 [arm, prior, user, seed], and the
      chosen temperature and learning_rate [arm].

    Raises:
      InputError: the data set is no folder that has its shifted split beside it, or a
        run failed.
    """
    study = STUDIES[NAME]
    splits = splits_of(study, options, CHANGES, dict.fromkeys(study.arms, SWEEP))
    arrays: dict[str, ndarray] = {"priors": np.array(PRIORS, "<f4")}
    for name, split in splits.items():
        chosen = split.chosen()
        users = [
            np.stack([ndcg_of(split.served(cell, PRIORS)) for cell in cells], axis=2)
            for cells in split.tested(chosen).values()
        ]
        arrays[f"{name}_ndcg_20"] = np.stack(users).astype("<f2")
        for field in SWEEP:
            values = [chosen[arm].swept[field] for arm in split.arms]
            arrays[f"{name}_{field}"] = np.array(values, "<f4")
    random, shifted = splits["random"], splits["shifted"]
    about = {"shifted_digest": shifted.digest, "arms": list(random.arms)}
    options = options._replace(dataset=str(random.path))
    return save_measured(options, NAME, arrays, **about)


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
            for prior in stored.axis("priors"):
                values = ndcg_of_users(stored, split, Served(arm, prior))
                mean, low, high = two_way(values).interval()
                line = {"split": split, "arm": arm, **chosen, "prior": prior}
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
        ends = (MORE, np.inf) if more else (-np.inf, -MORE)
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
    priors, rows = stored.axis("priors"), []
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
