"""Learning curves: the training histories of runs as a frame and as a figure."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from research.report.figures import NARROW
from research.report.pictures import Drawing, blank, cell_lines, legend_above, styled
from research.report.records import RunResult
from research.types import InputError


def history_frame(results: Sequence[RunResult]) -> pd.DataFrame:
    """The training curves of runs: one row per run and epoch.

    Columns: arm, one per swept field, seed, then those of history.csv
    (docs/metrics.md). Runs without a curve, such as baselines, have no rows.

    Args:
      results: of ``compare``, ``load_run`` or ``load_records``.

    Raises:
      InputError: no run has a curve.
    """
    parts = [
        pd.DataFrame(
            {"arm": result.arm, **result.swept, "seed": result.seed, **result.history}
        )
        for result in results
        if result.history
    ]
    if not parts:
        raise InputError("no run has a training curve: baselines have none")
    return pd.concat(parts, ignore_index=True)


@styled
def history_figure(
    results: Sequence[RunResult], columns: Sequence[str] = ("loss", "item_uniformity")
) -> Drawing:
    """Draws learning curves, one panel per column: means over seeds by epoch.

    The band is from the lowest to the highest seed. Swept values of an arm share its
    colour and differ in their dashes.

    Args:
      results: of ``compare``, ``load_run`` or ``load_records``.
      columns: of ``history_frame``.

    Raises:
      InputError: no run has a curve, or none has such a column.
    """
    frame = history_frame(results)
    for name in columns:
        if name not in frame:
            raise InputError(f"no curve of {name}: choose {', '.join(frame.columns)}")
    fields = list(dict.fromkeys(name for r in results for name in r.swept))
    rows = -(-len(columns) // 2)
    shape = {"nrows": rows, "ncols": min(2, len(columns)), "squeeze": False}
    figure, panels = blank(1.0 + 2.6 * rows, **shape)
    for panel in panels.flat[len(columns) :]:
        figure.delaxes(panel)
    for panel, name in zip(panels.flat, columns):
        for part, style in cell_lines(frame, fields):
            by_epoch = part.groupby("epoch")[name]
            mean = by_epoch.mean()
            panel.plot(mean, **style)
            band = by_epoch.min(), by_epoch.max()
            colour = style["color"]
            panel.fill_between(mean.index, *band, color=colour, alpha=0.15, lw=0)
        panel.set(ylabel=name, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = panels.flat[0].get_legend_handles_labels()
    beside = 4 if max(map(len, labels)) <= NARROW else 2
    heading = "Learning curves"
    if frame.seed.nunique() > 1:
        heading += ": means over seeds (bands: lowest to highest)"
    legend_above(figure, handles, heading, beside)
    return Drawing(figure, frame)
