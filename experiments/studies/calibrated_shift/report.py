"""The totals that clicks give beside the best one: table, verdicts and figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.compared import PANELS
from experiments.study import OVER_SEEDS, Report, described, not_run
from research.contrast import MORE
from research.report.colours import temperature_ink
from research.report.intervals import Interval
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

ALIKE, APART = 0.2, 0.5
LOW, HIGH = -0.5, 0.3  # of the total where test items are drawn evenly
BELOW, WRONG, ENOUGH, NEARLY = 0.002, 0.75, 0.95, 0.9
FEW, SOME, MANY, ALL = 100, 300, 1000, 3000  # clicks that a statement names
ABOVE = 0.2  # of the total among the first places over that of all items
WAYS = ("test", "first", "sweep")  # in which test clicks set a total


def measured(stored: Stored) -> dict[str, Float[ndarray, "p a t s"]]:
    """What is shown and stated, by split, arm, temperature and seed.

    by_validation and by_WAY, totals, the latter by the most clicks; highest, the total
    of highest recall@20; recall_none and recall_one, with a total of 0 and 1; best, the
    highest; part_none, the ratio of recall_none to it. For validation and for each
    WAY_N, by N test clicks: recall_, the recall@20 with the total, part_, its ratio to
    best, and short_, how much it is below. apart, the total by validation less that by
    the fit of all items, and WAY_above, that by a way less it; WAY_over_OTHER_N, a
    difference of recall.
    """
    arrays = stored.floats()
    totals, clicks = np.round(arrays["totals"], 2), arrays["clicks"].astype(int)
    recall = arrays["recall"]
    found = {"validation": arrays["recall_by_validation"]}
    ways = ways_of(stored)
    for way in ways:
        for n, number in enumerate(clicks):
            found[f"{way}_{number}"] = arrays[f"recall_by_{way}"][..., n]
    tried = np.concatenate([recall, np.stack([*found.values()], axis=-1)], axis=-1)
    best = np.nanmax(tried, axis=-1)
    by_way = {f"by_{way}": arrays[f"by_{way}"][..., -1] for way in ways}
    pairs = (("first", "test"), ("sweep", "test"), ("first", "sweep"))
    return {
        "highest": totals[recall.argmax(axis=-1)],
        "by_validation": arrays["by_validation"],
        **by_way,
        "apart": arrays["by_validation"] - by_way["by_test"],
        "recall_none": recall[..., totals.tolist().index(0.0)],
        "recall_one": recall[..., totals.tolist().index(1.0)],
        "best": best,
        **{f"recall_{name}": values for name, values in found.items()},
        **{f"part_{name}": values / best for name, values in found.items()},
        "part_none": recall[..., totals.tolist().index(0.0)] / best,
        **{f"short_{name}": best - values for name, values in found.items()},
        **{
            f"{way}_over_{other}_{number}": found[f"{way}_{number}"]
            - found[f"{other}_{number}"]
            for way, other in pairs
            for number in clicks
            if way in ways
        },
        **{f"{way}_above": by_way[f"by_{way}"] - by_way["by_test"] for way in ways},
    }


def ways_of(stored: Stored) -> list[str]:
    """The ways that the records have: the first places were added later."""
    return [way for way in WAYS if f"by_{way}" in stored.arrays]


def calibrated_shift_frame(stored: Stored) -> pd.DataFrame:
    """One row per split, arm and temperature: means, each with _low and _high."""
    return interval_frame(
        measured(stored),
        split=stored.header["splits"],
        arm=stored.header["arms"],
        temperature=stored.arrays["temperatures"],
    )


def verdicts(frame: pd.DataFrame, clicks: Sequence[int]) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    rows = []
    for row in frame.to_dict("records"):
        where = f"{row['split']}, {row['arm']}, {row['temperature']:g}: "
        on_shift = _on_shift(clicks, with_logq=row["arm"].endswith("logq"))
        for text, name, low, high, form in (
            AT_RANDOM if row["split"] == "random" else on_shift
        ):
            if name not in row:  # of a way that the records lack
                continue
            ends = Interval.of(row, name)
            rows.append(statement(where + text, ends, low, high, form))
    return rows


Stated = tuple[str, str, float, float, str]  # statement, number, its ends, its form
AT_RANDOM: tuple[Stated, ...] = (
    (
        f"the totals by validation and by test clicks are within {ALIKE:g}",
        *("apart", -ALIKE, ALIKE, "+.2f"),
    ),
    (
        f"recall@20 by validation is at most {BELOW:g} below the highest",
        *("short_validation", -np.inf, BELOW, "+.4f"),
    ),
    (
        f"recall@20 by a sweep over {ALL:,} test clicks is at most {BELOW:g} below it",
        *(f"short_sweep_{ALL}", -np.inf, BELOW, "+.4f"),
    ),
    (
        f"recall@20 by {ALL:,} among the first places is at most {BELOW:g} below it",
        *(f"short_first_{ALL}", -np.inf, BELOW, "+.4f"),
    ),
)


def _on_shift(clicks: Sequence[int], with_logq: bool) -> list[Stated]:
    """What is stated of a model where test items are drawn evenly."""
    parts = [(n, "test", NEARLY if n == clicks[0] else ENOUGH) for n in clicks]
    parts += [(ALL, "sweep", ENOUGH), (SOME, "first", NEARLY), (ALL, "first", ENOUGH)]
    named = {
        "test": "by {} test clicks",
        "sweep": "by a sweep over {} of them",
        "first": "by {} among the first places",
    }
    stated: list[Stated] = [
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
            *("part_validation", 0.0, WRONG, ".3f"),
        ),
        *(
            (
                f"recall@20 {named[way].format(f'{n:,}')} is at least {part:g} of it",
                *(f"part_{way}_{n}", part, np.inf, ".3f"),
            )
            for n, way, part in parts
        ),
        (
            f"by {SOME} among the first places it is higher than by their sweep",
            *(f"first_over_sweep_{SOME}", MORE, np.inf, "+.4f"),
        ),
    ]
    if not with_logq:
        text = f"by a sweep over {FEW} it is lower than by their fit"
        return [*stated, (text, f"sweep_over_test_{FEW}", -np.inf, -MORE, "+.4f")]
    return [
        *stated,
        (
            f"by a sweep over {MANY:,} it is higher than by their fit",
            *(f"sweep_over_test_{MANY}", MORE, np.inf, "+.4f"),
        ),
        (
            f"by {MANY:,} among the first places it is higher than by their fit",
            *(f"first_over_test_{MANY}", MORE, np.inf, "+.4f"),
        ),
        (
            f"the total by {ALL:,} among the first places is higher by {ABOVE:g} or "
            "more than that by their fit",
            *("first_above", ABOVE, np.inf, "+.2f"),
        ),
    ]


def calibrated_shift_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per split, arm and temperature."""
    clicks = stored.arrays["clicks"].astype(int).tolist()
    seeds = stored.arrays["by_validation"].shape[-1]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}. Matrix factorisation with "
        "cosines is fitted on nine tenths of the training part. A total is log q in "
        "the loss plus the popularity prior when serving. Test clicks, which set some "
        "totals, are those of one half of the test users, drawn by lot; recall@20 is "
        "that of the other half.",
        {
            "by validation": "the total from a fit of the clicks of the last tenth",
            "by test clicks": "the total from a fit of test clicks among all items",
            "among the first places": "the total from a fit among the first 200 places "
            "of the lists that it leads to",
            "by a sweep": "of all totals between -1 and 3, the one that brings most "
            "test clicks into the first 20 places",
            "highest": "the highest recall@20 of all totals",
        },
        f"{OVER_SEEDS} Each seed draws halves and test clicks anew; the validation "
        "clicks are the same, so that intervals leave out their draw. A dash: in some "
        "seed the clicks fit no scale above 0.",
    )
    columns = [
        ("total by validation", "by_validation", ".2f"),
        (f"by {clicks[-1]:,} test clicks", "by_test", ".2f"),
        (f"by {clicks[-1]:,} among the first places", "by_first", ".2f"),
        (f"by a sweep over {clicks[-1]:,}", "by_sweep", ".2f"),
        ("of highest recall@20", "highest", ".2f"),
        ("recall@20 at 0", "recall_none", ".4f"),
        ("at 1", "recall_one", ".4f"),
        ("by validation", "recall_validation", ".4f"),
        *((f"by {n:,} test clicks", f"recall_test_{n}", ".4f") for n in clicks),
        *((f"by {n:,} among the first", f"recall_first_{n}", ".4f") for n in clicks),
        *((f"by a sweep over {n:,}", f"recall_sweep_{n}", ".4f") for n in clicks),
        ("highest", "best", ".4f"),
    ]
    stated = {"split": "", "arm": "", "temperature": "g"}
    columns = [column for column in columns if column[1] in frame]
    table = interval_table(frame, stated, columns, left=2)
    return about, table


