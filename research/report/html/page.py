"""The page as one file: style, program, charting library and packed sections.

What is packed is deflated, and inflated by the browser: the library and the sections
take a third of their room. A page is also the store of its own packed parts, so that
writing it anew after a run packs only what changed.
"""

import base64
import functools
import html
import importlib.resources
import itertools
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from research.files import replace
from research.report.html.section import metrics_shown

LIBRARY = "library"  # the id of the charting library's part
SCRIPTS = ("data.js", "elements.js", "charts.js", "view.js")
TITLE = "Mitigations of sampling bias: explore the records"
PART = re.compile(
    r'<script type="text/plain" id="[^"]*" data-key="([0-9a-f]+)">([A-Za-z0-9+/=]*)<'
)


class Part(NamedTuple):
    """A packed part of a page: its id, a hash of all that it is made of, its text."""

    name: str
    key: str
    packed: str


def packed(text: str) -> str:
    """A text deflated, in base64.

    >>> zlib.decompress(base64.b64decode(packed("one"))).decode()
    'one'
    """
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def packed_parts(page: Path) -> dict[str, str]:
    """The packed parts of a page by their keys; none where there is no such page."""
    if not page.is_file():
        return {}
    return dict(PART.findall(page.read_text(encoding="utf-8", errors="replace")))


@functools.lru_cache(maxsize=1)
def charting_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one packed script, from their package."""
    import vl_convert

    return packed(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def write_page(
    path: Path,
    abouts: Sequence[Mapping[str, Any]],
    parts: Sequence[Part],
    holes: Sequence[str],
) -> Path:
    """Writes the page."""
    index = {"sections": abouts, "metrics": metrics_shown()}
    # "<" opens nothing within a script
    text = json.dumps(index, allow_nan=False).replace("<", "\\u003c")
    blobs = [f'<script type="application/json" id="index">{text}</script>']
    blobs += [
        f'<script type="text/plain" id="{part.name}" data-key="{part.key}">'
        f"{part.packed}</script>"
        for part in parts
    ]
    options = []
    for data, group in itertools.groupby(abouts, _data_set):
        options.append(f'<optgroup label="{html.escape(data)}">')
        options += [
            f'<option value="{html.escape(about["name"])}">'
            f"{html.escape(about['title'])}: {html.escape(about['question'])}</option>"
            for about in group
        ]
        options.append("</optgroup>")
    lines = [f'<p class="hole">Not shown: {html.escape(hole)}</p>' for hole in holes]
    filled = {
        "title": TITLE,
        "summary": f"Grids and studies: {len(abouts)}. All are in this file.",
        "style": _file("page.css"),
        "holes": "\n".join(lines),
        "choices": "\n".join(options),
        "blobs": "\n".join(blobs),
        "script": "\n".join(_file(name) for name in SCRIPTS),
    }
    # in one pass: a filled text is never searched for places to fill
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], _file("page.html"))
    return replace(path, page.encode())


def _data_set(about: Mapping[str, Any]) -> str:
    return str(about["name"]).partition("/")[0]


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")
