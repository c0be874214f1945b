"""Do clicks drawn as at serving time set the strength, and how many does it take?

Validation clicks carry the exposure of the training data, so that the total strength
they give (research/calibration.py) is the one for further clicks of the same exposure.
Where items will be shown otherwise, clicks from there should give another total. Here
the same interactions are split twice: at random, and with test items drawn evenly from
the catalogue (the shifted split of IR-Benchmark [yang2024psl]). Matrix factorisation is
trained on nine tenths of each training part. Its total is set by the last tenth, and by
some clicks of one half of the test users; the other half judges it.

    python -m experiments run calibrated-shift --dataset DIR/electronic
    python -m experiments run calibrated-shift --quick --dataset DIR/electronic

On 2 cores the first takes about 40 minutes, the second 2. The data set is a folder with
the first split; the folder with the second one is beside it and has -popularity after
its name (docs/outside.md).

Expect both totals to be alike at random; on the shift, one near 0 by clicks from there
and one near 1 by validation.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.arms import arm
from experiments.inputs import fold_of
from experiments.studies import STUDIES
from experiments.studies.shift import CHANGES
from experiments.studies.split import splits_of
from experiments.studies.totals import (
    Vectors,
    fitted_total,
    means_by_total,
    of_users,
    save_swept,
)
from experiments.study import Report, StudyOptions
from research.config import Config
from research.prepare import Prepared, prepare
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_text, markdown_table, seeds_text
from research.report.pictures import STYLE, Drawing, blank, legend_above
from research.report.predictions import statement, statement_table
from research.report.records import Stored
from research.train.loop import train

__all__ = ["report_calibrated_shift", "run_calibrated_shift"]

NAME = "calibrated-shift"
TEMPERATURES = (0.1, 0.2, 0.4)
TOTALS = tuple(np.round(np.arange(-1.0, 3.001, 0.2), 2).tolist())
CLICKS = (100, 300, 1000, 3000)
ALIKE, APART = 0.2, 0.5
LOW, HIGH = -0.5, 0.3  # of the total where test items are drawn evenly
LOST, WRONG, ENOUGH, NEARLY = 0.002, 0.75, 0.95, 0.9


def run_calibrated_shift(options: StudyOptions) -> Path:
    """Trains each arm on both splits at each temperature; returns the records.

    Arrays: those of ``judged_halves``, with first axes of splits, arms, temperatures
    and seeds; temperatures, totals, clicks. The header has the splits and the arms.

    Raises:
      InputError: the data set is no folder that has its shifted split beside it.
    """
    study = STUDIES[NAME]
    splits = splits_of(study, options, CHANGES, {})
    arms = options.arms or study.arms
    temperatures = TEMPERATURES[1:] if options.quick else TEMPERATURES
    shape = len(splits), len(arms), len(temperatures), options.seeds
    changes = {**CHANGES, "epochs": 2} if options.quick else CHANGES
    found: dict[str, list[ndarray]] = {}
    for n, m, t, seed in np.ndindex(shape):
        name, split = [*splits.items()][n]
        base = Config(
            dataset=str(split.path),
            split="given",
            validation_share=0.1,
            **{**changes, "learning_rate": 0.1, "temperature": temperatures[t]},
        )
        config = dataclasses.replace(arm(arms[m], base), seed=seed)
        halves = judged_halves(config, options.data_dir)
        for what, values in halves.items():
            found.setdefault(what, []).append(values)
        options.progress(
            f"{name}, {arms[m]}, temperature {temperatures[t]:g}, seed {seed}: total "
            f"{halves['by_validation']:.2f} by validation, {halves['by_test'][-1]:.2f} "
            "by test clicks"
        )
    swept = {"splits": [*splits], "arms": [*arms]}
    more = {"totals": TOTALS, "clicks": CLICKS}
    return save_swept(options, NAME, found, temperatures, more, **swept)


def judged_halves(
    config: Config, data_dir: str | None
) -> dict[str, Float[ndarray, "..."]]:
    """Trains a model, sets its total by both kinds of clicks and judges it.

    A total is the strength in the loss plus the prior when serving. Which users of the
    test part set it and which judge it is drawn by the config's seed.

    Returns:
      recall [total], recall@20 of the judging half; by_validation, the total by
      validation clicks, and by_test [clicks], by as many test clicks of the other half;
      recall_by_validation and recall_by_test [clicks], recall@20 with them. NaN where
      clicks fit no scale above 0.

    Raises:
      NotFinite: a loss was not finite.
    """
    parts: dict[str, Any] = {"fit_on": "train-only", "left_out": "train+validation"}
    config = dataclasses.replace(config, **parts)
    parts = {"fit_on": "train", "left_out": "fitted"}
    choosing = dataclasses.replace(config, **parts)
    fold = fold_of(config, data_dir)
    done, users = train(config, fold), fold.evaluated

    def part(config: Config, kept: ndarray) -> tuple[Prepared, Vectors]:
        """The run judged by some of the users alone, and the vectors for it."""
        run = prepare(config, of_users(fold_of(config, data_dir), users[kept]))
        return run, (done.user_vectors[kept], done.item_vectors)

    validating = np.isin(users, fold_of(choosing, data_dir).evaluated)
    setting = np.random.default_rng(config.seed).random(len(users)) < 0.5
    by_validation = fitted_total(*part(choosing, validating), CLICKS[-1])[0]
    by_test = [fitted_total(*part(config, setting), clicks)[0] for clicks in CLICKS]
    totals = [*TOTALS, by_validation, *by_test]
    (recall,) = means_by_total(*part(config, ~setting), totals)
    found = {
        "recall": recall[: len(TOTALS)],
        "by_validation": by_validation,
        "recall_by_validation": recall[len(TOTALS)],
        "by_test": by_test,
        "recall_by_test": recall[len(TOTALS) + 1 :],
    }
    return {name: np.array(values) for name, values in found.items()}


def measured(stored: Stored) -> dict[str, Float[ndarray, "p a t s"]]:
    """What is shown and stated, by split, arm, temperature and seed.

    by_validation and by_test, totals, the latter by the most clicks; highest, the total
    of highest recall@20; recall_none and recall_one, with a total of 0 and 1;
    recall_by_validation; recall_by_N, by N test clicks; best, the highest; apart and
    ratios of recall to the highest (validation_part, part_N); short.
    """
    arrays = {name: values.astype(float) for name, values in stored.arrays.items()}
    totals, clicks = np.round(arrays["totals"], 2), arrays["clicks"].astype(int)
    recall, validation = arrays["recall"], arrays["recall_by_validation"]
    by_test = arrays["recall_by_test"]
    tried = np.concatenate([recall, validation[..., None], by_test], axis=-1)
    best = np.nanmax(tried, axis=-1)
    found = {
        "highest": totals[recall.argmax(axis=-1)],
        "by_validation": arrays["by_validation"],
        "by_test": arrays["by_test"][..., -1],
        "apart": arrays["by_validation"] - arrays["by_test"][..., -1],
        "recall_none": recall[..., totals.tolist().index(0.0)],
        "recall_one": recall[..., totals.tolist().index(1.0)],
        "recall_by_validation": validation,
        "best": best,
        "short": best - validation,
        "validation_part": validation / best,
    }
    for n, number in enumerate(clicks):
        found[f"recall_by_{number}"] = by_test[..., n]
        found[f"part_{number}"] = by_test[..., n] / best
    return found


def calibrated_shift_frame(stored: Stored) -> pd.DataFrame:
    """One row per split, arm and temperature: means, each with _low and _high."""
    found, lines = measured(stored), []
    splits, arms = stored.header["splits"], stored.header["arms"]
    temperatures = np.round(stored.arrays["temperatures"].astype(float), 6)
    for n, m, t in np.ndindex(len(splits), len(arms), len(temperatures)):
        line: dict[str, Any] = {"split": splits[n], "arm": arms[m]}
        line["temperature"] = temperatures[t]
        for name, values in found.items():
            line |= over_seeds(values[n, m, t]).interval().columns(name)
        lines.append(line)
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame, clicks: Sequence[int]) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    rows = []
    alike = [
        (
            f"the totals by validation and by test clicks are within {ALIKE:g}",
            *("apart", -ALIKE, ALIKE, "+.2f"),
        ),
        (
            f"recall@20 by validation is at most {LOST:g} below the highest",
            *("short", -np.inf, LOST, "+.4f"),
        ),
    ]
    shifted = [
        (
            f"the total by test clicks lies between {LOW:g} and {HIGH:g}",
            *("by_test", LOW, HIGH, "+.2f"),
        ),
        (
            f"that by validation is higher by {APART:g} or more",
            *("apart", APART, np.inf, "+.2f"),
        ),
        (
            f"recall@20 by validation is at most {WRONG:g} of the highest",
            *("validation_part", 0.0, WRONG, ".3f"),
        ),
    ]
    for number in clicks:
        part = NEARLY if number == clicks[0] else ENOUGH
        text = f"recall@20 by {number:,} test clicks is at least {part:g} of it"
        shifted.append((text, f"part_{number}", part, np.inf, ".3f"))
    for row in frame.to_dict("records"):
        where = f"{row['split']}, {row['arm']}, {row['temperature']:g}: "
        for text, name, low, high, form in (
            alike if row["split"] == "random" else shifted
        ):
            ends = Interval.of(row, name)
            rows.append(statement(where + text, ends, low, high, form))
    return rows


def calibrated_shift_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, the verdicts, and one row per split, arm and temperature."""
    clicks = stored.arrays["clicks"].astype(int).tolist()
    seeds = stored.arrays["by_validation"].shape[-1]
    about = (
        f"{stored.header['dataset']}, {seeds_text(seeds)}; matrix factorisation, "
        "cosine, fitted on nine tenths of the training part. A total is log q in the "
        "loss plus the popularity prior when serving. By validation: the total that "
        "clicks of the last tenth give; by test clicks: the one that clicks of one "
        "half of the test users give, drawn by lot. Recall@20 is of the other half. "
        "Highest: of all totals, between -1 and 3. 95 % t intervals over three seeds "
        "or more, each of which draws halves and clicks anew; a dash: in some seed the "
        "clicks fit no scale above 0."
    )
    forms = {"by_validation": ".2f", "by_test": ".2f", "highest": ".2f"}
    forms |= dict.fromkeys(("recall_none", "recall_one"), ".4f")
    forms |= {"recall_by_validation": ".4f"}
    forms |= {f"recall_by_{number}": ".4f" for number in clicks} | {"best": ".4f"}
    rows = [
        [
            *(row["split"], row["arm"], f"{row['temperature']:g}"),
            *(interval_text(*Interval.of(row, n), form) for n, form in forms.items()),
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["split", "arm", "temperature", "total by validation"]
    heads += [f"by {clicks[-1]:,} test clicks", "of highest recall@20"]
    heads += ["recall@20 at 0", "at 1", "by validation"]
    heads += [f"by {number:,} test clicks" for number in clicks] + ["highest"]
    table = markdown_table(heads, rows, left=2)
    return about, statement_table(verdicts(frame, clicks)), table


INKS = ("#440154", "#21918c", "#d8b900")


def calibrated_shift_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws the first arm's recall by total, a panel for each split."""
    arrays = {name: values.astype(float) for name, values in stored.arrays.items()}
    first = frame[frame.arm == stored.header["arms"][0]]
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(3.6, ncols=2)
        for n, (split, panel) in enumerate(
            zip(stored.header["splits"], panels, strict=True)
        ):
            rows = first[first.split == split]
            _draw(panel, rows, arrays["totals"], arrays["recall"][n, 0].mean(axis=1))
            panel.set_title(f"test part: {split}")
            panel.set_xlabel("total strength of log q")
            panel.set_ylabel("recall@20")
        handles, _ = panels[0].get_legend_handles_labels()
        legend_above(figure, handles, heading(first), 3)
    return Drawing(figure, first)


def _draw(
    panel: Axes, rows: pd.DataFrame, totals: ndarray, recall: Float[ndarray, "t n"]
) -> None:
    """A split's curves, with the totals that both kinds of clicks give."""
    for ink, curve, row in zip(INKS, recall, rows.itertuples(), strict=False):
        panel.plot(
            totals, curve, color=ink, lw=1.6, label=f"trained at {row.temperature:g}"
        )
        panel.plot(row.by_validation, row.recall_by_validation, "s", color=ink, ms=7)
        panel.plot(
            row.by_test, np.interp(row.by_test, totals, curve), "*", color=ink, ms=13
        )
    panel.plot([], [], "s", color="0.3", ms=7, label="by validation clicks")
    panel.plot([], [], "*", color="0.3", ms=13, label="by test clicks")


def heading(frame: pd.DataFrame) -> str:
    """Which totals both kinds of clicks give where test items are drawn evenly."""
    shifted = frame[frame.split == "shifted"]
    low, high = shifted.by_validation.min(), shifted.by_validation.max()
    at = shifted.by_test.min(), shifted.by_test.max()
    return (
        f"With an even test, validation clicks ask for {low:.1f} to {high:.1f} times "
        f"log q,\nclicks drawn as the test for {at[0]:.1f} to {at[1]:.1f} times"
    )


def report_calibrated_shift(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = calibrated_shift_frame(stored)
    drawings = {"-curves": calibrated_shift_figure(frame, stored)}
    return Report({".csv": frame}, calibrated_shift_page(frame, stored), drawings)
