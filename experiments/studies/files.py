"""The files of a study: its records, and the tables and figures made from them.

They lie where those of grids do, and the records open with the same functions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy import ndarray

from experiments.folders import records_path
from research.files import beside
from research.report.pages import write_texts
from research.report.pictures import Drawing, save_figure
from research.report.records import save_stored


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
      content: JSON on the arrays, by further names beside the header.
    """
    path = records_path(out, header["dataset"], header["grid"])
    return save_stored(path, header, arrays, **(content or {}))


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
    written = write_texts(tables, texts)
    for what, drawing in drawings.items():
        written += save_figure(drawing.figure, drawing.points, beside(figures, what))
    return written
