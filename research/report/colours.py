"""Colours with one meaning in all figures; those of arms are in ``pictures.ARMS``.

A temperature is a shade from violet (0.05) to yellow (0.8), beyond them black or brown.
A strength of log q in the loss is one from the colour of in-batch (0) to that of
in-batch+logq (1), beyond it darker. An exposure is one from dark violet to salmon. The
ways to choose a total, and verdicts, have colours that no arm of the same figures has.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Patch

from research.report.pictures import ARMS, Look

_TEMPERATURES = {
    0.0125: "#000000",
    0.05: "#440154",
    0.1: "#3b528b",
    0.2: "#21918c",
    0.4: "#5ec962",
    0.8: "#d8b900",
    3.2: "#8a5a00",
}
_STRENGTHS = {
    0.0: ARMS["in-batch"].colour,
    1.0: ARMS["in-batch+logq"].colour,
    2.0: "#001a33",
}
_EXPOSURES = {-0.5: "#140e36", 0.0: "#641a80", 0.5: "#c43c75", 1.0: "#fb8861"}


class Ink(NamedTuple):
    """A line's colour and its matplotlib style."""

    colour: str
    style: Any = "-"


# How the total of log q is chosen: the best one of those tried, by a fit of clicks, 1,
# or not at all.
BEST = Ink("#984ea3")
CALIBRATED = Ink("#333333", "--")
FULL = Ink("#a65628", (0, (4, 1.2, 1, 1.2)))
PLAIN = Ink("#999999")
GOOD, BAD = "#117733", "#8b1a4a"


def temperature_ink(temperature: float) -> str:
    """The colour of a temperature of the training, as #rrggbb.

    >>> temperature_ink(0.2)
    '#21918c'
    """
    at = {np.log(each): colour for each, colour in _TEMPERATURES.items()}
    return _between(float(np.log(temperature)), at)


def strength_ink(strength: float) -> str:
    """The colour of a strength of log q in the loss, as #rrggbb.

    >>> strength_ink(1.0) == ARMS["in-batch+logq"].colour
    True
    """
    return _between(strength, _STRENGTHS)


def _between(value: float, anchors: dict[float, str]) -> str:
    """The colour at a value, linearly between those of the anchors beside it."""
    parts = np.array([to_rgb(colour) for colour in anchors.values()]).T
    red, green, blue = (float(np.interp(value, [*anchors], part)) for part in parts)
    return to_hex((red, green, blue))


def shades(colour: str, count: int) -> list[str]:
    """So many shades of a colour, pale first; the last is the colour itself.

    >>> shades("#000000", 2)
    ['#999999', '#000000']
    """
    rgb, pale = np.array(to_rgb(colour)), 0.6 if count > 1 else 0.0
    steps = np.linspace(pale, 0.0, count)
    return [to_hex(rgb + (1 - rgb) * step) for step in steps]


def with_band(axes: Axes) -> list[Artist]:
    """The entries of an axes' legend and one for the bands behind its lines."""
    band = Patch(color="0.5", alpha=0.3, linewidth=0, label="95 % interval")
    return [*axes.get_legend_handles_labels()[0], band]


def draw_line(
    axes: Axes, y: int, numbers: tuple[float, float, float], style: Look
) -> None:
    """Draws a difference, with its interval where it has one."""
    value, low, high = numbers
    ends = np.array([[value - low], [high - value]])
    axes.errorbar(
        *(value, y),
        xerr=None if np.isnan(ends).any() else ends,
        color=style.colour,
        marker=style.marker,
        markersize=6,
        elinewidth=1.2,
    )


def around_zero(axes: Axes, margin: float = np.nan) -> None:
    """Draws the line of no difference, and a band around it as wide as the margin."""
    axes.axvline(0, color="#333333", linewidth=0.9, zorder=1)
    if not np.isnan(margin):
        axes.axvspan(-margin, margin, color="#000000", alpha=0.07, linewidth=0)
    axes.locator_params(axis="x", nbins=4)
