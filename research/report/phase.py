"""The phase diagram of a correction: where it helps, and where it takes truth away."""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from research.report.files import beside, replace
from research.report.intervals import over_seeds
from research.report.pictures import STYLE, Drawing, blank, save_figure
from research.report.table_files import csv_text

__all__ = ["Phase", "phase_figure", "phase_frame", "write_phase"]


class Phase(NamedTuple):
    """recovered [arm, quality, exposure, seed] at the spreads of both; two arms.

    The second arm is the corrected one.
    """

    arms: tuple[str, ...]
    spreads: tuple[float, ...]
    recovered: Float[ndarray, "a q e s"]


def phase_frame(phase: Phase) -> pd.DataFrame:
    """A row a world: both arms' means over seeds, and the paired gain with interval."""
    lines = []
    for q, quality in enumerate(phase.spreads):
        for e, exposure in enumerate(phase.spreads):
            plain, corrected = phase.recovered[:, q, e]
            gain = over_seeds(corrected - plain)
            line: dict[str, float] = {"quality": quality, "exposure": exposure}
            line |= dict(zip(phase.arms, (plain.mean(), corrected.mean()), strict=True))
            line |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
            lines.append(line | {"seeds": len(plain)})
    return pd.DataFrame(lines)


def phase_figure(phase: Phase) -> Drawing:
    """Draws the gain of the corrected arm over both spreads, blue where it helps."""
    frame = phase_frame(phase)
    gain = frame.pivot(index="quality", columns="exposure", values="gain")
    limit = float(np.abs(gain.to_numpy()).max())
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(5.2)
        image = axes.imshow(
            gain.to_numpy(), cmap="RdBu", vmin=-limit, vmax=limit, origin="lower"
        )
        axes.grid(False)
        for n, row in enumerate(gain.to_numpy()):
            for m, value in enumerate(row):
                dark = abs(value) > 0.6 * limit
                axes.text(
                    *(m, n, f"{value:+.2f}"),
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                )
        ticks = [f"{value:g}" for value in phase.spreads]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_yticks(range(len(ticks)), ticks)
        axes.set_xlabel("spread of exposure (Zipf exponent)")
        axes.set_ylabel("spread of quality (Zipf exponent)")
        bar = figure.colorbar(image, ax=axes, label=f"gain of {phase.arms[1]}")
        bar.ax.set_xlabel(" ")
        best, worst = frame.loc[frame.gain.idxmax()], frame.loc[frame.gain.idxmin()]
        figure.suptitle(
            f"Correct where clicks follow quality ({best.gain:+.2f}),\n"
            f"not where they follow exposure ({worst.gain:+.2f})"
            if worst.gain < 0
            else "The correction helps in every world",
            x=0.01,
            ha="left",
            fontsize=10.5,
            fontweight="bold",
        )
    return Drawing(figure, frame)


def write_phase(phase: Phase, table: Path, figure: Path, quick: bool) -> list[Path]:
    """Writes <table>.csv, <table>.md, and the figure's three files."""
    frame, drawing = phase_frame(phase), phase_figure(phase)
    first = ["quality", "exposure", *phase.arms, "gain [95 %]"]
    lines = [
        "# When does log q find what users would choose?",
        "",
        "Share of each user's 20 truly most relevant items among the 20 recommended,"
        " in made worlds; 95 % t intervals over seeds of the paired gain.",
        "",
        "| " + " | ".join(first) + " |",
        "|" + " --: |" * len(first),
    ]
    for row in frame.to_dict("records"):
        means = " | ".join(f"{row[name]:.3f}" for name in phase.arms)
        gain = f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]"
        lines.append(f"| {row['quality']:g} | {row['exposure']:g} | {means} | {gain} |")
    if quick:
        lines += ["", "A quick run: it shows that everything works, and no result."]
    return [
        replace(beside(table, ".csv"), csv_text(frame).encode()),
        replace(beside(table, ".md"), ("\n".join(lines) + "\n").encode()),
        *save_figure(drawing.figure, drawing.points, figure.with_name("exposure-gain")),
    ]
