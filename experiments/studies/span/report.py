"""What the study span shows: its table, verdicts on its prediction, its figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import spearmanr

from experiments.studies.span import ITEMS
from experiments.studies.strength.shifts import AXIS, COLUMNS, shift_text, shifts_by
from experiments.study import Report, described
from research.report.colours import temperature_ink
from research.report.intervals import over_seeds
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, notes_below, styled
from research.report.predictions import decided, statement
from research.report.records import Stored

LINE = ((1.45, 2.0, 3.6, 4.0), (0.0, 0.4, 0.8, 0.9))  # predicted: x, and the shift
NEAR = 0.15
LESS = {0.2: 0.05, 0.3: 0.0, 0.4: 0.0}  # that fewer items are shifted less, at least
ORDERED = 0.9
DRAWN = (
    ", each of which draws its own parts: items/4 is a random quarter of the items, "
    "with all clicks on them, clicks/4 a random quarter of the clicks."
)
SEEN = (-0.25, 1.25)  # of the figure: shifts below are not looked for
X = "temperature x log items"


def measured(stored: Stored) -> dict[str, Float[ndarray, "p t s"]]:
    """What is shown, by part, temperature and seed.

    items and each, as stored; x, the temperature times the log of items, by_range and
    by_entropy, times the log range of shares of clicks and times their entropy; shift;
    best_0 and best_1, the highest recall@20 without log q in the loss and with it.
    """
    arrays = stored.floats()
    temperatures = arrays["temperatures"][None, :, None]
    return {
        "items": arrays["items"],
        "each": arrays["each"],
        "x": temperatures * np.log(arrays["items"]),
        "by_range": temperatures * arrays["log_range"],
        "by_entropy": temperatures * arrays["entropy"],
        **shifts_by(arrays["totals"], arrays["recall"]),
    }


def span_frame(stored: Stored) -> pd.DataFrame:
    """One row per part and temperature: means over seeds, with _low and _high."""
    axes = {"part": stored.header["parts"], "temperature": stored.axis("temperatures")}
    frame = interval_frame(measured(stored), **axes)
    return frame.assign(predicted=predicted(frame.x.to_numpy()))


def predicted(x: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """The shift that the prediction has for a temperature times a log of items."""
    return np.interp(x, *LINE)


def verdicts(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    found, parts = measured(stored), stored.header["parts"]
    temperatures = stored.axis("temperatures")
    shift, rows = found["shift"], []
    for p, t in np.ndindex(len(parts), len(temperatures)):
        off = over_seeds((shift - predicted(found["x"]))[p, t]).interval()
        text = f"{parts[p]}, {temperatures[t]:g}: the shift is within {NEAR:g} of the "
        rows.append(statement(f"{text}line", off, -NEAR, NEAR, "+.2f"))
    for p, part in enumerate(parts):
        other = part.replace(ITEMS, "clicks")
        if not part.startswith(ITEMS) or other not in parts:
            continue
        for t, temperature in enumerate(temperatures):
            if temperature in LESS:
                less = over_seeds(shift[parts.index(other), t] - shift[p, t])
                text = f"{part}, {temperature:g}: shifted less than {other} by "
                text += f"{'at least' if LESS[temperature] else 'more than'} "
                ends, least = less.interval(), LESS[temperature]
                rows.append(
                    statement(f"{text}{least:g}", ends, least or 1e-9, form="+.2f")
                )
    return rows + _orders(frame)


def orders(frame: pd.DataFrame) -> dict[str, float]:
    """How well each number orders the shifts: rank correlations over the cells."""
    names = {"x": X, "temperature": "the temperature alone"}
    names["by_range"] = "temperature x log range of shares of clicks"
    names["by_entropy"] = "temperature x entropy of shares of clicks"
    return {
        text: float(spearmanr(frame[name], frame["shift"])[0])
        for name, text in names.items()
    }


def _orders(frame: pd.DataFrame) -> list[list[str]]:
    """The statements on what orders the shifts; none of one part or of two cells."""
    if frame.part.nunique() < 2 or len(frame) < 3:
        return []
    found = orders(frame)
    text = f"{X} orders the shifts with a rank correlation of at least {ORDERED:g}"
    rows = [decided(text, f"{found[X]:.3f}", found[X] >= ORDERED)]
    for name, value in found.items():
        if name != X:
            shown = f"{found[X]:.3f} against {value:.3f}"
            rows.append(decided(f"and better than {name}", shown, found[X] > value))
    return rows


def span_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and a table of all cells, in Markdown."""
    header = stored.header
    about = described(
        f"{header['dataset']}, {seeds_text(stored.arrays['recall'].shape[2])}"
        f"{DRAWN if len(header['parts']) > 1 else '.'} Cosines, and the same number of "
        "steps for every model.",
        {
            "items": "those with a training click; lists hold no others",
            "shift": shift_text(stored.arrays["totals"]),
            "predicted shift": f"by {X}",
        },
        f"Intervals are 95 %, over seeds. Data {header['data_digest'][:12]}.",
    )
    named = {"each": "clicks per user", "x": X, "predicted": "predicted shift"}
    forms = (".1f", ".2f", "+.2f")
    stated = {"part": "", "temperature": "g", "items": ",.0f"}
    stated |= dict(zip(named.values(), forms, strict=True))
    return (
        about,
        interval_table(frame.rename(columns=named), stated, COLUMNS, left=1),
    )


def _part_text(part: str) -> str:
    """A part in words.

    >>> _part_text("items/4"), _part_text("whole")
    ('1/4 items', 'whole')
    """
    of, _, share = part.partition("/")
    return f"1/{share} {of}" if share else of


@styled
def span_figure(frame: pd.DataFrame) -> Drawing:
    """The shift of each cell by the temperature times the log of items."""
    parts = list(dict.fromkeys(frame.part))
    figure, axes = blank(3.6)
    ends = min(frame.x.min(), LINE[0][0]) - 0.1, max(frame.x.max(), LINE[0][-1])
    x = np.unique([ends[0], *LINE[0], ends[1]])
    axes.plot(x, predicted(x), color="0.6", lw=1.5, label="predicted")
    for part, marker in zip(parts, "osD^v", strict=False):
        for row in frame[frame.part == part].itertuples():
            reach = [[row.shift - row.shift_low], [row.shift_high - row.shift]]
            axes.errorbar(
                row.x, row.shift, yerr=np.nan_to_num(reach), fmt=marker, ms=6,
                color=temperature_ink(row.temperature), capsize=2, lw=1.2,
            )  # fmt: skip
        axes.plot([], [], marker, color="0.3", label=_part_text(part))
    for temperature in sorted(set(frame.temperature)):
        ink = temperature_ink(temperature)
        axes.plot([], [], color=ink, lw=4, label=f"temperature {temperature:g}")
    axes.set_ylim(*SEEN)
    if (frame.shift_low < SEEN[0]).any() or (frame.shift_high > SEEN[1]).any():
        notes_below(figure, ["A line to the edge: the interval goes on beyond it."])
    axes.set_xlabel("temperature x log of the number of items")
    axes.set_ylabel(AXIS)
    handles = axes.get_legend_handles_labels()[0]
    title = "How far does log q in the loss move the curve of recall along the total?"
    legend_above(figure, handles, title, 4)
    return Drawing(figure, frame[["part", "temperature", "items", "x", "shift"]])


def report_span(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = span_frame(stored)
    drawings = {"-shifts": span_figure(frame)}
    return Report(
        {".csv": frame}, span_page(frame, stored), drawings, verdicts(frame, stored)
    )
