"""Recall with and without items that have no training click: table and figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.unclicked import FEW, LISTS
from experiments.study import Report, described, not_run
from research.contrast import MORE
from research.report.colours import temperature_ink
from research.report.intervals import Interval
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

MOST, FEWEST = 0.5, 0.05  # of the first 20 places
APART, GAIN, SAME = 0.5, 0.001, 0.001
FOUND, FOUND_BY_FEW, FOUND_BY_FIRST = 0.9, 0.85, 0.95
MISLED = "in-batch+logq"  # the arm whose lists such items fill
BELOW_FROM = 0.2  # the temperature from which log q in the loss finds less
FITS = ("fit", "first")


def measured(stored: Stored) -> dict[str, Float[ndarray, "a t s l"]]:
    """What is shown and stated, by arm, temperature, seed and kind of lists.

    slots and gap, of items without a click; best, the highest recall@20, and highest,
    its total; gain and lower, those of the second kind of lists less the first's;
    by_FIT, the total by most clicks, recall_FIT_N, recall@20 with that by N clicks,
    and part_FIT_N, its ratio to best; over, best less that of the first arm.
    """
    arrays = stored.floats()
    totals, clicks = np.round(arrays["totals"], 2), arrays["clicks"].astype(int)
    recall = arrays["recall"]
    tried = [recall, *(arrays[f"recall_by_{fit}"] for fit in FITS)]
    best = np.nanmax(np.concatenate(tried, axis=-1), axis=-1)
    highest = totals[recall.argmax(axis=-1)]
    both = np.ones(best.shape[-1])
    found = {
        **{name: arrays[name][..., None] * both for name in ("slots", "gap")},
        "best": best,
        "highest": highest,
        "gain": (best[..., 1] - best[..., 0])[..., None] * both,
        "lower": (highest[..., 1] - highest[..., 0])[..., None] * both,
        "over": best - best[:1],
    }
    for fit in FITS:
        found[f"by_{fit}"] = arrays[f"by_{fit}"][..., -1]
        for n, number in enumerate(clicks):
            found[f"recall_{fit}_{number}"] = arrays[f"recall_by_{fit}"][..., n]
            found[f"part_{fit}_{number}"] = arrays[f"recall_by_{fit}"][..., n] / best
    return found


def unclicked_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm, temperature and kind of lists: means, with _low and _high."""
    found = {n: np.moveaxis(v, -1, -2) for n, v in measured(stored).items()}
    temperatures = stored.arrays["temperatures"]
    arms = stored.header["arms"]
    return interval_frame(found, arm=arms, temperature=temperatures, lists=LISTS)


def verdicts(frame: pd.DataFrame, clicks: Sequence[int]) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    rows, reference = [], frame.arm.iloc[0]
    for row in frame[frame.lists == LISTS[1]].to_dict("records"):
        where = f"{row['arm']}, {row['temperature']:g}: "
        misled = row["arm"] == MISLED
        stated = _with_logq(clicks) if misled else _WITHOUT
        if misled and reference != MISLED and row["temperature"] >= BELOW_FROM:
            text = f"the highest recall@20 without them is below that of {reference}"
            stated = (*stated, (text, "over", -np.inf, -MORE, "+.4f"))
        text = f"then {clicks[-1]:,} clicks among the first places find at least "
        first = f"{text}{FOUND_BY_FIRST:g} of it"
        stated = (
            *stated,
            (first, f"part_first_{clicks[-1]}", FOUND_BY_FIRST, np.inf, ".3f"),
        )
        for text, name, low, high, form in stated:
            ends = Interval.of(row, name)
            rows.append(statement(where + text, ends, low, high, form))
    return rows


Stated = tuple[str, str, float, float, str]  # statement, number, its ends, its form
_WITHOUT: tuple[Stated, ...] = (
    (
        f"items without a click have at most {FEWEST:g} of the first 20 places",
        *("slots", 0.0, FEWEST, ".3f"),
    ),
    (
        f"leaving them out changes the highest recall@20 by at most {SAME:g}",
        *("gain", -SAME, SAME, "+.4f"),
    ),
)


def _with_logq(clicks: Sequence[int]) -> tuple[Stated, ...]:
    """What is stated of in-batch negatives with log q in the loss."""
    few, many = (f"{number:,} test clicks" for number in clicks)
    return (
        (
            f"items without a click have at least {MOST:g} of the first 20 places",
            *("slots", MOST, np.inf, ".3f"),
        ),
        (
            f"their logit is higher than that of items with 1 to {FEW} clicks by "
            f"{APART:g} or more",
            *("gap", APART, np.inf, "+.2f"),
        ),
        (
            f"leaving them out raises the highest recall@20 by {GAIN:g} or more",
            *("gain", GAIN, np.inf, "+.4f"),
        ),
        ("its total is lower then", *("lower", -np.inf, -MORE, "+.2f")),
        (
            f"then a fit of {many} finds at least {FOUND:g} of it",
            *(f"part_fit_{clicks[-1]}", FOUND, np.inf, ".3f"),
        ),
        (
            f"and one of {few} at least {FOUND_BY_FEW:g}",
            *(f"part_fit_{clicks[0]}", FOUND_BY_FEW, np.inf, ".3f"),
        ),
    )


