"""Figures as files: one style, one way to save, and no figure without labels."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from research.report.files import beside, replace
from research.report.placement import BESIDE, ORDERS, place
from research.report.table_files import csv_text

__all__ = ["STYLE", "WIDTH", "Drawing", "blank", "label_points", "save_figure"]

WIDTH = 7.0  # inches; at half of it 10 pt is still 5 pt, the smallest that print allows
DPI = 160
MARKER = 4.0  # half a marker, in points
STYLE: Any = {  # matplotlib types its keys as a literal of hundreds
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same everywhere
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 10,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    "svg.fonttype": "path",
    "svg.hashsalt": "two-tower-ssb",  # else ids in the SVG are drawn anew each time
}


class Drawing(NamedTuple):
    """A figure and the points it shows. A notebook cell displays it as a PNG."""

    figure: Figure
    points: pd.DataFrame

    def _repr_png_(self) -> bytes:
        return _rendered(self.figure, "png")


def blank(height: float, **panels: Any) -> tuple[Figure, Any]:
    """Returns a figure of the common width and its axes, without pyplot's state."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**panels)


def save_figure(figure: Figure, points: pd.DataFrame, path: Path) -> list[Path]:
    """Writes <path>.svg, <path>.png and, the points shown, <path>.csv.

    Each is whole or absent, and the same figure gives the same bytes.

    Raises:
      ValueError: an axis without a label (its own, or that of an axis it shares), or a
        figure without axes.
    """
    if not figure.axes:
        raise ValueError(f"{path.name}: the figure has no axes")
    for n, axes in enumerate(figure.axes):
        for name, shared in (
            ("x", axes.get_shared_x_axes()),
            ("y", axes.get_shared_y_axes()),
        ):
            family = shared.get_siblings(axes)
            if not any(getattr(other, f"get_{name}label")() for other in family):
                raise ValueError(f"{path.name}: axes {n} have no label on {name}")
    return [
        replace(beside(path, ".svg"), _rendered(figure, "svg")),
        replace(beside(path, ".png"), _rendered(figure, "png")),
        replace(beside(path, ".csv"), csv_text(points).encode()),
    ]


def freeze(figure: Figure) -> None:
    """Lays a figure out and keeps it so: each further pass would move it a little."""
    figure.canvas.draw()
    figure.set_layout_engine("none")


def _rendered(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    # The date, and the version of the software, would differ without a difference.
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    with matplotlib.rc_context(STYLE):
        freeze(figure)
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def label_points(
    axes: Axes,
    points: np.ndarray,
    texts: Sequence[str],
    colours: Sequence[str],
    obstacles: np.ndarray,
    size: float = 10.0,
    reach: float = 145.0,
    orders: int = ORDERS,
) -> list[int]:
    """Writes a text beside each point of an axes, and returns which found no room.

    Points [n, 2] and obstacles [m, 4], boxes around which half a marker is kept free,
    are in data coordinates. Call it last: it freezes the layout and the limits, since
    labels are placed in print units.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    freeze(figure)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    unit = 72 / figure.dpi
    drawn = [axes.text(0, 0, text, fontsize=size) for text in texts]
    extents = [text.get_window_extent() for text in drawn]
    corners = axes.transData.transform(np.reshape(obstacles, (-1, 2))) * unit
    corners = corners.reshape(-1, 4) + MARKER * np.array([-1, -1, 1, 1])
    window = axes.get_window_extent()
    spots = place(
        axes.transData.transform(points) * unit,
        np.reshape([(box.width, box.height) for box in extents], (-1, 2)) * unit,
        corners,
        np.array(window.extents) * unit,
        reach,
        orders,
    )
    back = axes.transData.inverted()
    for text, spot, colour in zip(drawn, spots, colours, strict=True):
        if spot is None:
            text.remove()
            continue
        x, y = back.transform(spot.box[:2] / unit)
        _settle(text, x, y, colour)
        if np.hypot(*(spot.leader[2:] - spot.leader[:2])) > BESIDE:
            ends = back.transform(np.reshape(spot.leader, (2, 2)) / unit)
            axes.plot(*ends.T, color=colour, linewidth=0.8, alpha=0.7, zorder=1.5)
    return [n for n, spot in enumerate(spots) if spot is None]


def _settle(text: Text, x: float, y: float, colour: str) -> None:
    text.set_position((x, y))
    text.set_color(colour)
    text.set_verticalalignment("bottom")
