"""The figure of the study collapse: recall by step, and steps to half of it by size."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from experiments.studies.collapse import CACHE, NONE, STOPPED
from research.report.colours import shades
from research.report.pictures import Drawing, Look, above, blank, looks, styled
from research.report.records import Stored


@styled
def collapse_figure(frame: pd.DataFrame, stored: Stored, title: str) -> Drawing:
    """Draws recall by step for each size of the cache, and steps to half by size.

    Args:
      frame: a row per arm and size.
      stored: the records.
      title: what they show.
    """
    header, arrays = stored.header, stored.arrays
    steps, curves = arrays["steps"], arrays["recall"].astype(float).mean(axis=1)
    styles, lines = looks([CACHE, STOPPED]), []
    sizes = sorted(frame[frame.arm == CACHE]["size"])
    inks = shades(styles[CACHE].colour, len(sizes))
    figure, (left, right) = blank(3.6, ncols=2)
    for a, (name, size) in enumerate(zip(header["arms"], arrays["sizes"].tolist())):
        points = {"arm": name, "size": size, "steps": steps, "recall": curves[a]}
        if name == NONE:
            left.plot(steps, curves[a], color="0.3", ls="--", label="no cache")
        elif name == CACHE:
            left.plot(
                *(steps, curves[a]),
                color=inks[sizes.index(size)],
                label=f"cache, M / B = {size}",
            )
        lines.append(pd.DataFrame(points))
    left.set(ylabel="recall@20", ylim=(0, None), xlim=(0, steps[-1]))
    left.set_xscale("symlog", linthresh=2 * steps[1], linscale=0.5)
    left.set_xlabel("steps since the cache joined")
    ticks = [0, *(steps[1] * 2 ** np.arange(0, 12, 2))]
    left.set_xticks([t for t in ticks if t <= steps[-1]])
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    left.legend(fontsize=8)
    for name in (CACHE, STOPPED):
        _draw_steps(right, frame[frame.arm == name], styles[name], steps[-1])
    _guides(right, frame)
    # Set first: a log scale of an empty panel has no range of its own.
    right.set(xlim=(0.8 * sizes[0], 1.25 * sizes[-1]), ylim=(4, 2 * steps[-1]))
    right.set(xscale="log", yscale="log")
    right.xaxis.set_minor_locator(NullLocator())
    right.set_xticks(sizes, [f"{size:g}" for size in sizes])
    right.set(
        xlabel="M / B: cached items per row of the batch",
        ylabel="steps to half of recall@20",
    )
    right.legend(fontsize=8)
    above(figure, title)
    return Drawing(figure, pd.concat(lines, ignore_index=True))


def _draw_steps(panel: Axes, rows: pd.DataFrame, style: Look, most: float) -> None:
    """Draws an arm's steps to half; an arrow upwards where a seed doesn't get there."""
    fell, up = rows[np.isfinite(rows.steps)], rows[np.isinf(rows.steps)]
    panel.errorbar(
        *(fell["size"], fell.steps),
        yerr=(fell.steps - fell.steps_low, fell.steps_high - fell.steps),
        fmt=style.marker + "-",
        color=style.colour,
        label=rows.arm.iloc[0],
    )
    larger = 10 if rows.arm.iloc[0] == CACHE else 6  # where both have an arrow
    top = np.full(len(up), most)
    panel.plot(up["size"], top, "^", ms=larger, mfc="white", mec=style.colour)


def _guides(panel: Axes, frame: pd.DataFrame) -> None:
    """Draws both predicted laws through the cache's first point."""
    rows = frame[(frame.arm == CACHE) & np.isfinite(frame.steps)].sort_values("size")
    if not len(rows):
        return
    sizes = np.geomspace(rows["size"].iloc[0], rows["size"].iloc[-1], 50)
    first = rows.steps.iloc[0]
    for law, text, style in (
        (1 / sizes, "as B / M", ":"),
        (1 + 1 / sizes, "as 1 + B / M", "--"),
    ):
        panel.plot(sizes, first * law / law[0], ls=style, color="0.5", label=text)
