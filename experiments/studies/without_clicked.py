"""Does the rule of the strength hold for lists without what a user has clicked?

The study ``semisynthetic`` judges lists of all items, in which those that a user has
clicked come first: the model has seen these clicks. But most recommenders leave them
out. Here the same models, trained without and with log q in the loss on clicks drawn
anew, are judged by both kinds of lists: the share of the 20 most relevant items among
the 20 recommended, of all items and of those that the user has not clicked. Held-out
clicks, which are such items too, calibrate each model (research/calibration.py). Items
that got no click at all are in no list.

    python -m experiments run without-clicked            about 5 minutes on 2 cores
    python -m experiments run without-clicked --quick    about 1 minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 20 minutes.
Expect on MovieLens 100K: without the clicked items the best strength is lower where
exposure follows popularity; the calibrated rule recovers nearly as much as it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.calibration import fitted_on_held, without_clicked
from experiments.studies.dial.report import nearest_best
from experiments.studies.exposure import best_items
from experiments.studies.impressions import JUDGED
from experiments.studies.semisynthetic import (
    GAMMAS,
    SWEPT,
    Clicks,
    drawn_clicks,
    learned_world,
    served,
    trained_logits,
    training,
)
from experiments.study import (
    OVER_SEEDS,
    Report,
    StudyOptions,
    described,
    not_run,
    save_cells,
)
from research.calibration import Calibration, NoScale
from research.contrast import MORE
from research.report.colours import BEST, CALIBRATED, FULL, PLAIN, Ink, with_band
from research.report.intervals import over_seeds
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

NAME = "without-clicked"
STRENGTHS = np.round(np.arange(-0.5, 6.01, 0.1), 2)
LISTS = ("all", "left_out")  # of all items; of those that the user has not clicked
NEARER, NEAR, LESS = 0.2, 0.3, 0.02
# The prediction, without the clicked items: the statement, what it is about, its range.
STATEMENTS = (
    (
        f"the best strength is nearer to the rule's, by {NEARER:g}",
        *("nearer", NEARER, np.inf, "+.2f"),
    ),
    (
        f"it is within {NEAR:g} of the calibrated rule's",
        *("off", -NEAR, NEAR, "+.2f"),
    ),
    (
        f"the calibrated rule recovers at most {LESS:g} less than the best",
        *("short", -np.inf, LESS, "+.3f"),
    ),
    (
        "the calibrated rule recovers more than the rule",
        *("adds", MORE, np.inf, "+.3f"),
    ),
)


def run_without_clicked(options: StudyOptions) -> Path:
    """Trains each arm on each exposure's clicks; returns the records.

    Arrays: those of ``by_lists``, the rule's strength and scale, of the scores by
    held-out clicks [arm, gamma, seed], with a last axis of strengths where every one is
    tried; gammas, strengths. A quick run has two exposures.
    """
    world = learned_world(options)
    relevance = world.relevance[:JUDGED]
    arms = options.arms or SWEPT
    gammas = GAMMAS[::3] if options.quick else GAMMAS
    cells = []
    for name, gamma, seed in (
        (name, gamma, seed)
        for name in arms
        for gamma in gammas
        for seed in range(options.seeds)
    ):
        clicks = drawn_clicks(world, gamma, seed)
        config = training(name, options, seed)
        logits = trained_logits(config, clicks.fold)[:JUDGED]
        cells.append(by_lists(logits, config.logq, clicks, relevance))
        best = STRENGTHS[[int(cells[-1][each].argmax()) for each in LISTS]]
        options.progress(
            f"{name}, gamma {gamma:g}, seed {seed}: the rule's {clicks.rule:.2f}, "
            f"calibrated {cells[-1]['calibrated']:.2f}, best {best[0]:.1f}, without "
            f"clicked items {best[1]:.1f}"
        )
    shape = len(arms), len(gammas), options.seeds
    swept = {"gammas": gammas, "strengths": STRENGTHS.tolist()}
    return save_cells(options, NAME, cells, shape, swept, arms=[*arms])


def by_lists(
    logits: Float[ndarray, "u i"],
    in_loss: float,
    clicks: Clicks,
    relevance: Float[ndarray, "u i"],
) -> dict[str, ndarray]:
    """What a model recovers by both kinds of lists, and the strengths to serve with.

    Args:
      logits: of a model trained on the clicks, of the first users, [u, i].
      in_loss: strength of log q in its loss.
      clicks: that it was trained on.
      relevance: of all items for these users, [u, i].

    Returns:
      rule, calibrated (the rule's, calibrated) and scale; of each of LISTS what is
      recovered at each of STRENGTHS [strength], and NAME_rule and NAME_calibrated. NaN
      where the clicks fit no scale.
    """
    listed = clicks.fold.fitted.item_counts > 0
    logits = np.where(listed, logits, -np.inf).astype(logits.dtype)
    left = without_clicked(logits, clicks.fold)
    try:
        fit = fitted_on_held(left, clicks.fold)
    except NoScale:
        fit = Calibration(np.nan, np.nan)
    totals = np.array(
        [*STRENGTHS, clicks.rule, fit.by_rule(clicks.rule).prior + in_loss]
    )
    found = {"rule": totals[-2], "calibrated": totals[-1], "scale": fit.scale}
    wanted = relevance, without_clicked(relevance, clicks.fold)
    for name, shown, relevant in zip(LISTS, (logits, left), wanted, strict=True):
        shares, known = np.full(len(totals), np.nan), ~np.isnan(totals)
        priors = totals[known] - in_loss
        shares[known] = served(shown, priors, clicks.log_q, best_items(relevant))
        found |= {name: shares[:-2], f"{name}_rule": shares[-2]}
        found[f"{name}_calibrated"] = shares[-1]
    return {name: np.array(values) for name, values in found.items()}


def measured(stored: Stored) -> dict[str, Float[ndarray, "a g s"]]:
    """What is shown and stated, by arm, gamma and seed.

    rule, calibrated and scale; of each of LISTS the best strength (NAME_best), what is
    recovered there (NAME_at_best), at the rule's (NAME_rule) and the calibrated rule's
    (NAME_calibrated); nearer, by how much the best strength is nearer to the rule's
    where clicked items are left out; off, that one less the calibrated rule's; short,
    what the calibrated rule then recovers less than the best; adds, what it adds to the
    rule.
    """
    arrays = stored.floats()
    strengths, rule = np.round(arrays["strengths"], 2), arrays["rule"]
    found = {name: arrays[name] for name in ("rule", "calibrated", "scale")}
    for name in LISTS:
        shares = arrays[name]
        found[f"{name}_best"] = nearest_best(shares, strengths, rule)
        found[f"{name}_at_best"] = shares.max(axis=-1)
        for how in ("rule", "calibrated"):
            found[f"{name}_{how}"] = arrays[f"{name}_{how}"]
    far, near = (np.abs(found[f"{name}_best"] - rule) for name in LISTS)
    found["nearer"] = far - near
    found["off"] = found["left_out_best"] - found["calibrated"]
    found["short"] = found["left_out_at_best"] - found["left_out_calibrated"]
    found["adds"] = found["left_out_calibrated"] - found["left_out_rule"]
    return found


def without_clicked_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm and gamma: means of what is measured, with _low and _high."""
    gammas = stored.arrays["gammas"]
    return interval_frame(measured(stored), arm=stored.header["arms"], gamma=gammas)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict.

    Undecided where the best strength is the largest tried in some seed, so that a
    larger one may be better.
    """
    found, rows = measured(stored), []
    at_end = np.array(
        [np.isclose(found[f"{name}_best"], STRENGTHS[-1]) for name in LISTS]
    )
    for a, name in enumerate(stored.header["arms"]):
        for g, gamma in enumerate(stored.axis("gammas")):
            for text, what, low, high, form in STATEMENTS:
                row = f"{name}, gamma {gamma:g}: {text}"
                judged = at_end if what == "nearer" else at_end[1:]
                seeds = int(judged[:, a, g].any(axis=0).sum())
                if seeds and what != "adds":
                    n = stored.arrays["rule"].shape[2]
                    lacking = f"the best is the largest tried in {seeds} of {n} seeds"
                    rows.append([row, lacking, "undecided"])
                    continue
                ends = over_seeds(found[what][a, g]).interval()
                rows.append(statement(row, ends, low, high, form))
    return rows


def without_clicked_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per arm and gamma."""
    least, most = STRENGTHS[[0, -1]]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(stored.arrays['rule'].shape[2])}. "
        "Relevance is the logits of a full softmax trained on the real clicks, an "
        "item's exposure its click share to the power gamma. Strengths are totals: log "
        "q in the loss and the popularity prior. Items without a click are in no list. "
        f"The first {JUDGED:,} users are judged, the tastes are those of one model.",
        {
            "left out": "lists and relevant items without those that the user clicked",
            "best": f"of the strengths from {least:g} to {most:g}, the one that "
            "recovers the largest share of each user's 20 most relevant items, by seed",
            "calibrated": "the rule's strength by the scale and share that held-out "
            "clicks fit",
        },
        f"Strengths are tried {STRENGTHS[1] - STRENGTHS[0]:.1f} apart, so that an "
        f"interval of width 0 says only that all seeds have the same. {OVER_SEEDS}",
    )
    columns = [
        ("the rule's strength", "rule", ".2f"),
        ("the calibrated rule's", "calibrated", ".2f"),
        ("best", "all_best", ".2f"),
        ("best, left out", "left_out_best", ".2f"),
        ("recovered at the best", "all_at_best", ".3f"),
        ("by the rule", "all_rule", ".3f"),
        ("by the calibrated rule", "all_calibrated", ".3f"),
        ("left out: recovered at the best", "left_out_at_best", ".3f"),
        ("by the rule", "left_out_rule", ".3f"),
        ("by the calibrated rule", "left_out_calibrated", ".3f"),
    ]
    return about, interval_table(frame, {"arm": "", "gamma": "g"}, columns, left=1)