TOO_MUCH = (
    "Where test items are drawn evenly, the total that validation clicks give (squares)"
    " is too large"
)

# How a total was set: its name, the recall@20 that it brings, marker and size.
SET = {
    "by validation clicks": ("by_validation", "recall_validation", "s", 7),
    "by a fit of test clicks": ("by_test", f"recall_test_{ALL}", "*", 12),
    "by a fit among the first 200": ("by_first", f"recall_first_{ALL}", "o", 7),
    "by a sweep over test clicks": ("by_sweep", f"recall_sweep_{ALL}", "D", 6),
}


@styled
def calibrated_shift_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws recall by total: a row of panels for each arm, a column for each split."""
    arrays = stored.floats()
    splits, arms = stored.header["splits"], stored.header["arms"]
    figure, panels = blank(
        0.9 + 2.6 * len(arms),
        nrows=len(arms),
        ncols=len(splits),
        squeeze=False,
        sharex=True,
    )
    for m, n in np.ndindex(panels.shape):
        panel, rows = panels[m, n], frame[frame.arm == arms[m]]
        rows = rows[rows.split == splits[n]]
        _draw(panel, rows, arrays["totals"], arrays["recall"][n, m].mean(axis=1))
        panel.set_title(PANELS[splits[n]] if m == 0 else "")
        panel.set_ylabel("recall@20" if n else f"{arms[m]}\nrecall@20")
    for panel in panels[-1]:
        panel.set_xlabel("total strength of log q")
    legend_above(figure, panels[0, 0], heading(frame), 3)
    return Drawing(figure, frame)


def _draw(
    panel: Axes, rows: pd.DataFrame, totals: ndarray, recall: Float[ndarray, "t n"]
) -> None:
    """The curves of an arm and a split, with the totals that clicks give."""
    shown = {label: how for label, how in SET.items() if how[0] in rows}
    for curve, row in zip(recall, rows.to_dict("records"), strict=True):
        ink = temperature_ink(row["temperature"])
        label = f"trained at {row['temperature']:g}"
        panel.plot(totals, curve, color=ink, lw=1.6, label=label)
        for total, found, marker, size in shown.values():
            panel.plot(row[total], row[found], marker, color=ink, ms=size, mec="w")
    for label, (_, _, marker, size) in shown.items():
        panel.plot([], [], marker, color="0.3", ms=size, label=label)


def heading(frame: pd.DataFrame) -> str:
    """What validation clicks do where test items are drawn evenly, if it is clear.

    That is, if the intervals of their total and of the best one lie apart everywhere.
    """
    shifted = frame[frame.split == "shifted"]
    if len(shifted) and (shifted.by_validation_low > shifted.highest_high).all():
        return TOO_MUCH
    return STUDIES["calibrated-shift"].question


def report_calibrated_shift(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = calibrated_shift_frame(stored)
    drawings = {"-curves": calibrated_shift_figure(frame, stored)}
    judged = verdicts(frame, stored.arrays["clicks"].astype(int).tolist())
    page = calibrated_shift_page(frame, stored)
    lacking = not_run(STUDIES["calibrated-shift"].arms, stored.header["arms"])
    return Report({".csv": frame}, page, drawings, judged, lacking)
