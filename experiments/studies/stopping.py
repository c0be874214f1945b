"""Does the epoch that held-out clicks choose bring the best strength to the rule's?

The study ``semisynthetic`` trains for a fixed number of epochs, and ``clicks`` found
that their number moves the best strength of the correction. In practice validation
chooses the epoch. Here a model is trained without log q on clicks drawn anew. After
each epoch it is judged twice: by the recall@20 of one held-out click of each user, with
the full correction when serving, and, at every total strength, by the share of each
user's 20 most relevant items among the 20 recommended.

    python -m experiments run stopping             about 10 minutes on 2 cores
    python -m experiments run stopping --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes half an hour.
Expect held-out clicks to choose the 3rd to 5th epoch on MovieLens 100K.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.dial.report import nearest_best
from experiments.studies.exposure import TOP, best_items
from experiments.studies.semisynthetic import (
    World,
    drawn_clicks,
    learned_world,
    served,
    training,
)
from experiments.studies.totals.report import mark_chosen
from experiments.study import (
    OVER_SEEDS,
    Report,
    StudyOptions,
    described,
    save_cells,
)
from research.report.colours import exposure_ink, with_band
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored
from research.train.loop import train
from research.types import Fold

NAME, ARM = "stopping", "in-batch"
STRENGTHS = tuple(np.round(np.arange(-0.2, 4.001, 0.1), 2))
GAMMAS = (0.0, 1.0)
LATEST = 10  # epoch that is predicted to be chosen
# The prediction: a column of the frame, the statement, its range, and whether it is
# made at every gamma or at 0 alone.
STATEMENTS = (
    (
        *("chosen", f"it is the {LATEST}th or an earlier one"),
        *(-np.inf, float(LATEST), ".1f", True),
    ),
    (
        *("nearer", "the best strength is nearer to the rule's than at the end by 0.3"),
        *(0.3, np.inf, "+.2f", True),
    ),
    (
        "distance",
        "the best strength is within 0.5 of the rule's",
        -0.5,
        0.5,
        "+.2f",
        False,
    ),
    ("lost", "the rule recovers at most 0.02 less", -np.inf, 0.02, ".3f", False),
)


def held_recall(
    logits: Float[ndarray, "u i"], log_q: Float[ndarray, " i"], fold: Fold
) -> float:
    """Recall@20 of each user's held-out click, fully corrected, clicked items left out.

    Args:
      logits: of all items for all users, [u, i].
      log_q: of the clicks trained on, [i].
      fold: of the clicks; one is held out of each user.
    """
    scores = logits + log_q
    scores[fold.fitted.user, fold.fitted.item] = -np.inf
    held = scores[fold.held_user, fold.held_item]
    return float(((scores > held[:, None]).sum(axis=1) < TOP).mean())


def by_epoch(
    world: World, gamma: float, seed: int, options: StudyOptions
) -> tuple[list[Float[ndarray, " s"]], list[float], float]:
    """The shares that every strength recovers and the held-out recall, by epoch.

    The strength by the rule, which comes third, is the last of those recovered at.
    """
    fold, log_q, rule = drawn_clicks(world, gamma, seed)
    truth = best_items(world.relevance)
    config = training(ARM, options, seed)
    config = dataclasses.replace(config, fit_on="train", evaluate_every=1)
    recovered: list[Float[ndarray, " s"]] = []
    held: list[float] = []

    def judge(users: ndarray, items: ndarray) -> dict[str, float]:
        logits = (users @ items.T).astype(float) / config.temperature
        recovered.append(served(logits, np.array((*STRENGTHS, rule)), log_q, truth))
        held.append(held_recall(logits, log_q, fold))
        return {"recall@20": held[-1]}

    train(config, fold, validate=judge)
    return recovered, held, rule


def run_stopping(options: StudyOptions) -> Path:
    """Trains on each exposure's clicks; returns the records.

    Arrays: recovered [gamma, seed, epoch, strength], the rule's strength the last one;
    held [gamma, seed, epoch]; rule [gamma, seed]; gammas, strengths.
    """
    world = learned_world(options)
    cells = []
    for gamma in GAMMAS:
        for seed in range(options.seeds):
            shares, recalls, rule = by_epoch(world, gamma, seed, options)
            cells.append({"recovered": shares, "held": recalls, "rule": rule})
            epoch = int(np.argmax(recalls))
            best = STRENGTHS[int(np.argmax(shares[epoch][:-1]))]
            options.progress(
                f"gamma {gamma:g}, seed {seed}: best epoch {epoch + 1}, best strength "
                f"there {best:.1f}, the rule's {rule:.2f}"
            )
    shape = len(GAMMAS), options.seeds
    swept = {"gammas": GAMMAS, "strengths": STRENGTHS}
    return save_cells(options, NAME, cells, shape, swept)


def stopping_frame(stored: Stored) -> pd.DataFrame:
    """One row per gamma and epoch, and one of the chosen epochs (``epoch`` NaN).

    Columns: gamma, epoch; held-out recall; of the distance of the best strength from
    the rule's the mean, _low and _high; recovered by the rule and at the best; of the
    chosen rows also chosen (the epoch), nearer (than after the last epoch) and lost (by
    the rule), each with _low and _high.
    """
    arrays = stored.floats()
    held, rule = arrays["held"], arrays["rule"][..., None]
    shares, at_rule = arrays["recovered"][..., :-1], arrays["recovered"][..., -1]
    at_best = shares.max(axis=-1)
    distance = nearest_best(shares, np.round(arrays["strengths"], 2), rule) - rule
    lines = []
    seeds, n_epochs = np.arange(held.shape[1]), held.shape[2]
    for g, gamma in enumerate(arrays["gammas"]):
        chosen = held[g].argmax(axis=1)
        epochs = [np.full(len(seeds), epoch) for epoch in range(n_epochs)]
        for epoch in (*epochs, chosen):
            at = seeds, epoch
            line = {"gamma": gamma, "held": held[g][at].mean()}
            line["epoch"] = np.nan if epoch is chosen else epoch[0] + 1
            line |= over_seeds(distance[g][at]).interval().columns("distance")
            line |= {"at_rule": at_rule[g][at].mean(), "at_best": at_best[g][at].mean()}
            if epoch is chosen:
                for name, values in {
                    "chosen": chosen + 1.0,
                    "nearer": np.abs(distance[g][:, -1]) - np.abs(distance[g][at]),
                    "lost": at_best[g][at] - at_rule[g][at],
                }.items():
                    line |= over_seeds(values).interval().columns(name)
            lines.append(line)
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict.

    Which epoch is chosen is not judged where no later one than LATEST was trained.
    """
    out = []
    for row in frame[frame.epoch.isna()].to_dict("records"):
        for name, text, low, high, form, everywhere in STATEMENTS:
            if name == "chosen" and frame.epoch.max() <= LATEST:
                continue
            if everywhere or row["gamma"] == 0:
                where = f"gamma {row['gamma']:g}, chosen epoch: "
                ends = Interval.of(row, name)
                out.append(statement(where + text, ends, low, high, form))
    return out