LINES = {
    "all_best": ("best, all items listed", Ink("#cc6677")),
    "left_out_best": ("best, clicked items left out", BEST),
    "calibrated": ("rule, calibrated", CALIBRATED),
    "rule": ("rule", FULL),
}


@styled
def without_clicked_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the strengths by exposure, a panel for each arm."""
    arms = [*dict.fromkeys(frame.arm)]
    figure, panels = blank(3.6, ncols=len(arms), squeeze=False, sharey=True)
    for name, panel in zip(arms, panels[0], strict=True):
        rows = frame[frame.arm == name]
        for column, (label, ink) in LINES.items():
            style = {"color": ink.colour, "linestyle": ink.style, "marker": "o"}
            panel.plot(rows.gamma, rows[column], label=label, **style)
            ends = rows[f"{column}_low"], rows[f"{column}_high"]
            panel.fill_between(rows.gamma, *ends, color=ink.colour, alpha=0.15, lw=0)
        panel.axhline(0, color=PLAIN.colour, lw=0.8)
        panel.set(title=name, xlabel="exposure is popularity to this power")
    panels[0][0].set_ylabel("total strength of log q")
    legend_above(figure, with_band(panels[0][0]), heading(frame), 3)
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """How far leaving out clicked items moves the best strength, and what it costs."""
    moved = frame.left_out_best - frame.all_best
    return (
        f"Leaving out clicked items moves the best strength by {moved.min():+.2f} to "
        f"{moved.max():+.2f}.\nThe calibrated rule then recovers at most "
        f"{frame.short.max():.3f} less than the best tried"
    )


def report_without_clicked(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = without_clicked_frame(stored)
    return Report(
        {".csv": frame},
        without_clicked_page(frame, stored),
        {"-strengths": without_clicked_figure(frame)},
        verdicts(stored),
        not_run(SWEPT, stored.header["arms"]),
    )
