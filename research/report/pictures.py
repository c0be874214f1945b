"""Figures as files: one style, one way to save, and the meaning of colours.

An arm has one colour in all figures. A temperature is a shade from violet (0.05) to
yellow (0.8), beyond them black or brown. A strength of log q in the loss is one from
the colour of in-batch (0) to that of in-batch+logq (1), beyond it darker. The ways to
choose a total, and verdicts, have colours that no arm of the same figures has.
"""

import functools
import io
import re
import textwrap
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from research.files import beside, replace
from research.notices import say
from research.report.pages import write_texts
from research.types import InputError

# Fonts: matplotlib's own, then installed ones for other scripts.
FIRST = "DejaVu Sans"  # comes with matplotlib, so the same everywhere
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Arial Unicode MS"),
)
_SAID: set[str] = set()  # characters that a line of this process has named


@functools.cache
def families() -> list[str]:
    """The fonts that a character is looked for in, the first one first."""
    installed = {font.name for font in fontManager.ttflist}
    return [FIRST, *(name for name in CHINESE if name in installed)]


@contextmanager
def drawn_with(style: Any) -> Iterator[None]:
    """Draws in a style of matplotlib; says once which characters no font has."""
    with matplotlib.rc_context(style), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        glyph = re.match(r"Glyph (\d+) .* missing from font", str(warning.message))
        if glyph is None:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif (character := chr(int(glyph[1]))) not in _SAID:
            _SAID.add(character)
            say(f"figures show {character} as a box: install a font, as {CHINESE[0]}")


READABLE = 4.5  # the contrast WCAG 2.2 asks of text, at level AA


class Look(NamedTuple):
    """The look of an arm: a colour as #rrggbb and a matplotlib marker."""

    colour: str
    marker: str

    @property
    def ink(self) -> str:
        """The colour of text: the arm's colour, darkened until it reads on white.

        >>> Look("#000000", "o").ink
        '#000000'
        """
        rgb = np.array(to_rgb(self.colour))
        while True:  # the contrast ratio of WCAG 2.2, 1 (white itself) to 21 (black)
            linear = np.where(
                rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
            )
            if 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= READABLE:
                return to_hex((rgb[0], rgb[1], rgb[2]))
            rgb = 0.98 * rgb


ARMS = {
    "in-batch": Look("#d55e00", "o"),
    "in-batch+prior": Look("#e69f00", "D"),
    "in-batch+logq": Look("#0072b2", "s"),
    "in-batch+logq+mask": Look("#56b4e9", "s"),
    "in-batch+logq+same-item": Look("#332288", "8"),
    "mixed": Look("#8fb339", "^"),
    "mixed+logq": Look("#009e73", "^"),
    "mixed-popularity+logq": Look("#0b6e4f", "v"),
    "uniform-softmax": Look("#6a51a3", "X"),
    "full-softmax": Look("#000000", "o"),
    "full-softmax+mask": Look("#5a5a5a", "D"),
    "full-softmax-id-only": Look("#7b5e3b", "p"),
    "pointwise-sigmoid": Look("#aa3377", "<"),
    "in-batch-sigmoid": Look("#cc79a7", ">"),
    "binary-nce": Look("#882255", "h"),
    "popularity": Look("#8c8c8c", "P"),
    "ease": Look("#a6761d", "d"),
    "fifo-cache+logq": Look("#a50f15", "v"),
    "fifo-cache+logq+push": Look("#e377c2", "H"),
    "vector-cache+logq": Look("#b8860b", "P"),
    "vector-cache+logq+push": Look("#c7a76c", "p"),
    "mixed-popularity+logq-stopped": Look("#74c476", "^"),
}
VERDICTS = {
    "better": Look("#117733", "o"),
    "worse": Look("#8b1a4a", "X"),
    "higher": Look("#333333", "^"),
    "lower": Look("#333333", "v"),
    "equivalent": Look("#6b7785", "s"),
    "undecided": Look("#a0a0a0", "D"),
    "not tested": Look("#c9c9c9", "d"),
}

