"""The figure of a streaming estimate: its error over time, by rate and by hashes."""

import matplotlib
import pandas as pd
from matplotlib.axes import Axes

from research.report.palette import SPARE_COLOURS
from research.report.pictures import STYLE, Drawing, blank

__all__ = ["error_figure"]

DASHES = ("solid", (0, (5, 2)), (0, (2, 1.5)), "dashdot")


def error_figure(frame: pd.DataFrame, quick: bool = False) -> Drawing:
    """Draws the error along the steps: by rate at one hash, by hashes at one rate.

    Args:
      frame: a long table with k as the step, and columns hashes and frequency_rate.
      quick: said in the heading.
    """
    points = frame[["hashes", "frequency_rate", "k", "mean", "low", "high"]]
    points = points.rename(columns={"k": "step", "mean": "error"})
    rates = sorted(points.frequency_rate.unique())
    few, rate = points.hashes.min(), rates[len(rates) // 2]
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = blank(3.6, ncols=2, sharey=True)
        by_rate = points[points.hashes == few]
        _curves(left, by_rate, "frequency_rate", f"by rate, {few:g} hash")
        by_hashes = points[points.frequency_rate == rate]
        _curves(right, by_hashes, "hashes", f"by number of hashes, rate {rate:g}")
        left.set_ylabel("error (half the sum of |p - true p|, over |B|)")
        for axes in (left, right):
            axes.set_xlabel("step; the distribution shifts at 10,000")
            axes.set_ylim(bottom=0)
            axes.set_xticks(
                [0, 5_000, 10_000, 15_000, 20_000], ["0", "5k", "10k", "15k", "20k"]
            )
        if quick:
            figure.suptitle("A quick run")
    return Drawing(figure, points)


def _curves(axes: Axes, points: pd.DataFrame, by: str, title: str) -> None:
    for n, (value, curve) in enumerate(points.groupby(by)):
        colour = SPARE_COLOURS[n % len(SPARE_COLOURS)]
        line = DASHES[n % len(DASHES)]
        label = f"{value:g}"
        axes.plot(curve.step, curve.error, color=colour, linestyle=line, label=label)
        axes.fill_between(
            curve.step, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0
        )
    axes.set_title(title, loc="left", fontweight="bold")
    axes.legend(frameon=False)
