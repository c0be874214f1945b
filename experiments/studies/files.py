"""The files of a study: its records, and the tables and figures made from them.

They lie where those of grids do, and the records open with the same functions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy import ndarray

from experiments.folders import RESULTS_VERSION, check_version, records_path
from research.config import Config
from research.files import beside, replace
from research.report.pictures import Drawing, save_figure
from research.report.records import load_content, save_content

__all__ = [
    "HEADING",
    "load_study",
    "markdown_page",
    "markdown_table",
    "save_study",
    "study_header",
    "write_report",
]

HEADING: Any = {"x": 0.01, "ha": "left", "fontsize": 10.5, "fontweight": "bold"}
QUICK = "A quick run: it shows that everything works, and no result."


def study_header(
    name: str, dataset: str, quick: bool, digest: str = "", **more: Any
) -> dict[str, Any]:
    """The header of a study's records.

    Args:
      name: of the study; its files are named after it.
      dataset: where it was measured, and the folder of its results.
      quick: whether it was a quick run.
      digest: of the data, where there are any.
      more: further entries.
    """
    return {
        "results_version": RESULTS_VERSION,
        "grid": name,
        "dataset": dataset,
        "split": Config().split,
        "quick": quick,
        "data_digest": digest,
        **more,
    }


def save_study(
    out: Path,
    header: Mapping[str, Any],
    arrays: Mapping[str, ndarray],
    content: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a study's records under an output folder, and returns their path.

    Args:
      out: the output folder.
      header: from ``study_header``.
      arrays: what was measured.
      content: JSON on the arrays, by further names beside "header".
    """
    path = records_path(out, header["dataset"], header["grid"])
    return save_content(path, {"header": header, **(content or {})}, arrays)


def load_study(path: Path) -> tuple[dict[str, Any], dict[str, ndarray]]:
    """The content, which has the "header", and the arrays that save_study wrote.

    Raises:
      InputError: no such file, not one of records, or of another RESULTS_VERSION.
    """
    content, arrays = load_content(path)
    check_version(path, content["header"])
    return content, arrays


def write_report(
    out: Path,
    header: Mapping[str, Any],
    texts: Mapping[str, str],
    drawings: Mapping[str, Drawing],
) -> list[Path]:
    """Writes a study's tables and figures under a folder, and returns their paths.

    Args:
      out: the folder.
      header: of the records.
      texts: the tables, by what follows the study's name in the file's (".csv").
      drawings: likewise, without an ending ("-error").
    """
    tables, figures = (
        out / what / header["dataset"] / header["grid"]
        for what in ("tables", "figures")
    )
    written = [replace(beside(tables, what), t.encode()) for what, t in texts.items()]
    for what, drawing in drawings.items():
        written += save_figure(drawing.figure, drawing.points, beside(figures, what))
    return written


def markdown_page(title: str, parts: Sequence[str], quick: bool) -> str:
    """A page for people: a title, then paragraphs and tables.

    Args:
      title: of the page.
      parts: each without an end of line at its end.
      quick: whether the page has to say that its numbers are no results.
    """
    paragraphs = [f"# {title}", *parts, *([QUICK] if quick else [])]
    return "\n\n".join(paragraphs) + "\n"


def markdown_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], rule: str = "---"
) -> str:
    """A table in Markdown.

    Args:
      heads: of the columns.
      rows: their cells.
      rule: "---", or "--:" where the columns hold numbers.

    >>> print(markdown_table(["a", "b"], [["1", "2"]], rule="--:"))
    | a | b |
    | --: | --: |
    | 1 | 2 |
    """
    lines = [heads, [rule] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