# For an arm without an entry: by its name alone, so that no other arm moves its colour.
SPARE_COLOURS = (
    *("#44aa99", "#999933", "#cc6677", "#4477aa", "#b8860b", "#6b8e9f"),
    *("#17becf", "#bcbd22", "#ff9896", "#c49c94", "#b07aa1", "#637939"),
)
SPARE_MARKERS = ("H", "8", "P", "X", "d", "p", "v")


def look(arm: str) -> Look:
    """The look of an arm or a verdict; an unknown one has a look by its name alone.

    >>> look("full-softmax")
    Look(colour='#000000', marker='o')
    >>> look("my-loss") == look("my-loss")
    True
    """
    if known := ARMS.get(arm) or VERDICTS.get(arm):
        return known
    code = zlib.crc32(arm.encode())
    colour = SPARE_COLOURS[code % len(SPARE_COLOURS)]
    marker = SPARE_MARKERS[code // len(SPARE_COLOURS) % len(SPARE_MARKERS)]
    return Look(colour, marker)


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """The looks of the arms of one figure, with distinct colours as far as they go.

    An arm keeps the look of its name; only where an earlier one has its colour, it gets
    the next spare colour, or at least another marker.

    >>> two = looks(["my-loss", "in-batch"])
    >>> two == {"my-loss": look("my-loss"), "in-batch": look("in-batch")}
    True
    """
    out: dict[str, Look] = {}
    for arm in dict.fromkeys(map(str, arms)):
        style, taken = look(arm), {other.colour for other in out.values()}
        if style.colour in taken:
            free = [colour for colour in SPARE_COLOURS if colour not in taken]
            spare = [Look(c, style.marker) for c in free] + [
                Look(c, m) for m in SPARE_MARKERS for c in SPARE_COLOURS
            ]
            unlike = (other for other in spare if other not in out.values())
            style = next(unlike, style)
        out[arm] = style
    return out


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


class Ink(NamedTuple):
    """A line's colour and its matplotlib style."""

    colour: str
    style: Any = "-"


# How the total of log q is chosen: the best one of those tried, by a fit of clicks, or
# not at all.
BEST, CALIBRATED, PLAIN = Ink("#984ea3"), Ink("#333333", "--"), Ink("#999999")
GOOD, BAD = VERDICTS["better"].colour, VERDICTS["worse"].colour


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


WIDTH = 7.0  # inches; at half of it 10 pt is still 5 pt, the smallest that print allows
DPI = 160
DESCRIPTION = "Description"  # a key of PNG for what a picture shows
MARKER = 4.0  # half a marker, in points
EDGE: Any = {"markeredgecolor": "white", "markeredgewidth": 0.5}
STYLE: Any = {  # matplotlib types its keys as a literal of hundreds
    "font.family": families(),
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
    "figure.autolayout": False,  # a layout is made once, by freeze
    "figure.constrained_layout.use": False,
}


styled = drawn_with(STYLE)  # decorates a function that draws


class Drawing(NamedTuple):
    """A figure and the points it shows. A notebook cell displays it as a PNG."""

    figure: Figure
    points: pd.DataFrame

    def _repr_png_(self) -> bytes:
        return _rendered(self.figure)


FOOT = 0.15  # inches below all else, for the data set's name
NAMED = "data-set"  # the id of that text


def blank(height: float, **panels: Any) -> tuple[Figure, Any]:
    """A figure of the common width and its axes, without pyplot's state."""
    foot = FOOT / (height + FOOT)
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot))
    figure = Figure(figsize=(WIDTH, height + FOOT), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**panels)


LINE = 80  # characters of a heading that fit the width


def folded(text: str, width: int = LINE) -> str:
    """The text in lines of that many characters; a hyphenated name stays whole.

    >>> folded("over in-batch+logq", 13)
    'over\\nin-batch+logq'
    """
    return textwrap.fill(text, width, break_on_hyphens=False)


