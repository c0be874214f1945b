"""What the study strength shows: its table, verdicts on its prediction, its figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.studies.strength import CLICKED
from experiments.studies.strength.figures import (
    WITHOUT,
    curves_figure,
    gap,
    outputs_figure,
)
from experiments.studies.strength.shifts import STEP, Shift, most_shift, shift_of
from experiments.study import Report, described
from research.report.intervals import Interval, two_way
from research.report.pages import (
    interval_frame,
    interval_text,
    markdown_table,
    seeds_text,
)
from research.report.predictions import decided, statement
from research.report.records import Stored
from research.temperature import BOUNDED

METRICS = {
    "recall_20": "recall@20",
    "recall_100": "recall@100",
    "recall_item_20": "item-averaged recall@20",
    "area": "AUC of ratings, rated items only",
    WITHOUT: "recall@20, clicked items listed",
    f"{CLICKED}recall_item_20": "item-averaged recall@20, clicked items listed",
}
GAP, GAIN = 0.006, 0.01  # in recall@20
COLLAPSE_TO, SERVING_FROM = 0.15, 0.2  # temperatures, for cosine
# Of lists without unclicked items: the gap, its part of that with them, what lambda 1
# may be below lambda 0 at a total, the gap beyond a temperature of cosine.
NARROW, PART, BEHIND, HALF, WIDE, SPANS_TO = 0.02, 0.5, 0.005, 0.5, 0.03, 0.2
# Of the curve of lambda 1 against that of lambda 0: what is predicted of data sets on
# which other temperatures were trained.
SHIFTED = ("electronic", "movie", "gowalla")
BOUNDED_ON = "electronic"  # the data set on which bounded vectors are predicted
SMALL, SHIFTS = 0.1, {0.2: 0.1, 0.4: 0.3}  # least of a bound output by temperature
LEFT = 1 / 3  # of the gap, where the curve is shifted
PEAKS = {  # totals at which the prediction puts the highest mean
    "recall_20": (0.75, 1.25),
    "recall_item_20": (0.5, 0.75),
    "area": (0.0, 0.3),
}
PANEL = ["output", "temperature"]
CURVES = ("cosine", "dot")  # outputs of which more is predicted than the shift


def strength_frame(stored: Stored) -> pd.DataFrame:
    """One row per output, temperature, lambda and total: means and 95 % intervals.

    A metric's columns are its name and, for the ends of its interval, _low and _high.
    """
    arrays = stored.arrays
    axes = {"output": stored.header["outputs"], "temperature": arrays["temperatures"]}
    axes |= {"lambda": arrays["lambdas"], "total": arrays["totals"]}
    by_seed = {n: arrays[n].astype(float) for n in METRICS if n in arrays}
    found = {name: np.moveaxis(values, 3, -1) for name, values in by_seed.items()}
    frame = interval_frame(found, two_way, **axes)
    frame.insert(4, "alpha", frame.total - frame["lambda"])
    return frame


def peak(panel: pd.DataFrame, metric: str) -> float:
    """The total with the highest mean over the lambdas."""
    return float(panel.groupby("total")[metric].mean().idxmax())


def verdicts(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out, first = [], frame[frame.output.isin(CURVES)]
    for (output, temperature), panel in first.groupby(PANEL, sort=False):
        where = f"{output}, temperature {temperature:g}: "
        if output != "cosine" or temperature <= COLLAPSE_TO:
            apart = gap(panel)
            text = f"{where}lambdas at equal totals within {GAP:g}"
            out.append(decided(text, f"{apart:.3f} apart", apart < GAP))
        if output == "cosine" and temperature >= SERVING_FROM:
            gain = serving_gain(stored, output, float(temperature))
            text = (
                f"{where}all of it when serving at least {GAIN:g} above all in the loss"
            )
            out.append(statement(text, gain, GAIN))
    if WITHOUT in frame:
        out += _without_unclicked(first, stored)
    if stored.header["dataset"] in SHIFTED:
        out += _of_shift(frame, stored)
    panels = [panel for _, panel in first.groupby(PANEL, sort=False)]
    for metric, (low, high) in PEAKS.items():
        if metric in frame:
            tops = [peak(panel, metric) for panel in panels]
            inside = sum(low <= top <= high for top in tops)
            text = f"{METRICS[metric]} peaks at a total of {low:g} to {high:g}"
            found = f"in {inside} of {len(tops)} panels; at {_range(tops)}"
            out.append(decided(text, found, inside == len(tops)))
    return out


def not_judged(stored: Stored) -> list[str]:
    """The parts of the prediction that these records cannot judge."""
    outputs = stored.header["outputs"]
    temperatures = stored.axis("temperatures")
    elsewhere = stored.header["dataset"] in SHIFTED
    of_bounded = stored.header["dataset"] == BOUNDED_ON
    lacking = {
        "cosines": "cosine" not in outputs,
        "dot products": "dot" not in outputs,
        BOUNDED["bounded"]: of_bounded and "bounded" not in outputs,
        "cosines at 0.1": elsewhere and "cosine" in outputs and 0.1 not in temperatures,
        "cosines above 0.2": not elsewhere and max(temperatures) <= SPANS_TO,
        "lists without unclicked items": WITHOUT not in stored.arrays,
        METRICS["area"]: "area" not in stored.arrays,
    }
    return [f"{part} (not run here)" for part, absent in lacking.items() if absent]


def _without_unclicked(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """The statements on lists without items that have no training click."""
    out = []
    for (output, temperature), panel in frame.groupby(PANEL, sort=False):
        where = f"{output}, temperature {temperature:g}, clicked items listed: "
        apart, all_items = gap(panel, WITHOUT), gap(panel)
        if output == "cosine" and temperature > SPANS_TO:
            text = f"{where}lambdas at equal totals more than {WIDE:g} apart"
            out.append(decided(text, f"{apart:.3f} apart", apart > WIDE))
            continue
        text = f"{where}lambdas at equal totals within {NARROW:g}"
        out.append(decided(text, f"{apart:.3f} apart", apart < NARROW))
        part = apart / all_items
        text = f"{where}at most half as far apart as with all items"
        out.append(decided(text, f"{part:.2f} of {all_items:.3f}", part <= PART))
        behind = in_the_loss(stored, output, float(temperature), HALF, WITHOUT)
        text = f"{where}at a total of {HALF:g} lambda 1 is at most {BEHIND:g} below 0"
        out.append(statement(text, behind, -BEHIND))
    return out


def _of_shift(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """The statements on how far the curve of lambda 1 is shifted along the total."""
    out = []
    for output, temperature in frame[PANEL].drop_duplicates().itertuples(index=False):
        where = f"{output}, temperature {temperature:g}: lambda 1 is "
        found = shift(stored, output, temperature)
        least = SHIFTS.get(temperature, 0.0) if output in BOUNDED else 0.0
        if not least:
            text = f"{where}shifted by at most {SMALL:g}"
            out.append(statement(text, found.by, -SMALL, SMALL, "+.2f"))
            continue
        text = f"{where}shifted by at least {least:g}"
        out.append(statement(text, found.by, least, form="+.2f"))
        text = f"{where}so shifted at most a third as far from lambda 0"
        part = found.after / found.before
        out.append(decided(text, f"{part:.2f} of {found.before:.4f}", part <= LEFT))
    return out


def shift(stored: Stored, output: str, temperature: float) -> Shift:
    """How far along the total the curve of lambda 1 lies from that of lambda 0.

    Of lists without unclicked items, where there are such.
    """
    arrays = stored.arrays
    metric = WITHOUT if WITHOUT in arrays else "recall_20"
    place = _place(stored, output, temperature)
    none, full = arrays[metric].astype(float).mean(axis=-1)[(*place, [0, -1])]
    return shift_of(arrays["totals"].astype(float), none, full)


def shift_texts(found: Shift, stored: Stored) -> list[str]:
    """The shift and the gap that is left, as cells; at least the most looked for."""
    most = most_shift(stored.arrays["totals"])
    if found.by.mean > most - STEP:
        return [f"at least {most:g}", ""]
    return [interval_text(*found.by, "+.2f"), f"{found.after:.4f}"]


def _place(stored: Stored, output: str, temperature: float) -> tuple[int, int]:
    """The indices of an output and a temperature in the arrays."""
    at = stored.axis("temperatures").index(temperature)
    return stored.header["outputs"].index(output), at


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def serving_gain(stored: Stored, output: str, temperature: float) -> Interval:
    """Recall@20 at a total of 1: all of it when serving less all of it in the loss."""
    mean, low, high = in_the_loss(stored, output, temperature, 1.0, "recall_20")
    return Interval(-mean, -high, -low)


def in_the_loss(
    stored: Stored, output: str, temperature: float, total: float, metric: str
) -> Interval:
    """A metric at one total: with all of log q in the loss less with none of it there.

    Returns:
      the mean paired difference and the ends of its 95 % interval.
    """
    o, t = _place(stored, output, temperature)
    s = stored.axis("totals").index(total)
    values = stored.arrays[metric].astype(float)[o, t, :, :, s]
    found = two_way((values[-1] - values[0]).T).interval()
    return Interval(*map(float, found))


def strength_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and where each panel peaks, in Markdown."""
    header = stored.header
    metrics = [name for name in METRICS if name in frame]
    seeds = stored.arrays["recall_20"].shape[3]
    about = described(
        f"{header['dataset']}, {seeds_text(seeds)}. Lambda is the strength of log q in "
        "the loss, alpha that of the popularity prior when serving; the total is their "
        "sum.",
        {
            "gap": "the largest difference between lambdas at totals from 0.25 to 1",
            "clicked items": "lists without items that have no training click",
            "shifted": "how far the curve of lambda 1 must be moved back along the "
            "total to lie nearest to that of lambda 0 at these totals, seed by seed; "
            "in lists of clicked items, if some items are not clicked",
            "best total": "where the mean over the lambdas peaks",
        },
        "Intervals are 95 %, two-way over users and seeds; those of shifts are t "
        "intervals over seeds. Data "
        f"{header['data_digest'][:12]}.",
    )
    rows = []
    for (output, temperature), panel in frame.groupby(PANEL, sort=False):
        place = str(output), float(temperature)
        first = [str(output), f"{temperature:g}", f"{gap(panel):.4f}"]
        one = panel[panel.total == 1]
        ends = [one[one["lambda"] == end].iloc[0] for end in (0.0, 1.0)]
        first += [f"{row.recall_20:.4f}" for row in ends]
        first.append(interval_text(*serving_gain(stored, *place), "+.4f"))
        if WITHOUT in frame:
            first.append(f"{gap(panel, WITHOUT):.4f}")
            for metric in ("recall_20", WITHOUT):
                behind = in_the_loss(stored, *place, HALF, metric)
                first.append(interval_text(*behind, "+.4f"))
        first += shift_texts(shift(stored, *place), stored)
        rows.append([*first, *(f"{peak(panel, name):g}" for name in metrics)])
    heads = ["output", "temperature", "largest gap between lambdas"]
    heads += ["recall@20, total 1 when serving", "recall@20, total 1 in the loss"]
    heads += ["difference [95 %]"]
    if WITHOUT in frame:
        heads += ["largest gap, clicked items listed"]
        heads += [
            f"total {HALF:g}: lambda 1 less 0{listed} [95 %]"
            for listed in ("", ", clicked items listed")
        ]
    heads += ["lambda 1 is shifted by [95 %]", "lambda 1 and 0 then apart by"]
    heads += [f"best total, {METRICS[name]}" for name in metrics]
    return (
        about,
        markdown_table(heads, rows, left=1),
    )


def report_strength(stored: Stored) -> Report:
    """The study's table, page and figures."""
    frame, outputs = strength_frame(stored), stored.header["outputs"]
    drawings = {f"-{output}": curves_figure(frame, output) for output in outputs}
    shifts = {
        (output, temperature): shift(stored, output, temperature).by.mean
        for output, temperature in frame[PANEL].drop_duplicates().to_numpy()
    }
    most = most_shift(stored.arrays["totals"])
    # Where a shift is beyond the totals served, there is no number to write.
    if len(outputs) > 1 and max(shifts.values()) < most - STEP:
        drawings["-outputs"] = outputs_figure(frame, shifts)
    page, judged = strength_page(frame, stored), verdicts(frame, stored)
    return Report({".csv": frame}, page, drawings, judged, not_judged(stored))