def unclicked_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per arm, temperature and lists."""
    clicks = stored.arrays["clicks"].astype(int).tolist()
    seeds = stored.arrays["gap"].shape[-1]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}. Matrix factorisation with "
        "cosines is fitted on nine tenths of the training part and judged by test "
        f"items that are drawn evenly. {counted(stored)} have no training click. A "
        "total is log q in the loss plus the prior when serving.",
        {
            "places": "share of the first 20 places that items without a training "
            "click have at a total of 0",
            "logit": "mean logit of these items, minus that of items with 1 to "
            f"{FEW} clicks",
            "by a fit": "the total from a fit of clicks of one half of the test users "
            "among all listed items; recall@20 is that of the other half",
            "among the first places": "the total from a fit among the first 200 places "
            "of the lists that it leads to",
        },
        "Intervals are 95 % t intervals over seeds.",
    )
    columns = [
        ("places", "slots", ".3f"),
        ("logit", "gap", "+.2f"),
        ("highest recall@20", "best", ".4f"),
        ("its total", "highest", ".2f"),
        (f"total by a fit of {clicks[-1]:,}", "by_fit", ".2f"),
        (f"by {clicks[-1]:,} among the first places", "by_first", ".2f"),
        *((f"recall@20 by a fit of {n:,}", f"recall_fit_{n}", ".4f") for n in clicks),
        *((f"by {n:,} among the first", f"recall_first_{n}", ".4f") for n in clicks),
    ]
    stated = {"arm": "", "temperature": "g", "lists": ""}
    table = interval_table(frame, stated, columns, left=1)
    return about, table


def counted(stored: Stored) -> str:
    """How many items have no training click, over the seeds, of how many."""
    unclicked = np.unique(stored.arrays["unclicked"].astype(int))
    items = int(stored.arrays["items"].max())
    ends = f"{unclicked[0]:,}"
    if len(unclicked) > 1:
        ends += f" to {unclicked[-1]:,}"
    return f"{ends} of {items:,} items"


LINES = (("--", 1.2), ("-", 1.8))  # of each kind of lists


@styled
def unclicked_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws recall by total, with and without these items: a panel for each arm."""
    arrays = stored.floats()
    arms = stored.header["arms"]
    figure, panels = blank(3.6, ncols=len(arms), squeeze=False, sharey=True)
    for m, panel in enumerate(panels[0]):
        rows = frame[frame.arm == arms[m]]
        recall = arrays["recall"][m].mean(axis=1)
        _draw(panel, rows, arrays["totals"], recall, int(arrays["clicks"][-1]))
        panel.set(title=arms[m], xlabel="total strength of log q")
    panels[0, 0].set_ylabel("recall@20")
    legend_above(figure, panels[0, 0], heading(frame, stored), 3)
    return Drawing(figure, frame)


def _draw(
    panel: Axes,
    rows: pd.DataFrame,
    totals: ndarray,
    recall: Float[ndarray, "t l n"],
    clicks: int,
) -> None:
    """The curves of an arm, with the total that a fit gives on both."""
    temperatures = rows.temperature.unique()
    for curves, temperature in zip(recall, temperatures, strict=True):
        ink = temperature_ink(temperature)
        mine = rows[rows.temperature == temperature].to_dict("records")
        for curve, row, (style, width) in zip(curves, mine, LINES, strict=True):
            panel.plot(totals, curve, style, color=ink, lw=width)
            there = row["by_fit"], row[f"recall_fit_{clicks}"]
            panel.plot(*there, "*", color=ink, ms=12, mec="w")
        panel.plot([], [], color=ink, lw=1.8, label=f"trained at {temperature:g}")
    for name, (style, width) in zip(LISTS, LINES, strict=True):
        panel.plot([], [], style, color="0.3", lw=width, label=f"lists of {name}")
    panel.plot([], [], "*", color="0.3", ms=12, label=f"by a fit of {clicks:,} clicks")


def heading(frame: pd.DataFrame, stored: Stored) -> str:
    """How many items have no click, and what leaving them out does to the highest."""
    best = frame.pivot_table("best", ["arm", "temperature"], "lists")
    ratio = best[LISTS[1]] / best[LISTS[0]]
    (arm, temperature), most = ratio.idxmax(), ratio.max()
    return (
        f"Leaving out the {counted(stored)} without a training click multiplies the "
        f"highest recall@20 by up to {most:.2f} ({arm}, trained at {temperature:g})"
    )


def report_unclicked(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = unclicked_frame(stored)
    drawings = {"-curves": unclicked_figure(frame, stored)}
    judged = verdicts(frame, stored.arrays["clicks"].astype(int).tolist())
    page = unclicked_page(frame, stored)
    lacking = not_run(STUDIES["unclicked"].arms, stored.header["arms"])
    return Report({".csv": frame}, page, drawings, judged, lacking)