def above(figure: Figure, text: str) -> None:
    """Sets a figure's heading over its left edge, in the lines the text has."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def legend_above(
    figure: Figure, entries: Axes | Sequence[Any], title: str, ncols: int, **style: Any
) -> None:
    """Sets the heading and a legend above the panels."""
    if isinstance(entries, Axes):
        entries = entries.get_legend_handles_labels()[0]
    figure.legend(
        handles=entries,
        loc="outside upper left",
        ncols=ncols,
        frameon=False,
        title=folded(title),
        title_fontproperties={"weight": "bold", "size": 10.5},
        alignment="left",
        **style,
    )


def notes_below(figure: Figure, lines: Sequence[str], **style: Any) -> None:
    """Sets notes below the panels, where there are any, beside the data set's name."""
    if lines:
        style = {"fontsize": 9.5, "x": 0.01, "ha": "left", **style}
        figure.supxlabel("\n".join(lines), **style)
        engine = figure.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):
            engine.set(rect=(0, 0, 1, 1))  # the layout leaves room for the lines


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


_POINTS_ALONE: ContextVar[bool] = ContextVar("points_alone", default=False)


@contextmanager
def points_alone() -> Iterator[None]:
    """Within the context figures are saved as points and words, and not rendered."""
    token = _POINTS_ALONE.set(True)
    try:
        yield
    finally:
        _POINTS_ALONE.reset(token)


def save_figure(figure: Figure, points: pd.DataFrame, path: Path) -> list[Path]:
    """Writes <path>.png and, the points shown, <path>.csv.

    The name of the folder, which is the data set's, stands in the lower right corner:
    pictures are copied without their paths. Each file is whole or absent, and the same
    figure gives the same bytes. The picture holds its words (``words_of``) as a
    description; within ``points_alone`` there are <path>.words instead of it.

    Raises:
      ValueError: an axis without a label (or that of an axis it shares), or a
        figure without axes.
    """
    if not figure.axes:
        raise ValueError(f"{path.name}: the figure has no axes")
    for n, axes in enumerate(figure.axes):
        for name in ("x", "y"):
            family = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
            if not any(getattr(other, f"get_{name}label")() for other in family):
                raise ValueError(f"{path.name}: axes {n} have no label on {name}")
    _name_data(figure, path.parent.name)
    if _POINTS_ALONE.get():
        words = "\n".join(words_of(figure))
        return write_texts(path, {".words": words, ".csv": points})
    picture = replace(beside(path, ".png"), _rendered(figure))
    return [picture, *write_texts(path, {".csv": points})]


def _name_data(figure: Figure, dataset: str) -> None:
    for text in [text for text in figure.texts if text.get_gid() == NAMED]:
        text.remove()  # of an earlier file
    style: Any = {"ha": "right", "va": "bottom", "fontsize": 8, "color": "#707070"}
    figure.text(0.997, 0.006, dataset, gid=NAMED, **style)


def words_of(figure: Figure) -> list[str]:
    """A figure's titles, labels of axes and legends, each on one line.

    Labels of points and ticks are not among them: the layout decides which are drawn.
    """
    texts, legends, lines = list(figure.texts), list(figure.legends), []
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label]
        lines += [axes.get_title(place) for place in ("left", "center", "right")]
        legends += [legend] if (legend := axes.get_legend()) else []
    for legend in legends:
        texts += [legend.get_title(), *legend.get_texts()]
    lines += [text.get_text() for text in texts if text.get_visible()]
    return [" ".join(line.split()) for line in lines if line.strip()]


def freeze(figure: Figure) -> None:
    """Lays a figure out and keeps it so: each further pass would move it a little."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        # None and not "none", with which matplotlib would draw twice to save once
        figure.set_layout_engine(None)


def _rendered(figure: Figure) -> bytes:
    """The figure as PNG; its words are a description in it."""
    buffer = io.BytesIO()
    # the version of the software would make bytes of equal figures differ
    metadata = {"Software": None, DESCRIPTION: "\n".join(words_of(figure))}
    with drawn_with(STYLE):
        freeze(figure)
        figure.savefig(buffer, format="png", dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def words_in(path: Path) -> list[str]:
    """The words of the figure that a PNG shows; none in one of other origin."""
    try:
        with Image.open(path) as picture:
            return str(picture.info.get(DESCRIPTION, "")).splitlines()
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: not a picture ({error})") from None
