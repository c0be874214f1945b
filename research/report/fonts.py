"""Fonts of figures: matplotlib's own, then installed ones for other scripts."""

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

from research.notices import say

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


def lacking(text: str) -> str:
    """The characters of a text that no font of ``families`` has, each once.

    >>> lacking("recall@20 ±0.01")
    ''
    """
    fonts = [get_font(findfont(name)) for name in families()]
    unseen = {character for character in text if not character.isspace()}
    return "".join(
        character
        for character in sorted(unseen)
        if not any(font.get_char_index(ord(character)) for font in fonts)
    )


def say_lacking(figure: Figure) -> None:
    """Says which characters of a drawn figure are boxes, each once in a process."""
    texts = [text.get_text() for text in figure.findobj(Text)]
    if new := "".join(c for c in lacking("".join(texts)) if c not in _SAID):
        _SAID.update(new)
        say(
            f"figures show {new} as boxes: no installed font has them; one that has is "
            f"{CHINESE[0]}"
        )


@contextmanager
def drawn_with(style: Any) -> Iterator[None]:
    """Draws in a style of matplotlib; missing characters are for ``say_lacking``."""
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield
