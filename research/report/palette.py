"""One colour and one marker an arm, the same in every figure.

Colours come in families, so that a figure can be read without its labels: oranges are
uncorrected, blues carry a log q, greens mix in uniform negatives, dark is the exact
softmax, reds are pointwise, greys need no training. Within a family lightness and
marker tell arms apart, also for readers who confuse red and green.
"""

import zlib
from typing import NamedTuple

__all__ = ["ARMS", "Look", "look"]

READABLE = 4.5  # the contrast WCAG 2.2 asks of text, at level AA


class Look(NamedTuple):
    """How an arm is drawn: a colour as #rrggbb and a matplotlib marker."""

    colour: str
    marker: str

    @property
    def ink(self) -> str:
        """The colour of text: the arm's own, darkened until it reads on white.

        >>> Look("#000000", "o").ink
        '#000000'
        """
        rgb = [int(self.colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        while _contrast_on_white(rgb) < READABLE:
            rgb = [0.98 * part for part in rgb]
        return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def _contrast_on_white(rgb: list[float]) -> float:
    """Returns the contrast ratio of WCAG 2.2, 1 (white itself) to 21 (black)."""
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in rgb]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


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
}

# For an arm that has no entry: by its own name, so that no other arm moves its colour.
SPARE_COLOURS = ("#44aa99", "#999933", "#cc6677", "#4477aa", "#b8860b", "#6b8e9f")
SPARE_MARKERS = ("H", "8", "P", "X", "d", "p", "v")


def look(arm: str) -> Look:
    """Returns how an arm is drawn; an unknown one gets a look from its name alone.

    >>> look("full-softmax")
    Look(colour='#000000', marker='o')
    >>> look("my-loss") == look("my-loss")
    True
    """
    if arm in ARMS:
        return ARMS[arm]
    code = zlib.crc32(arm.encode())
    colour = SPARE_COLOURS[code % len(SPARE_COLOURS)]
    marker = SPARE_MARKERS[code // len(SPARE_COLOURS) % len(SPARE_MARKERS)]
    return Look(colour, marker)