def stopping_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and what each epoch shows, in Markdown."""
    about = described(
        f"{stored.header['dataset']}, {seeds_text(stored.arrays['rule'].shape[1])}; "
        f"trained: {ARM}. Relevance is the logits of a full softmax trained on the "
        "real clicks, an item's exposure its click share to the power gamma. The "
        "tastes are those of one model.",
        {
            "held-out recall": "recall@20 of one further click of each user, served "
            "with the full correction",
            "chosen epoch": "that of the highest held-out recall, by seed",
            "best": "the strength that recovers the largest share of each user's 20 "
            "most relevant items, by seed",
        },
        OVER_SEEDS,
    )
    columns = [
        ("held-out recall", "held", ".3f"),
        ("best strength - rule's [95 %]", "distance", "+.2f"),
        ("recovered by the rule", "at_rule", ".3f"),
        ("at the best", "at_best", ".3f"),
    ]
    epoch = frame.epoch.map("{:.0f}".format).mask(frame.epoch.isna(), "chosen")
    stated = {"gamma": "g", "epoch": ""}
    table = interval_table(frame.assign(epoch=epoch), stated, columns, left=0)
    return about, table


@styled
def stopping_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the distance of the best strength, and held-out recall, by epoch.

    A ring marks the mean of the chosen epochs.
    """
    figure, panels = blank(3.4, ncols=2)
    for gamma, rows in frame.groupby("gamma", sort=False):
        colour = exposure_ink(gamma)
        line, chosen = rows.dropna(subset=["epoch"]), rows[rows.epoch.isna()].iloc[0]
        name = "alike for all items" if gamma == 0 else "the click share"
        for panel, column in zip(panels, ("distance", "held"), strict=True):
            panel.plot(
                line.epoch, line[column], color=colour, label=f"exposure: {name}"
            )
            mark_chosen(panel, chosen.chosen, chosen[column], colour)
            panel.set_xlabel("epochs of training")
        ends = line.distance_low, line.distance_high
        panels[0].fill_between(line.epoch, *ends, color=colour, alpha=0.15)
    panels[0].axhline(0, color="0.4", linestyle=(0, (5, 3)))
    panels[0].set_ylabel("best strength less the rule's")
    panels[1].set_ylabel("recall@20 of held-out clicks")
    legend_above(figure, with_band(panels[0]), heading(frame), 3)
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """The effect of the chosen epoch, if its interval excludes 0 at every gamma."""
    chosen = frame[frame.epoch.isna()]
    if (chosen.nearer_low > 0).all():
        return (
            "At the epoch that held-out clicks choose (rings),\n"
            "the best strength lies nearer to the rule's than after more training"
        )
    return (
        "Best strength and held-out recall, by epoch\n"
        "(rings: mean over the seeds, each at the epoch that held-out clicks choose)"
    )


def report_stopping(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = stopping_frame(stored)
    drawings = {"-epochs": stopping_figure(frame)}
    lacking = [f"the epoch that is chosen (none after the {LATEST}th was trained here)"]
    lacking = lacking if frame.epoch.max() <= LATEST else []
    page, judged = stopping_page(frame, stored), verdicts(frame)
    return Report({".csv": frame}, page, drawings, judged, lacking)
