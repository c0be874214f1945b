"""Texts beside the points of a figure, each where there is room."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from research.report.pictures import MARKER, freeze
from research.report.placement import BESIDE, ORDERS, place


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
    """Writes a text beside each point of an axes; returns those without room for one.

    Call it last: it freezes the layout and the limits, since labels are placed in print
    units.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    freeze(figure)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    unit = 72 / figure.dpi
    labels = [axes.text(0, 0, text, fontsize=size) for text in texts]
    extents = [label.get_window_extent() for label in labels]
    corners = axes.transData.transform(np.reshape(obstacles, (-1, 2))) * unit
    corners = corners.reshape(-1, 4) + MARKER * np.array([-1, -1, 1, 1])
    spots = place(
        axes.transData.transform(points) * unit,
        np.reshape([(box.width, box.height) for box in extents], (-1, 2)) * unit,
        corners,
        np.array(axes.get_window_extent().extents) * unit,
        reach,
        orders,
    )
    back = axes.transData.inverted()
    for label, spot, colour in zip(labels, spots, colours, strict=True):
        if spot is None:
            label.remove()
            continue
        corner = back.transform(spot.box[:2] / unit)
        label.set(position=corner, color=colour, verticalalignment="bottom")
        if np.hypot(*(spot.leader[2:] - spot.leader[:2])) > BESIDE:
            ends = back.transform(np.reshape(spot.leader, (2, 2)) / unit)
            axes.plot(*ends.T, color=colour, linewidth=0.8, alpha=0.7, zorder=1.5)
    return [n for n, spot in enumerate(spots) if spot is None]
